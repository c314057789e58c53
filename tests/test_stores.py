"""One contract over every store, and what is particular to S3 and to folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest
from botocore.exceptions import ClientError
from s3_server import (
    Reply,
    Request,
    S3Server,
    error_reply,
    listing_page,
    made_up_credentials,
    moto_server,
    real_server,
    scripted_server,
)

from schemas.errors import (
    ObjectChangedError,
    ObjectGoneError,
    ObjseekError,
    StoreAccessError,
    StoreUnavailableError,
    UsageError,
)
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers import stores
from workers.protocols import ObjectStore
from workers.stores import build_store
from workers.stores.s3 import client_for

ODD_NAMES = [
    "a b.jpg", "ünï/日本語 🍎.png", "100%.jpg", "%2F.jpg", "a#b.jpg", "a?b=c&d.jpg",
    "plus+plus.jpg", "quote'\"<&>.jpg", "semi;colon:,@=$!*().jpg", "tab\t.jpg", "back\\slash.jpg",
    "[x]~.jpg", "-rf.jpg", "e\u0301.jpg", "..two.jpg",
]  # fmt: skip
ODD_KEYS = [
    "a//b.jpg", "a/../b.jpg", "../up.jpg", "./here.jpg", "a/./b.jpg", "/lead.jpg", "//lead.jpg",
    "a/..jpg/.jpg/x.jpg", "control\x01.jpg", "new\nline.jpg",
]  # fmt: skip


class Place(Protocol):
    """Somewhere to put objects, and the source that names it."""

    source: str
    options: StoreOptions

    def put(self, name: str, body: bytes) -> None: ...

    def remove(self, name: str) -> None: ...

    def name_of(self, ref: ImageRef) -> str: ...


class Folder:
    options = StoreOptions()

    def __init__(self, path: Path) -> None:
        self._path = path
        self.source = str(path)

    def put(self, name: str, body: bytes) -> None:
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def remove(self, name: str) -> None:
        (self._path / name).unlink()

    def name_of(self, ref: ImageRef) -> str:
        assert (ref.store, ref.bucket) == ("file", "")
        return os.path.relpath(ref.key, self._path)


class Bucket:
    def __init__(self, server: S3Server) -> None:
        self._client = server.client
        self.bucket = server.make_bucket()
        self.source = f"s3://{self.bucket}"
        self.options = StoreOptions(endpoint_url=server.endpoint_url, max_attempts=1)

    def put(self, name: str, body: bytes) -> None:
        self._client.put_object(Bucket=self.bucket, Key=name, Body=body)

    def remove(self, name: str) -> None:
        self._client.delete_object(Bucket=self.bucket, Key=name)

    def name_of(self, ref: ImageRef) -> str:
        assert (ref.store, ref.bucket) == ("s3", self.bucket)
        return ref.key


@pytest.fixture(scope="module", params=["folder", "moto", "real"])
def server(request: pytest.FixtureRequest) -> Iterator[S3Server | None]:
    if request.param == "folder":
        yield None
        return
    with moto_server() if request.param == "moto" else real_server() as found:
        yield found


@pytest.fixture
def place(server: S3Server | None, tmp_path: Path) -> Place:
    return Folder(tmp_path) if server is None else Bucket(server)


@pytest.fixture
def bucket(server: S3Server | None) -> Bucket:
    if server is None:
        pytest.skip("a folder has no buckets")
    return Bucket(server)


def listed(store: ObjectStore) -> tuple[list[ImageRef], list[tuple[str, str]]]:
    """The images, and (reason, uri) of what was skipped."""
    skipped: list[tuple[str, str]] = []
    return list(store.list_images(lambda reason, uri: skipped.append((reason, uri)))), skipped


def names(place: Place, **selection: tuple[str, ...]) -> list[str]:
    options = place.options.model_copy(update=selection)
    refs, _ = listed(build_store(place.source, options))
    return [place.name_of(ref) for ref in refs]


def test_lists_in_byte_order_with_sizes_and_versions(place: Place) -> None:
    for name in ("b.jpg", "a/z.png", "a.gif", "a-b.webp", "ü.bmp", "z.tiff", "A.JPG", "a/b/c.jpeg"):
        place.put(name, name.encode())
    refs, skipped = listed(build_store(place.source, place.options))
    expected = ["A.JPG", "a-b.webp", "a.gif", "a/b/c.jpeg", "a/z.png", "b.jpg", "z.tiff", "ü.bmp"]
    assert [place.name_of(ref) for ref in refs] == expected
    assert [ref.size_bytes for ref in refs] == [len(name.encode()) for name in expected]
    assert all(ref.version for ref in refs)
    assert skipped == []
    assert listed(build_store(place.source, place.options))[0] == refs


def test_what_is_no_image_is_counted_with_its_reason(place: Place) -> None:
    for name in ("a.jpg", "notes.txt", "README", "a.jpg.json", "archive.tar.gz", ".hidden"):
        place.put(name, b"abc")
    place.put("empty.png", b"")
    refs, skipped = listed(build_store(place.source, place.options))
    assert [place.name_of(ref) for ref in refs] == ["a.jpg"]
    reasons = {uri.rpartition("/")[2]: reason for reason, uri in skipped}
    by_suffix = "not an image by its suffix"
    assert reasons == {
        ".hidden": by_suffix,
        "README": by_suffix,
        "a.jpg.json": by_suffix,
        "archive.tar.gz": by_suffix,
        "empty.png": "zero bytes",
        "notes.txt": by_suffix,
    }


def test_patterns_select_whole_keys(place: Place) -> None:
    for name in ("cats/1.jpg", "cats/2.png", "cats/3", "cats/labels.txt", "dogs/1.jpg"):
        place.put(name, b"abc")
    assert names(place) == ["cats/1.jpg", "cats/2.png", "dogs/1.jpg"]
    # Included by name, a key without a suffix may be an image; a text file is none.
    assert names(place, include=("*cats/*",)) == ["cats/1.jpg", "cats/2.png", "cats/3"]
    assert names(place, include=("*.png", "*dogs*")) == ["cats/2.png", "dogs/1.jpg"]
    assert names(place, exclude=("*/1.*",)) == ["cats/2.png"]
    assert names(place, include=("*.jpg",), exclude=("*dogs*",)) == ["cats/1.jpg"]
    options = place.options.model_copy(update={"include": ("*.png",), "exclude": ("*2*",)})
    _, skipped = listed(build_store(place.source, options))
    assert sorted(reason for reason, _ in skipped) == [
        "excluded by a pattern",
        "not an image by its suffix",
        *["not included by a pattern"] * 3,
    ]


def test_reads_the_bytes_that_were_listed(place: Place) -> None:
    bodies = {"a.jpg": b"first", "b/c.png": bytes(range(256)) * 4000}
    for name, body in bodies.items():
        place.put(name, body)
    store = build_store(place.source, place.options)
    refs, _ = listed(store)
    assert {place.name_of(ref): store.read(ref) for ref in refs} == bodies
    assert [stores.read(ref, place.options) for ref in refs] == list(bodies.values())


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_come_back_as_they_are(place: Place, name: str) -> None:
    place.put(name, name.encode())
    store = build_store(place.source, place.options)
    (ref,), _ = listed(store)
    assert place.name_of(ref) == name
    assert store.read(ref) == name.encode()


def test_changed_and_gone_objects_are_told_apart(place: Place) -> None:
    place.put("a.jpg", b"one")
    place.put("b.jpg", b"two")
    store = build_store(place.source, place.options)
    (changed, gone), _ = listed(store)
    place.put("a.jpg", b"another")
    place.remove("b.jpg")
    with pytest.raises(ObjectChangedError, match=r"/a\.jpg"):
        store.read(changed)
    with pytest.raises(ObjectGoneError, match=r"/b\.jpg"):
        store.read(gone)


def test_an_empty_source_is_no_error(place: Place) -> None:
    assert listed(build_store(place.source, place.options)) == ([], [])


@pytest.mark.parametrize("key", ODD_KEYS)
def test_keys_are_not_paths(bucket: Bucket, key: str) -> None:
    try:
        bucket.put(key, key.encode())
        bucket._client.head_object(Bucket=bucket.bucket, Key=key)
    except ClientError:
        pytest.skip("this server has no such keys")
    store = build_store(bucket.source, bucket.options)
    (ref,), _ = listed(store)
    assert ref.key == key
    assert store.read(ref) == key.encode()


def test_folder_markers_are_counted(bucket: Bucket) -> None:
    bucket.put("photos/", b"")
    bucket.put("photos.jpg/", b"")
    bucket.put("photos/a.jpg", b"abc")
    refs, skipped = listed(build_store(bucket.source, bucket.options))
    assert [ref.key for ref in refs] == ["photos/a.jpg"]
    assert skipped == [
        ("folder marker", f"{bucket.source}/photos.jpg/"),
        ("folder marker", f"{bucket.source}/photos/"),
    ]


def test_a_prefix_is_taken_literally(bucket: Bucket) -> None:
    for key in ("a b/1.jpg", "a b2.jpg", "a/1.jpg", "c?d#e/1.jpg"):
        bucket.put(key, b"abc")

    def keys(prefix: str) -> list[str]:
        refs, _ = listed(build_store(f"{bucket.source}/{prefix}", bucket.options))
        return [ref.key for ref in refs]

    assert keys("") == ["a b/1.jpg", "a b2.jpg", "a/1.jpg", "c?d#e/1.jpg"]
    assert keys("a b") == ["a b/1.jpg", "a b2.jpg"]
    assert keys("a b/") == ["a b/1.jpg"]
    assert keys("c?d#e/") == ["c?d#e/1.jpg"]
    assert keys("none/") == []


def test_a_missing_bucket_is_one_sentence(bucket: Bucket) -> None:
    source = "s3://objseek-test-no-such-bucket/x"
    with pytest.raises(StoreAccessError) as caught:
        build_store(source, bucket.options).list_images(lambda reason, uri: None)
    assert "NoSuchBucket" in str(caught.value)
    assert source in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_credentials_are_one_sentence(
    bucket: Bucket,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "moto" in request.node.callspec.id:
        pytest.skip("moto takes any credentials")
    credentials = tmp_path / "credentials"
    credentials.write_text("[wrong]\naws_access_key_id = nobody\naws_secret_access_key = nothing\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    options = bucket.options.model_copy(update={"profile": "wrong"})
    with pytest.raises(StoreAccessError, match="HTTP 403 InvalidAccessKeyId"):
        build_store(bucket.source, options).list_images(lambda reason, uri: None)


def anywhere(reason: str, uri: str) -> None:
    """A `Skipped` that forgets."""


S3_REF = ImageRef(store="s3", bucket="bucket", key="a.jpg", version="e", size_bytes=3)


def options_for(endpoint: str, **more: object) -> StoreOptions:
    return StoreOptions.model_validate({"endpoint_url": endpoint, "max_attempts": 1, **more})


def test_listing_asks_for_a_page_only_when_it_is_needed() -> None:
    asked: list[str] = []

    def respond(request: Request) -> Reply:
        asked.append(request.target)
        page = len(asked)
        return listing_page([f"{page}%20{i}+.jpg" for i in range(2)], f"token-{page}")

    with scripted_server(respond) as endpoint:
        refs = build_store("s3://bucket/p", options_for(endpoint)).list_images(anywhere)
        assert len(asked) == 1
        assert next(refs).key == "1 0 .jpg"
        assert next(refs).key == "1 1 .jpg"
        assert len(asked) == 1
        assert next(refs).key == "2 0 .jpg"
    assert "list-type=2" in asked[0]
    assert "prefix=p" in asked[0]
    assert "continuation-token=token-1" in asked[1]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "NoSuchKey", ObjectGoneError),
        (404, "NoSuchBucket", StoreAccessError),
        (412, "PreconditionFailed", ObjectChangedError),
        (403, "AccessDenied", StoreAccessError),
        (403, "InvalidAccessKeyId", StoreAccessError),
        (401, "Unauthorized", StoreAccessError),
        (400, "ExpiredToken", StoreAccessError),
        (400, "SomethingElse", StoreUnavailableError),
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
    ],
)
def test_answers_to_a_listing(reply: Reply, error: type[ObjseekError]) -> None:
    with scripted_server(lambda request: reply) as endpoint:
        store = build_store("s3://bucket/p", options_for(endpoint))
        with pytest.raises(error, match="s3://bucket/p") as caught:
            store.list_images(anywhere)
    assert "\n" not in str(caught.value)


def test_a_read_names_the_version_and_what_the_options_say() -> None:
    asked: list[Request] = []

    def respond(request: Request) -> Reply:
        asked.append(request)
        return Reply(200, b"abc")

    with scripted_server(respond) as endpoint:
        assert stores.read(S3_REF, options_for(endpoint)) == b"abc"
        assert stores.read(S3_REF, options_for(endpoint, anonymous=True)) == b"abc"
        assert stores.read(S3_REF, options_for(endpoint, requester_pays=True)) == b"abc"
    signed, anonymous, payer = (request.headers for request in asked)
    assert asked[0].target == "/bucket/a.jpg"
    assert signed["If-Match"] == '"e"'
    assert "Credential=testing/" in signed["Authorization"]
    assert "Authorization" not in anonymous
    assert payer["x-amz-request-payer"] == "requester"
    assert "x-amz-request-payer" not in signed


def test_a_body_that_breaks_off_is_asked_for_again_then_given_up() -> None:
    replies = [Reply(200, b"ab", declared=3), Reply(200, b"abc")]
    with scripted_server(lambda request: replies.pop(0)) as endpoint:
        assert stores.read(S3_REF, options_for(endpoint, max_attempts=2)) == b"abc"
    replies = [Reply(200, b"ab", declared=3), Reply(200, b"abc")]
    with (
        scripted_server(lambda request: replies.pop(0)) as endpoint,
        pytest.raises(StoreUnavailableError, match=r"s3://bucket/a\.jpg"),
    ):
        stores.read(S3_REF, options_for(endpoint))
    assert len(replies) == 1


def test_a_store_that_is_busy_is_asked_again() -> None:
    replies = [error_reply(503, "SlowDown"), Reply(200, b"abc")]
    with scripted_server(lambda request: replies.pop(0)) as endpoint:
        assert stores.read(S3_REF, options_for(endpoint, max_attempts=2)) == b"abc"


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


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def file_keys(source: str) -> list[str]:
    refs, _ = listed(build_store(source, StoreOptions()))
    return [ref.key for ref in refs]


def test_a_file_a_glob_and_a_uri_are_sources(tmp_path: Path) -> None:
    folder = tmp_path / "[x] %20 ü"
    for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg", "b/c/4.png", "*.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"abc")
    paths = [str(folder / name) for name in ("*.jpg", "a/1.jpg", "a/2.jpg", "b/3.jpg", "b/c/4.png")]
    star, one, two, three, four = paths
    assert file_keys(str(folder)) == paths
    assert file_keys(str(folder / "a/1.jpg")) == [one]
    assert file_keys((folder / "a").as_uri()) == [one, two]
    with inside(folder):
        assert file_keys(".") == paths
        assert file_keys("b/../a") == [one, two]
        assert file_keys("*.jpg") == [star]  # a file of that name
        assert file_keys("?/*.jpg") == [one, two, three]
        assert file_keys("[b]") == [three, four]  # a folder is walked
        assert file_keys("**/*.jpg") == [star, one, two, three]
        assert file_keys("**") == paths
    (ref,), _ = listed(build_store(one, StoreOptions()))
    assert file_keys(ref.uri) == [one]


def test_names_that_are_not_text_are_listed_and_read(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9\n.jpg"
    with open(path, "wb") as file:
        file.write(b"abc")
    (ref,), _ = listed(build_store(str(tmp_path), StoreOptions()))
    assert os.fsencode(ref.key) == path
    assert ref.uri.endswith("/caf%E9%0A.jpg")
    assert stores.read(ref, StoreOptions()) == b"abc"


def test_links_pipes_and_loops(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.jpg").write_bytes(b"abc")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "itself.jpg").symlink_to(tmp_path / "itself.jpg")
    (tmp_path / "linked.jpg").symlink_to(tmp_path / "a/1.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    refs, skipped = listed(build_store(str(tmp_path), StoreOptions()))
    assert [ref.key for ref in refs] == [str(tmp_path / "a/1.jpg"), str(tmp_path / "linked.jpg")]
    assert [(reason, uri.rpartition("/")[2]) for reason, uri in skipped] == [
        ("symbolic link to a folder", "up"),
        ("not a regular file", "dangling.jpg"),
        ("not a regular file", "itself.jpg"),
        ("not a regular file", "pipe.jpg"),
    ]
    (tmp_path / "door").symlink_to(tmp_path / "a")
    assert file_keys(str(tmp_path / "door")) == [str(tmp_path / "door/1.jpg")]


@pytest.mark.parametrize("name", ["nothing", "*.jpg", "no\0name", "a/b/c"])
def test_nothing_at_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"expected .*, got no(ne|thing)") as caught:
        build_store(str(tmp_path / name), StoreOptions()).list_images(anywhere)
    assert str(tmp_path) in str(caught.value)


def test_closed_folders_and_files(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abc")
    (ref,), _ = listed(build_store(str(tmp_path), StoreOptions()))
    (tmp_path / "a.jpg").chmod(0)
    if os.access(tmp_path / "a.jpg", os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(StoreAccessError, match=r"/a\.jpg"):
        stores.read(ref, StoreOptions())
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(StoreAccessError, match="closed"):
        listed(build_store(str(tmp_path), StoreOptions()))


def test_a_file_with_the_same_size_but_another_time_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"abc")
    (ref,), _ = listed(build_store(str(path), StoreOptions()))
    assert ref.version == f"3-{path.stat().st_mtime_ns}"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    with pytest.raises(ObjectChangedError, match=ref.version):
        stores.read(ref, StoreOptions())
    path.unlink()
    path.mkdir()
    with pytest.raises(ObjectGoneError):
        stores.read(ref, StoreOptions())
