"""Chunks of a listing: deterministic, streamed, and counted exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.s3_server import (
    Reply,
    Request,
    error_reply,
    listing_page,
    moto_server,
    scripted_server,
)

from pipeline.ingestion.listing import last_chunk_size, list_chunks
from pipeline.progress import RunDetails
from schemas.errors import StoreAccessError, UsageError
from schemas.options import StoreOptions

OPTIONS = StoreOptions()


def fill(folder: Path, images: int) -> str:
    folder.mkdir()
    for number in range(images):
        (folder / f"{number:03}.jpg").write_bytes(b"abc")
    return str(folder)


def names(
    sources: list[str], size: int, limit: int | None, details: RunDetails | None = None
) -> list[list[str]]:
    taken = list_chunks(sources, OPTIONS, size, limit, (details or RunDetails()).skip)
    return [[ref.key.rpartition("/")[2] for ref in chunk] for chunk in taken]


def test_an_image_of_several_sources_is_listed_once(tmp_path: Path) -> None:
    folder = fill(tmp_path / "a", 3)
    details = RunDetails()
    sources = [f"{folder}/002.jpg", folder, f"{folder}/../a/*.jpg"]
    assert names(sources, 2, None, details) == [["002.jpg", "000.jpg"], ["001.jpg"]]


def test_chunks_are_full_but_for_the_last_and_run_over_sources(tmp_path: Path) -> None:
    sources = [fill(tmp_path / "b", 3), fill(tmp_path / "a", 2)]
    details = RunDetails()
    expected = [["000.jpg", "001.jpg"], ["002.jpg", "000.jpg"], ["001.jpg"]]
    assert names(sources, 2, None, details) == expected
    assert names(sources, 2, None) == expected
    assert not details.skipped
    assert names(sources, 5, None) == [[name for chunk in expected for name in chunk]]


def test_limit_counts_images(tmp_path: Path) -> None:
    source = fill(tmp_path / "a", 5)
    (tmp_path / "a/000.txt").write_bytes(b"abc")
    details = RunDetails()
    assert names([source], 2, 3, details) == [["000.jpg", "001.jpg"], ["002.jpg"]]
    assert details.skipped == {"not an image by its suffix": 1}
    assert names([source], 2, 9) == [["000.jpg", "001.jpg"], ["002.jpg", "003.jpg"], ["004.jpg"]]


def test_a_source_given_twice_is_listed_once(tmp_path: Path) -> None:
    source = fill(tmp_path / "a", 2)
    assert names([source, source], 8, None) == [["000.jpg", "001.jpg"]]


def test_nothing_to_list_is_counted_not_raised(tmp_path: Path) -> None:
    source = fill(tmp_path / "a", 0)
    (tmp_path / "a/empty.jpg").write_bytes(b"")
    (tmp_path / "a/notes.txt").write_bytes(b"abc")
    details = RunDetails()
    assert names([source], 2, None, details) == []
    assert details.skipped == {"zero bytes": 1, "not an image by its suffix": 1}
    assert details.empty_uris == [(tmp_path / "a/empty.jpg").as_uri()]
    for number in range(100):
        details.skip("zero bytes", f"s3://b/{number}.jpg")
    assert len(details.empty_uris) == 20  # however many there are


def test_every_source_is_looked_at_before_the_first_chunk(tmp_path: Path) -> None:
    source = fill(tmp_path / "a", 2)
    with pytest.raises(UsageError, match="nothing"):
        list_chunks([source, str(tmp_path / "nothing")], OPTIONS, 2, None, RunDetails().skip)
    with scripted_server(lambda request: error_reply(403, "AccessDenied")) as endpoint:
        options = StoreOptions(endpoint_url=endpoint, max_attempts=1)
        with pytest.raises(StoreAccessError, match="s3://closed/"):
            list_chunks([source, "s3://closed"], options, 2, None, RunDetails().skip)


def test_a_bucket_is_never_held_whole() -> None:
    targets: list[str] = []

    def respond(request: Request) -> Reply:
        targets.append(request.target)
        return listing_page([f"{len(targets)}-{i}.jpg" for i in range(4)], f"token-{len(targets)}")

    details = RunDetails()
    with scripted_server(respond) as endpoint:
        options = StoreOptions(endpoint_url=endpoint)
        endless = list_chunks(["s3://bucket"], options, 3, None, details.skip)
        assert [ref.key for ref in next(endless)] == ["1-0.jpg", "1-1.jpg", "1-2.jpg"]
        assert len(targets) == 1
        assert [ref.key for ref in next(endless)] == ["1-3.jpg", "2-0.jpg", "2-1.jpg"]
        assert len(targets) == 2


def test_more_than_a_page_of_a_bucket_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")
    objects = {f"{number:02}+ü.jpg": b"a" for number in range(25)}
    details = RunDetails()
    with moto_server() as server:
        bucket = server.make_bucket(objects | {"x/": b"", "y.jpg": b"", "z.csv": b"a"})
        first = server.client.list_objects_v2(Bucket=bucket)
        assert (first["KeyCount"], first["IsTruncated"]) == (10, True)
        options = StoreOptions(endpoint_url=server.endpoint_url)
        found = list(list_chunks([f"s3://{bucket}"], options, 8, None, details.skip))
    assert [len(chunk) for chunk in found] == [8, 8, 8, 1]
    assert [ref.key for chunk in found for ref in chunk] == list(objects)
    assert details.skipped == {
        "folder marker": 1,
        "zero bytes": 1,
        "not an image by its suffix": 1,
    }


def test_the_last_chunks_get_smaller_so_that_workers_end_together() -> None:
    left, sizes = 40, []
    while left:
        sizes.append(last_chunk_size(left, 8, 2))
        left -= sizes[-1]
    assert sizes == [8, 8, 6, 5, 4, 3, 2, 1, 1, 1, 1]


@pytest.mark.parametrize("images", [1, 2, 4, 30])
def test_a_small_bucket_is_work_for_every_worker(images: int) -> None:
    assert last_chunk_size(images, 256, 2) <= max(1, images // 2)


def test_a_worker_alone_gets_full_chunks() -> None:
    assert [last_chunk_size(left, 8, 1) for left in (40, 9, 8, 3)] == [8, 8, 8, 3]
