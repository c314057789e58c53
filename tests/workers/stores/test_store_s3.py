"""What S3 answers to a listing and a read, from a server that plays it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.s3_server import (
    Reply,
    Request,
    error_reply,
    listing_page,
    made_up_credentials,
    scripted_server,
)
from support.waiting import PATIENCE_S

from schemas.errors import (
    ObjectChangedError,
    ObjectGoneError,
    ObjseekError,
    StoreAccessError,
    StoreError,
    StoreUnavailableError,
    TokenExpiredError,
    UsageError,
)
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers import backoff
from workers.stores import open as stores
from workers.stores.open import build_store
from workers.stores.s3_client import client_for


def anywhere(reason: str, uri: str) -> None:
    """A `Skipped` that forgets."""


S3_REF = ImageRef(store="s3", bucket="bucket", key="a.jpg", version="e", size_bytes=3)


def options_for(endpoint: str, **more: object) -> StoreOptions:
    once = {"endpoint_url": endpoint, "max_attempts": 1, "retry_budget_s": 0}
    return StoreOptions.model_validate({**once, **more})


def test_listing_asks_for_a_page_only_when_it_is_needed() -> None:
    targets: list[str] = []

    def respond(request: Request) -> Reply:
        targets.append(request.target)
        page = len(targets)
        return listing_page([f"{page}%20{i}+.jpg" for i in range(2)], f"token-{page}")

    with scripted_server(respond) as endpoint:
        refs = build_store("s3://bucket/p", options_for(endpoint)).list_images(anywhere)
        assert len(targets) == 1
        assert next(refs).key == "1 0 .jpg"
        assert next(refs).key == "1 1 .jpg"
        assert len(targets) == 1
        assert next(refs).key == "2 0 .jpg"
    assert "list-type=2" in targets[0]
    assert "prefix=p" in targets[0]
    assert "continuation-token=token-1" in targets[1]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "NoSuchKey", ObjectGoneError),
        (404, "NoSuchBucket", StoreAccessError),
        (412, "PreconditionFailed", ObjectChangedError),
        (403, "AccessDenied", StoreAccessError),
        (403, "InvalidAccessKeyId", StoreAccessError),
        (401, "Unauthorized", StoreAccessError),
        (400, "ExpiredToken", TokenExpiredError),
        (400, "SomethingElse", StoreAccessError),
        (400, "RequestTimeout", StoreUnavailableError),
        (429, "TooManyRequests", StoreUnavailableError),
        (500, "InternalError", StoreUnavailableError),
        (503, "SlowDown", StoreUnavailableError),
    ],
)
def test_answers_to_a_read(status: int, code: str, error: type[ObjseekError]) -> None:
    with (
        scripted_server(lambda request: error_reply(status, code)) as endpoint,
        pytest.raises(error) as caught,
    ):
        stores.read(S3_REF, options_for(endpoint))
    assert type(caught.value) is error
    assert str(caught.value).endswith(
        f"HTTP {status} {code}: No, because of {code} (s3://bucket/a.jpg)"
    )


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (error_reply(403, "AccessDenied"), StoreAccessError),
        (error_reply(403, "SignatureDoesNotMatch"), StoreAccessError),
        (error_reply(503, "SlowDown"), StoreUnavailableError),
        (Reply(404, b"<html>no S3 here</html>"), StoreUnavailableError),
        (Reply(200, b"<html>no S3 here"), StoreUnavailableError),
        (Reply(200, b"<html><body>no S3 here</body></html>"), StoreUnavailableError),
        (error_reply(301, "Moved"), StoreUnavailableError),
    ],
)
def test_answers_to_a_listing(reply: Reply, error: type[ObjseekError]) -> None:
    with scripted_server(lambda request: reply) as endpoint:
        store = build_store("s3://bucket/p", options_for(endpoint))
        with pytest.raises(error, match="s3://bucket/p") as caught:
            store.list_images(anywhere)
    assert "\n" not in str(caught.value)


def test_a_read_names_the_version_and_what_the_options_say() -> None:
    requests: list[Request] = []

    def respond(request: Request) -> Reply:
        requests.append(request)
        return Reply(200, b"abc")

    with scripted_server(respond) as endpoint:
        assert stores.read(S3_REF, options_for(endpoint)) == b"abc"
        assert stores.read(S3_REF, options_for(endpoint, anonymous=True)) == b"abc"
        assert stores.read(S3_REF, options_for(endpoint, requester_pays=True)) == b"abc"
    signed, anonymous, payer = (request.headers for request in requests)
    assert requests[0].target == "/bucket/a.jpg"
    assert signed["If-Match"] == '"e"'
    assert "Credential=testing/" in signed["Authorization"]
    assert "Authorization" not in anonymous
    assert payer["x-amz-request-payer"] == "requester"
    assert "x-amz-request-payer" not in signed


WHOLE = Reply(200, b"abc")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"ab", declared=3),
        Reply(200, b"ab"),
        Reply(200, b"abcd"),
        error_reply(200, "InternalError"),
        Reply(200, b"<html>a proxy's page</html>"),
        error_reply(503, "SlowDown"),
        error_reply(429, "TooManyRequests"),
        error_reply(400, "RequestTimeout"),
        error_reply(400, "ExpiredToken"),
    ],
)
def test_what_is_not_the_object_is_asked_for_again_then_given_up(reply: Reply) -> None:
    replies = [reply, reply, WHOLE]
    with scripted_server(lambda request: replies.pop(0)) as endpoint:
        assert stores.read(S3_REF, options_for(endpoint, retry_budget_s=30)) == b"abc"
    assert replies == []
    replies = [reply, WHOLE]
    with (
        scripted_server(lambda request: replies.pop(0)) as endpoint,
        pytest.raises(StoreError, match=r"s3://bucket/a\.jpg") as caught,
    ):
        stores.read(S3_REF, options_for(endpoint))
    assert replies == [WHOLE]
    assert caught.value.retryable


def test_an_answer_of_another_version_is_not_asked_for_again() -> None:
    replies = [Reply(200, b"abcd", headers={"ETag": '"f"'}), WHOLE]
    with (
        scripted_server(lambda request: replies.pop(0)) as endpoint,
        pytest.raises(ObjectChangedError, match=r"^expected version e, got f \(s3://bucket/a.jpg"),
    ):
        stores.read(S3_REF, options_for(endpoint, retry_budget_s=30))
    assert replies == [WHOLE]


def test_a_body_that_trickles_is_not_waited_for() -> None:
    slow = [Reply(200, b"xyz", pause_s=0.4)]
    with scripted_server(lambda request: slow.pop() if slow else WHOLE) as endpoint:
        # No single read takes as long as it may.
        options = options_for(endpoint, retry_budget_s=PATIENCE_S, read_timeout_s=0.6)
        assert stores.read(S3_REF, options) == b"abc"
    assert slow == []


def test_a_listing_that_trickles_is_not_waited_for() -> None:
    whole = listing_page(["1.jpg"])
    slow = [replace(listing_page(["never.jpg"]), pause_s=0.1)]
    with scripted_server(lambda request: slow.pop() if slow else whole) as endpoint:
        options = options_for(
            endpoint, retry_budget_s=PATIENCE_S, connect_timeout_s=0.5, read_timeout_s=0.5
        )
        refs = build_store("s3://bucket/p", options).list_images(anywhere)
        assert [ref.key for ref in refs] == ["1.jpg"]
    assert slow == []


def test_credentials_that_were_renewed_are_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    keys: list[str] = []

    def renew(key: str) -> None:
        file.write_text(f"[default]\naws_access_key_id={key}\naws_secret_access_key=secret\n")

    def respond(request: Request) -> Reply:
        keys.append(request.headers["Authorization"].partition("Credential=")[2][:3])
        if keys[-1] == "NEW":
            return WHOLE
        renew("NEW")
        return error_reply(400, "ExpiredToken")

    renew("OLD")
    with scripted_server(respond) as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ACCESS_KEY_ID")
        patch.delenv("AWS_SECRET_ACCESS_KEY")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        assert stores.read(S3_REF, options_for(endpoint, retry_budget_s=30)) == b"abc"
    assert keys == ["OLD", "NEW"]


def test_a_listing_goes_on_from_the_page_that_failed() -> None:
    targets: list[str] = []
    answers = [
        listing_page(["1.jpg"], "token-1"),
        error_reply(503, "SlowDown"),
        Reply(200, b"<html>a proxy's page</html>"),
        Reply(200, b"<ListBucketResult><IsTrunc", declared=400),
        error_reply(200, "InternalError"),
        listing_page(["2.jpg"], "token-2"),
        listing_page(["never"], "token-2"),
        listing_page(["3.jpg"]),
    ]

    def respond(request: Request) -> Reply:
        targets.append(request.target)
        return answers.pop(0)

    with scripted_server(respond) as endpoint:
        options = options_for(endpoint, retry_budget_s=30)
        refs = build_store("s3://bucket/p", options).list_images(anywhere)
        assert [ref.key for ref in refs] == ["1.jpg", "2.jpg", "3.jpg"]
    tokens = [target.partition("continuation-token=")[2].partition("&")[0] for target in targets]
    assert tokens == ["", *["token-1"] * 5, *["token-2"] * 2]


def test_an_object_is_looked_for_again_while_the_store_is_away() -> None:
    replies = [Reply(503), Reply(404)]
    with scripted_server(lambda request: replies.pop(0)) as endpoint:
        assert stores.find(S3_REF, options_for(endpoint, retry_budget_s=30)) is None
    assert replies == []


def test_a_store_that_is_busy_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    retries: list[str] = []
    monkeypatch.setattr(backoff, "_listeners", [retries.append])
    busy = error_reply(503, "SlowDown")
    replies = [busy, busy, Reply(200, b"abc"), busy, busy, busy]
    with scripted_server(lambda request: replies.pop(0)) as endpoint:
        options = options_for(endpoint, max_attempts=3)
        assert stores.read(S3_REF, options) == b"abc"
        assert retries == ["store", "store"]
        with pytest.raises(StoreUnavailableError):
            stores.read(S3_REF, options)
    assert retries == ["store"] * 4


def test_an_endpoint_that_does_not_answer() -> None:
    with scripted_server(lambda request: Reply(200)) as endpoint:
        pass
    store = build_store("s3://bucket/p", options_for(endpoint, anonymous=True))
    with pytest.raises(StoreUnavailableError) as caught:
        store.list_images(anywhere)
    assert endpoint in str(caught.value)
    assert "s3://bucket/p" in str(caught.value)


def test_missing_credentials_and_profile() -> None:
    with (
        scripted_server(lambda request: Reply(200)) as endpoint,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.delenv("AWS_ACCESS_KEY_ID")
        patch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(StoreAccessError, match=r"expected credentials for s3://bucket/p, got"):
            build_store("s3://bucket/p", options_for(endpoint)).list_images(anywhere)
        nobody = options_for(endpoint, profile="nobody")
        with pytest.raises(StoreAccessError, match=r"\(nobody\)"):
            build_store("s3://bucket/p", nobody).list_images(anywhere)


@pytest.mark.parametrize(
    ("source", "endpoint"),
    [
        ("s3://", None),
        ("s3:///key", None),
        ("s3://not a bucket/key", None),
        ("s3://bucket/key", "no endpoint"),
        ("gs://bucket/key", None),
        ("https://bucket.example/key", None),
    ],
)
def test_sources_that_cannot_be(source: str, endpoint: str | None) -> None:
    options = StoreOptions(endpoint_url=endpoint, anonymous=True)
    with made_up_credentials(), pytest.raises(UsageError) as caught:
        build_store(source, options).list_images(anywhere)
    assert "\n" not in str(caught.value)


def test_one_client_for_the_same_options() -> None:
    options = options_for("http://127.0.0.1:9", anonymous=True)
    assert client_for(options) is client_for(options.model_copy())
    assert client_for(options) is client_for(options.model_copy(update={"include": ("*.png",)}))
    assert client_for(options) is not client_for(options.model_copy(update={"max_attempts": 2}))


def test_addressing_follows_the_endpoint() -> None:
    def address(endpoint: str | None) -> str:
        client = client_for(StoreOptions(endpoint_url=endpoint, anonymous=True, max_attempts=7))
        url: str = client.generate_presigned_url("get_object", {"Bucket": "b-c", "Key": "k"})
        return url

    with made_up_credentials():
        assert address(None) == "https://b-c.s3.amazonaws.com/k"
        assert address("http://store.local:9000") == "http://store.local:9000/b-c/k"
