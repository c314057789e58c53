"""Parts of S3 objects: which bytes come, of which version, and what odd servers answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.s3_server import (
    Reply,
    Request,
    S3Server,
    error_reply,
    moto_server,
    scripted_server,
)

from schemas.errors import (
    ObjectChangedError,
    ObjectGoneError,
    ObjseekError,
    StoreAccessError,
    StoreError,
    StoreUnavailableError,
)
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.stores.object_version import time_version
from workers.stores.open import build_store
from workers.stores.s3_ranges import read_range

BODY = bytes(range(250)) * 4
REF = ImageRef("s3", "bucket", "a.mp4", "e", len(BODY))


def options_for(endpoint: str) -> StoreOptions:
    return StoreOptions(endpoint_url=endpoint, max_attempts=1, retry_budget_s=0)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with moto_server() as found:
        yield found


@pytest.fixture
def listed_object(server: S3Server) -> tuple[ImageRef, StoreOptions]:
    bucket = server.make_bucket({"a.png": BODY})
    options = options_for(server.endpoint_url)
    refs = list(build_store(f"s3://{bucket}", options).list_images(lambda reason, uri: None))
    return refs[0], options


def test_parts_of_an_object(listed_object: tuple[ImageRef, StoreOptions]) -> None:
    ref, options = listed_object
    assert read_range(ref, 0, 10, options) == (BODY[:10], len(BODY))
    assert read_range(ref, 300, 5, options) == (BODY[300:305], len(BODY))
    assert read_range(ref, 990, 100, options) == (BODY[990:], len(BODY))


def test_the_size_need_not_be_known(listed_object: tuple[ImageRef, StoreOptions]) -> None:
    ref, options = listed_object
    unknown = ImageRef(ref.store, ref.bucket, ref.key, ref.version, 0)
    assert read_range(unknown, 0, 10, options) == (BODY[:10], len(BODY))
    assert read_range(unknown, 5000, 10, options) == (b"", None)


def test_another_version_is_refused(
    server: S3Server, listed_object: tuple[ImageRef, StoreOptions]
) -> None:
    ref, options = listed_object
    server.client.put_object(Bucket=ref.bucket, Key=ref.key, Body=b"other" + BODY)
    with pytest.raises(ObjectChangedError, match=ref.key):
        read_range(ref, 0, 10, options)
    server.client.delete_object(Bucket=ref.bucket, Key=ref.key)
    with pytest.raises(ObjectGoneError, match=ref.key):
        read_range(ref, 0, 10, options)


def test_a_request_names_the_range_and_the_version() -> None:
    requests: list[Request] = []

    def respond(request: Request) -> Reply:
        requests.append(request)
        return part(100, 10)

    with scripted_server(respond) as endpoint:
        assert read_range(REF, 100, 10, options_for(endpoint))[0] == BODY[100:110]
    assert requests[0].headers["Range"] == "bytes=100-109"
    assert requests[0].headers["If-Match"] == '"e"'


def part(start: int, length: int, told: str | None = None, etag: str = '"e"') -> Reply:
    body = BODY[start : start + length]
    told = f"bytes {start}-{start + len(body) - 1}/{len(BODY)}" if told is None else told
    headers = {"ETag": etag, "Content-Range": told, "Last-Modified": _WHEN}
    return Reply(206, body, headers={name: value for name, value in headers.items() if value})


_WHEN = "Mon, 01 Jan 2024 00:00:00 GMT"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(200, BODY, headers={"ETag": '"e"'}), StoreError),
        (part(0, 10), StoreUnavailableError),
        (part(100, 10, told=""), StoreUnavailableError),
        (part(100, 9), StoreUnavailableError),
        (error_reply(416, "InvalidRange"), ObjectChangedError),
        (error_reply(403, "AccessDenied"), StoreAccessError),
        (error_reply(404, "NoSuchKey"), ObjectGoneError),
        (error_reply(412, "PreconditionFailed"), ObjectChangedError),
        (error_reply(503, "SlowDown"), StoreUnavailableError),
    ],
)
def test_answers_that_are_not_the_part(reply: Reply, error: type[ObjseekError]) -> None:
    with (
        scripted_server(lambda request: reply) as endpoint,
        pytest.raises(error, match=r"a\.mp4") as caught,
    ):
        read_range(REF, 100, 10, options_for(endpoint))
    assert type(caught.value) is error


def test_a_server_that_sends_all_of_a_small_object_will_do() -> None:
    reply = Reply(200, BODY, headers={"ETag": '"e"'})
    with scripted_server(lambda request: reply) as endpoint:
        assert read_range(REF, 0, 4096, options_for(endpoint)) == (BODY, len(BODY))


def test_a_version_by_time_is_held_against_the_whole_objects_size() -> None:
    version = time_version(None, len(BODY))
    ref = ImageRef("s3", "bucket", "a.mp4", version, len(BODY))
    with scripted_server(lambda request: part(0, 10, etag="")) as endpoint:
        assert read_range(ref, 0, 10, options_for(endpoint)) == (BODY[:10], len(BODY))
    ref = ImageRef("s3", "bucket", "a.mp4", time_version(None, 7), 7)
    with (
        scripted_server(lambda request: part(0, 10, etag="")) as endpoint,
        pytest.raises(ObjectChangedError),
    ):
        read_range(ref, 0, 10, options_for(endpoint))


def test_an_if_match_that_is_not_known_is_left_out() -> None:
    def respond(request: Request) -> Reply:
        if "If-Match" in request.headers:
            return error_reply(501, "NotImplemented")
        return part(100, 10)

    with scripted_server(respond) as endpoint:
        assert read_range(REF, 100, 10, options_for(endpoint))[0] == BODY[100:110]
