"""One contract over every store; keys and access where S3 differs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from botocore.exceptions import ClientError
from support.listed import listed
from support.s3_server import S3Server, moto_server, real_server

from schemas.errors import (
    ObjectChangedError,
    ObjectGoneError,
    StoreAccessError,
)
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.stores import open as stores
from workers.stores.open import build_store

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
    assert ImageRef.from_uri(ref.uri, ref.version, ref.size_bytes) == ref
    assert stores.find(ref, place.options) == ref


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


def test_what_is_there_now_is_found(place: Place) -> None:
    place.put("a.jpg", b"one")
    place.put("b.jpg", b"two")
    (changed, gone), _ = listed(build_store(place.source, place.options))
    place.put("a.jpg", b"another")
    place.remove("b.jpg")
    now = stores.find(changed, place.options)
    assert now is not None
    assert stores.read(now, place.options) == b"another"
    assert (now.uri, now.size_bytes) == (changed.uri, 7)
    assert now.version != changed.version
    assert stores.find(gone, place.options) is None


def test_a_source_covers_what_it_would_list(place: Place) -> None:
    for name in ("a.jpg", "inner/b.jpg", "inner/c.txt", "inner.jpg"):
        place.put(name, b"body")

    def covered(source: str, refs: list[ImageRef], **selection: tuple[str, ...]) -> list[str]:
        store = build_store(source, place.options.model_copy(update=selection))
        return [place.name_of(ref) for ref in refs if store.covers(ref)]

    whole = build_store(place.source, place.options)
    refs, _ = listed(whole)
    assert covered(place.source, refs) == ["a.jpg", "inner.jpg", "inner/b.jpg"]
    assert covered(place.source + "/inner/", refs) == ["inner/b.jpg"]
    assert covered(place.source, refs, exclude=("*inner/*",)) == ["a.jpg", "inner.jpg"]
    text = ImageRef.from_uri(refs[2].uri.replace("b.jpg", "c.txt"), "", 4)
    assert not whole.covers(text)
    elsewhere = ImageRef("s3", "another-bucket", "a.jpg", "v", 4)
    assert not whole.covers(elsewhere)


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
