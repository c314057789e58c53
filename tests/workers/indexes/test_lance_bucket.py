"""A Lance index in a bucket: how it is reached, what is refused, and answers that are lost."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from support.index_cases import DIM, embedded, held, ids_of, unit
from support.s3_relay import S3Relay, relaying
from support.s3_server import S3Server, error_reply, moto_server, scripted_server

from schemas.errors import IndexMissingError, IndexUnavailableError
from schemas.ids import image_id
from schemas.options import IndexOptions
from schemas.records import EmbeddedImage
from workers.indexes.lance.creation import create_table
from workers.indexes.lance.rows import table_schema
from workers.indexes.open import generations_of, open_index
from workers.indexes.point_index import PointIndex

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")

REFUSED = "expected a place where a file can be created only if it is not there yet"
NOWHERE = "http://127.0.0.1:9"  # the port that discards: nobody listens


@pytest.fixture(name="server", scope="module")
def a_server() -> Iterator[S3Server]:
    with moto_server() as server:
        yield server


@pytest.fixture(name="relay", scope="module")
def a_relay(server: S3Server) -> Iterator[S3Relay]:
    with relaying(server.endpoint_url) as relay:
        yield relay


def options_of(bucket: str, endpoint: str | None, prefix: str = "/some/prefix") -> IndexOptions:
    return IndexOptions(
        location=f"lance+s3://{bucket}{prefix}", endpoint_url=endpoint, retry_budget_s=1
    )


def opened(options: IndexOptions, *, create: bool = True) -> PointIndex:
    index = open_index(options, DIM, create=create)
    assert isinstance(index, PointIndex)
    return index


def keys_in(server: S3Server, bucket: str) -> list[str]:
    pages = server.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


@pytest.mark.parametrize("prefix", ["", "/", "/a", "/some/pre fix+%2e/ü"])
def test_an_index_lives_at_any_prefix_of_a_bucket(server: S3Server, prefix: str) -> None:
    bucket = server.make_bucket({"photos/a.jpg": b"no part of it"})
    options = options_of(bucket, server.endpoint_url, prefix)
    image = embedded("a.jpg", unit(0, 4))
    with opened(options) as index:
        index.replace_images([image, embedded("b.jpg", unit(1, 3))])
        index.delete_images([image_id(embedded("b.jpg", unit(1, 3)).ref)])
    with opened(options, create=False) as index:
        assert held(index) == ids_of(image)
    below = f"{prefix.strip('/')}/points.lance/".lstrip("/")
    keys = keys_in(server, bucket)
    keys.remove("photos/a.jpg")
    assert keys
    assert all(key.startswith(below) for key in keys), keys


@pytest.mark.parametrize("name", ["a%2520b", "pre fix+\u00fc", "a%23b"])
def test_an_index_lives_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    options = IndexOptions(location=f"lance+file://{tmp_path}/{name}")
    image = embedded("a.jpg", unit(0, 4))
    with opened(options) as index:
        index.replace_images([image])
    with opened(options, create=False) as index:
        assert held(index) == ids_of(image)
    (folder,) = tmp_path.iterdir()
    assert folder.name == unquote(name)
    assert [path.name for path in folder.iterdir()] == ["points.lance"]
    assert generations_of(options).names() == ["first"]


def test_generations_lie_beside_each_other_in_a_bucket(server: S3Server) -> None:
    options = options_of(server.make_bucket(), server.endpoint_url)
    generations = generations_of(options)
    assert (generations.names(), generations.current()) == ([], "first")
    images = {"first": embedded("a.jpg", unit(0, 4)), "clip": embedded("b.jpg", unit(1, 3))}
    for name, image in images.items():
        with opened(options.model_copy(update={"location": generations.location(name)})) as index:
            index.replace_images([image])
    assert generations.names() == ["first", "clip"]
    generations.use("clip")
    assert generations.current() == generations_of(options).current() == "clip"
    generations.drop("first")
    assert generations.names() == ["clip"]
    left = options.model_copy(update={"location": generations.location("clip")})
    with opened(left, create=False) as index:
        assert held(index) == ids_of(images["clip"])


@pytest.mark.parametrize("of_environment", [NOWHERE, None], ids=["another", "none"])
def test_the_endpoint_of_the_settings_counts_for_more_than_that_of_the_environment(
    of_environment: str | None, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        if of_environment is not None:
            monkeypatch.setenv(name, of_environment)
    with opened(options_of(server.make_bucket(), server.endpoint_url)) as index:
        assert index.count() == 0


def test_without_settings_the_environment_says_where_a_bucket_is(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint_url)
    with opened(options_of(server.make_bucket(), None)) as index:
        assert index.count() == 0


def test_what_is_not_there_or_does_not_answer_is_one_sentence(server: S3Server) -> None:
    empty = options_of(server.make_bucket(), server.endpoint_url)
    with pytest.raises(IndexMissingError) as missing:
        opened(empty, create=False)
    assert str(missing.value) == f"there is no index at {empty.location}"
    away = options_of("bucket-of-nobody", server.endpoint_url)
    nowhere = options_of("bucket-of-nobody", NOWHERE)
    for options, reason in ((away, "NoSuchBucket"), (nowhere, NOWHERE)):
        for create in (False, True):
            with pytest.raises(IndexUnavailableError, match=reason) as refused:
                opened(options, create=create)
            sentence = str(refused.value)
            assert sentence.startswith(f"the index {options.location} cannot be ")
            assert not any(mark in sentence for mark in ("\n", "<", ".rs:", "LanceError"))
        with pytest.raises(IndexUnavailableError, match=reason):
            generations_of(options).current()


def test_keys_that_are_refused_are_one_sentence() -> None:
    refusal = error_reply(403, "InvalidAccessKeyId")
    with scripted_server(lambda _: refusal) as endpoint:
        options = options_of("bucket", endpoint)
        with pytest.raises(IndexUnavailableError, match=r"HTTP 403.*InvalidAccessKeyId"):
            opened(options, create=False)
        with pytest.raises(IndexUnavailableError, match=r"403.*InvalidAccessKeyId"):
            generations_of(options).current()


@pytest.mark.long
def test_a_bucket_that_goes_away_is_one_sentence_for_readers_and_writers(server: S3Server) -> None:
    bucket = server.make_bucket()
    with relaying(server.endpoint_url) as relay:
        options = options_of(bucket, relay.endpoint_url)
        index = opened(options.model_copy(update={"refresh_s": 0.0}))
        index.replace_images([embedded("a.jpg", unit(0, 4))])
    for do in (index.count, lambda: index.replace_images([embedded("b.jpg", unit(1, 2))])):
        with pytest.raises(IndexUnavailableError, match="error sending request") as lost:
            do()
        assert "\n" not in str(lost.value)


def test_a_store_that_forgets_conditions_is_refused_before_anything_is_written(
    server: S3Server,
) -> None:
    bucket = server.make_bucket()
    image = embedded("a.jpg", unit(0, 4))
    with relaying(server.endpoint_url, forgets_conditions=True) as relay:
        options = options_of(bucket, relay.endpoint_url)
        with pytest.raises(IndexUnavailableError, match=REFUSED):
            opened(options)
        assert keys_in(server, bucket) == []
        # One that was made elsewhere is read there, and not written.
        with opened(options_of(bucket, server.endpoint_url)) as index:
            index.replace_images([image])
        there = keys_in(server, bucket)
        with opened(options, create=False) as index:
            assert held(index) == ids_of(image)
            for write in (index.require_writable, lambda: index.replace_images([image])):
                with pytest.raises(IndexUnavailableError, match=REFUSED):
                    write()
        assert keys_in(server, bucket) == there


def test_a_folder_without_links_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(IndexUnavailableError, match=f"{REFUSED}.*file systems without links"):
        opened(IndexOptions(location=f"lance+file://{tmp_path}/index"))
    assert list((tmp_path / "index").iterdir()) == []


@pytest.mark.parametrize("kind", ["bucket", "folder"])
def test_whoever_makes_an_index_at_the_same_time_gets_the_same(
    kind: str, server: S3Server, tmp_path: Path
) -> None:
    options = options_of(server.make_bucket(), server.endpoint_url)
    if kind == "folder":
        options = IndexOptions(location=f"lance+file://{tmp_path}/index")
    images = [embedded(f"{number}.jpg", unit(number, 3)) for number in range(8)]
    begin = threading.Barrier(len(images))

    def write(image: EmbeddedImage) -> None:
        begin.wait()
        with opened(options) as index:
            index.replace_images([image])

    with ThreadPoolExecutor(len(images)) as pool:
        assert list(pool.map(write, images)) == [None] * len(images)
    with opened(options, create=False) as index:
        found = Counter(point.id for point in index.scroll())
    assert found == Counter(identity for image in images for identity in ids_of(image))


@pytest.mark.parametrize("kind", ["bucket", "folder"])
def test_a_table_that_another_has_just_made_and_written_to_stays(
    kind: str, server: S3Server, tmp_path: Path
) -> None:
    options = options_of(server.make_bucket(), server.endpoint_url)
    if kind == "folder":
        options = IndexOptions(location=f"lance+file://{tmp_path}/index")
    image = embedded("a.jpg", unit(0, 4))
    with opened(options) as index:
        index.replace_images([image])
        # As a writer does it that found no table a moment before.
        create_table(options, table_schema(DIM))
        index.flush()
        assert held(index) == ids_of(image)
    with opened(options) as index:
        assert held(index) == ids_of(image)
    if kind == "folder":
        assert [path.name for path in (tmp_path / "index").iterdir()] == ["points.lance"]


@pytest.mark.long
def test_an_index_is_made_though_an_answer_is_lost(server: S3Server, relay: S3Relay) -> None:
    bucket = server.make_bucket()
    lost = []
    for number in count(1):
        options = options_of(bucket, relay.endpoint_url, f"/{number}")
        options = options.model_copy(update={"retry_budget_s": 600.0})
        relay.restart({number: "lose"})
        opened(options).close()
        requests = relay.requests
        relay.restart()
        with opened(options, create=False) as index:
            assert index.count() == 0
        if len(requests) < number:
            break
        lost.append(requests[number - 1])
    # Both of the probe, and the commit itself.
    assert sum("objseek-probe-" in each for each in lost if each.startswith("PUT ")) == 2
    assert any("/_versions/" in each for each in lost if each.startswith("PUT "))


@pytest.mark.long
@pytest.mark.parametrize("had_points", [False, True], ids=["new", "replaced"])
def test_points_whose_answer_is_lost_are_there_once(
    had_points: bool, server: S3Server, relay: S3Relay
) -> None:
    """Whichever answer of a commit it is; that of the manifest too, which is the commit itself."""
    options = options_of(server.make_bucket(), relay.endpoint_url)
    options = options.model_copy(update={"retry_budget_s": 600.0})
    before, beside = embedded("a.jpg", unit(0, 5), version="v0"), embedded("b.jpg", unit(1, 2))
    after = embedded("a.jpg", unit(2, 4))
    lost = []
    with opened(options) as index:
        for number in count(1):
            relay.restart()
            index.delete_images([image_id(before.ref), image_id(beside.ref)])
            index.replace_images([before, beside] if had_points else [beside])
            relay.restart({number: "lose"})
            assert index.replace_images([after]) == set()
            found, requests = Counter(point.id for point in index.scroll()), relay.requests
            assert found == Counter(ids_of(after) | ids_of(beside))
            if not relay.reached.is_set():
                break
            lost.append(requests[number - 1])
        relay.restart()
    written = [request for request in lost if request.startswith("PUT ")]
    kinds = {request.rpartition("/points.lance/")[2].partition("/")[0] for request in written}
    assert kinds >= {"data", "_transactions", "_versions"}
    assert ("_deletions" in kinds) == had_points
