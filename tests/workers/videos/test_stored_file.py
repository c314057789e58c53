"""Stored videos read in parts: how many requests, how many bytes, and which errors come through."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.s3_server import Reply, Request, S3Server, error_reply, moto_server, scripted_server
from support.videos import Drawn, read_number, stored, write_video

from schemas.errors import (
    ObjectChangedError,
    ObjectGoneError,
    StoreAccessError,
    StoreError,
    StoreUnavailableError,
)
from schemas.images import ImageRef
from schemas.options import DecodeOptions, StoreOptions, VideoOptions
from schemas.videos import VideoPiece
from workers.stores import s3
from workers.videos.open_video import open_video
from workers.videos.read_frame import read_frame
from workers.videos.read_piece import read_piece
from workers.videos.stored_file import BLOCK_BYTES, BlockCache, open_stored


class Remote:
    """Bytes that count how often they are fetched."""

    def __init__(self, size: int) -> None:
        self.body = random.Random(0).randbytes(size)
        self.ranges: list[tuple[int, int]] = []

    def fetch(self, start: int, length: int) -> bytes:
        self.ranges.append((start, length))
        return self.body[start : start + length]

    def cache(self) -> BlockCache:
        return BlockCache(self.fetch, len(self.body), self.body[:BLOCK_BYTES])


def test_reading_on_takes_ever_larger_parts() -> None:
    remote = Remote(40 * BLOCK_BYTES + 77)
    cache = remote.cache()
    got = b"".join(
        cache.read_range(start, 100_000) for start in range(0, len(remote.body), 100_000)
    )
    assert got == remote.body
    blocks = [length / BLOCK_BYTES for _, length in remote.ranges]
    assert blocks[:4] == [2, 4, 8, 8]
    assert sum(length for _, length in remote.ranges) == len(remote.body) - BLOCK_BYTES


def test_jumping_about_takes_one_block_each() -> None:
    remote = Remote(40 * BLOCK_BYTES)
    cache = remote.cache()
    for place in (30, 10, 20):
        start = place * BLOCK_BYTES + 5
        assert cache.read_range(start, 9) == remote.body[start : start + 9]
    assert remote.ranges == [(place * BLOCK_BYTES, BLOCK_BYTES) for place in (30, 10, 20)]
    cache.read_range(10 * BLOCK_BYTES, 100)
    assert len(remote.ranges) == 3


def test_any_reads_are_right_and_what_is_kept_is_bounded() -> None:
    remote = Remote(60 * BLOCK_BYTES + 1)
    cache, rng = remote.cache(), random.Random(1)
    for _ in range(150):
        start, length = rng.randrange(len(remote.body) + 10), rng.randrange(3 * BLOCK_BYTES)
        assert cache.read_range(start, length) == remote.body[start : start + length]
        assert sum(map(len, cache._blocks.values())) <= 32 * BLOCK_BYTES


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with moto_server() as found:
        yield found


def noise_video(index_first: bool) -> bytes:
    """9 MB, of which its index is a few KB."""
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (240, 320, 3), np.uint8) for _ in range(40)]
    options = {"movflags": "faststart"} if index_first else {}
    drawn = Drawn("mov", "png", "rgb24", 40, size_hw=(240, 320), container_options=options)
    return write_video(drawn, frames)


def put(server: S3Server, data: bytes) -> tuple[ImageRef, StoreOptions]:
    bucket = server.make_bucket({"a.mov": data})
    options = StoreOptions(endpoint_url=server.endpoint_url, max_attempts=1, retry_budget_s=0)
    ref = s3.find(ImageRef("s3", bucket, "a.mov", "", 0), options)
    assert ref is not None
    return ref, options


@pytest.mark.parametrize("index_first", [True, False])
def test_a_frame_of_an_s3_object_takes_a_few_parts_of_it(
    server: S3Server, index_first: bool
) -> None:
    data = noise_video(index_first)
    assert len(data) > 5 * BLOCK_BYTES
    ref, options = put(server, data)
    with open_video(ref, options, DecodeOptions(), animations=False) as video:
        assert next(video.frames_from(2.0)).time_s <= 2.0
        assert video.file.blocks is not None
        assert video.file.blocks.requests <= 3
        assert video.file.blocks.fetched_bytes <= 3 * BLOCK_BYTES


def test_an_s3_object_is_read_as_a_file_is(server: S3Server, tmp_path: Path) -> None:
    data = write_video(Drawn(count=40, options={"g": "7"}))
    ref, options = put(server, data)
    video = VideoOptions(fps=10)
    here = read_piece(
        VideoPiece(stored(tmp_path, data), 1, 15), StoreOptions(), DecodeOptions(), video
    )
    there = read_piece(VideoPiece(ref, 1, 15), options, DecodeOptions(), video)
    assert [frame.time_s for frame in there.frames] == [frame.time_s for frame in here.frames]
    assert [read_number(frame.pixels) for frame in there.frames] == list(range(15, 31))
    unknown = replace(ref, size_bytes=0)
    assert read_number(read_frame(unknown, 2.0, options, DecodeOptions()).pixels) == 20


def test_errors_of_the_store_come_through_the_decoder(server: S3Server) -> None:
    ref, options = put(server, noise_video(index_first=True))

    def read_changed() -> None:
        with open_video(ref, options, DecodeOptions(), animations=False) as video:
            server.client.put_object(Bucket=ref.bucket, Key=ref.key, Body=b"another")
            list(video.frames_from(0))

    with pytest.raises(ObjectChangedError, match=r"a\.mov"):
        read_changed()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (error_reply(403, "AccessDenied"), StoreAccessError),
        (error_reply(404, "NoSuchKey"), ObjectGoneError),
        (error_reply(503, "SlowDown"), StoreUnavailableError),
    ],
)
def test_errors_after_the_start_come_through(reply: Reply, error: type[StoreError]) -> None:
    data = noise_video(index_first=False)

    def respond(request: Request) -> Reply:
        first, _, last = request.headers["Range"].removeprefix("bytes=").partition("-")
        if int(first):
            return reply
        told = f"bytes 0-{last}/{len(data)}"
        return Reply(206, data[: int(last) + 1], headers={"ETag": '"e"', "Content-Range": told})

    with scripted_server(respond) as endpoint:
        options = StoreOptions(endpoint_url=endpoint, max_attempts=1, retry_budget_s=0)
        ref = ImageRef("s3", "bucket", "a.mov", "e", len(data))
        with pytest.raises(error, match=r"a\.mov"):
            read_piece(VideoPiece(ref), options, DecodeOptions(), VideoOptions())


def test_a_file_must_be_the_listed_one(tmp_path: Path) -> None:
    data = write_video()
    ref = stored(tmp_path, data)
    os.utime(ref.key, ns=(1, 1))
    with pytest.raises(ObjectChangedError), open_stored(ref, StoreOptions()):
        pass
    with pytest.raises(ObjectGoneError), open_stored(replace(ref, key="/none"), StoreOptions()):
        pass


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    ref = stored(tmp_path, write_video())

    def read_changed() -> None:
        with open_stored(ref, StoreOptions()) as file:
            file.read(10)
            os.utime(ref.key, ns=(1, 1))

    with pytest.raises(ObjectChangedError):
        read_changed()
