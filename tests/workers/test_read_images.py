"""A chunk is fetched and decoded: one result for each image, in order, whatever goes wrong."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.s3_server import Reply, Request, error_reply, moto_server, scripted_server
from support.waiting import PATIENCE_S

from pipeline.ingestion.listing import ignore_skipped, list_images
from schemas.images import DecodedImage, Failure, ImageRef, Stage
from schemas.options import DecodeOptions, StoreOptions
from workers.read_images import read_images


def png(value: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 3), (value, 0, 0)).save(out, "PNG")
    return out.getvalue()


def listed(source: str, options: StoreOptions) -> list[ImageRef]:
    return list(list_images([source], options, ignore_skipped))


def _identify(ref: ImageRef) -> ImageRef:
    """What stays the same when an image is read: the version of a file is known only then."""
    return replace(ref, version="", stamp="") if ref.store == "file" else ref


def read(refs: list[ImageRef], options: StoreOptions, concurrency: int = 4) -> list[object]:
    """The red value of each decoded image, or the failure."""
    results = read_images(refs, options, DecodeOptions(), concurrency)
    assert [_identify(result.ref) for result in results] == [_identify(ref) for ref in refs]
    return [
        int(result.pixels[0, 0, 0]) if isinstance(result, DecodedImage) else result
        for result in results
    ]


@pytest.mark.parametrize("concurrency", [1, 3, 100])
def test_results_are_in_the_order_of_the_refs(tmp_path: Path, concurrency: int) -> None:
    for value in range(20):
        (tmp_path / f"{value:02}.png").write_bytes(png(value))
    refs = listed(str(tmp_path), StoreOptions())[::-1]
    assert read(refs, StoreOptions(), concurrency) == list(range(20))[::-1]
    assert read(refs[:1] * 3, StoreOptions(), concurrency) == [19] * 3
    assert read([], StoreOptions(), concurrency) == []


def test_s3_and_files_in_one_call(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    with moto_server() as server:
        options = StoreOptions(endpoint_url=server.endpoint_url)
        bucket = server.make_bucket({"a b/ü+.png": png(2)})
        refs = listed(str(tmp_path), options) + listed(f"s3://{bucket}", options)
        assert read(refs, options) == [1, 2]


def test_failures_stand_beside_what_came_through(tmp_path: Path) -> None:
    for name in ("changed", "gone", "good", "text", "whole"):
        (tmp_path / f"{name}.png").write_bytes(png(7))
    (tmp_path / "text.png").write_bytes(b"no image")
    refs = listed(str(tmp_path), StoreOptions())
    (tmp_path / "changed.png").write_bytes(b"other")
    (tmp_path / "gone.png").unlink()
    changed, gone, good, text, whole = read(refs, StoreOptions())
    assert (good, whole) == (7, 7)
    flags = [
        (failure.error_class, failure.rejected, failure.gone, failure.retryable, failure.stage)
        for failure in (changed, gone, text)
        if isinstance(failure, Failure)
    ]
    assert flags == [
        ("ObjectChangedError", False, False, False, Stage.READ),
        ("ObjectGoneError", False, True, False, Stage.READ),
        ("BadImageError", True, False, False, Stage.READ),
    ]
    assert isinstance(text, Failure)
    assert text.message.endswith(f"(file://{tmp_path}/text.png)")


def s3_refs(count: int) -> list[ImageRef]:
    return [
        ImageRef(store="s3", bucket="bucket", key=f"{n}.png", version="e", size_bytes=0)
        for n in range(count)
    ]


def test_several_are_in_flight_at_a_time() -> None:
    together = threading.Barrier(3, timeout=PATIENCE_S)

    def respond(request: Request) -> Reply:
        together.wait()  # nothing is answered until three have asked
        return Reply(200, png(int(request.target.rpartition("/")[2].removesuffix(".png"))))

    with scripted_server(respond) as endpoint:
        options = StoreOptions(endpoint_url=endpoint)
        assert read(s3_refs(6), options, concurrency=3) == [0, 1, 2, 3, 4, 5]


def test_a_store_that_refuses_or_breaks_fails_each_image() -> None:
    answers = {
        "/bucket/0.png": Reply(200, png(5)[:-9], declared=len(png(5))),
        "/bucket/1.png": error_reply(403, "AccessDenied"),
        "/bucket/2.png": Reply(200, png(5)),
    }
    with scripted_server(lambda request: answers[request.target]) as endpoint:
        options = StoreOptions(endpoint_url=endpoint, max_attempts=1, retry_budget_s=0)
        short, refused, good = read(s3_refs(3), options)
    assert isinstance(short, Failure)
    assert (short.error_class, short.retryable) == ("StoreUnavailableError", True)
    assert isinstance(refused, Failure)
    assert (refused.error_class, refused.retryable) == ("StoreAccessError", False)
    assert good == 5


def test_pixels_are_upright_rgb(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (5, 2), 9).save(tmp_path / "a.png", exif=exif)
    (result,) = read_images(
        listed(str(tmp_path), StoreOptions()), StoreOptions(), DecodeOptions(), 1
    )
    assert isinstance(result, DecodedImage)
    assert np.array_equal(result.pixels, np.full((5, 2, 3), 9))
