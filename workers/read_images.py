"""Fetches and decodes images and frames of videos; one that cannot be becomes a `Failure`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from schemas.errors import ObjseekError, UsageError
from schemas.images import DecodedImage, Failure, ImageRef, Stage
from schemas.options import DecodeOptions, StoreOptions
from workers.images.decode import decode
from workers.images.read_limits import limit_decode
from workers.stores.file_version import identify
from workers.stores.open import read
from workers.stores.selection import NO_VIDEO_READER, can_read_videos


def read_images(
    refs: Sequence[ImageRef],
    store_options: StoreOptions,
    decode_options: DecodeOptions,
    concurrency: int,
) -> list[DecodedImage | Failure]:
    """One result for each ref, in their order. At most `concurrency` are fetched at a time.

    The refs of results have the version by content where a store lists none.

    Raises MemoryError if there is not enough for all images.
    """
    if not refs:
        return []
    results: dict[int, DecodedImage | Failure] = {}
    pool = ThreadPoolExecutor(max_workers=min(concurrency, len(refs)))
    try:
        rows = {
            pool.submit(read, ref, store_options): row
            for row, ref in enumerate(refs)
            if ref.time_s is None
        }
        for fetch in as_completed(list(rows)):
            row = rows.pop(fetch)  # and with it the bytes
            results[row] = _decode_fetched(fetch, refs[row], decode_options)
        for row, ref in enumerate(refs):
            if ref.time_s is not None:
                results[row] = _read_frame_or_fail(ref, store_options, decode_options)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [results[row] for row in range(len(refs))]


def read_image(
    ref: ImageRef, store_options: StoreOptions, decode_options: DecodeOptions
) -> DecodedImage:
    """An image, or the frame of a video that a ref names.

    Raises StoreError, BadImageError, and UsageError where what reads videos is not installed.
    """
    if ref.time_s is None:
        return decode(read(ref, store_options), ref, decode_options)
    if not can_read_videos():
        raise UsageError(f"expected an image, got {NO_VIDEO_READER} ({ref.uri})")
    from workers.videos.read_frame import read_frame

    return read_frame(ref, ref.time_s, store_options, decode_options)


def _read_frame_or_fail(
    ref: ImageRef, store_options: StoreOptions, decode_options: DecodeOptions
) -> DecodedImage | Failure:
    try:
        return read_image(ref, store_options, decode_options)
    except ObjseekError as exc:
        return Failure.from_error(ref, Stage.READ, exc)


def _decode_fetched(
    fetch: Future[bytes], ref: ImageRef, options: DecodeOptions
) -> DecodedImage | Failure:
    try:
        data = fetch.result()
        ref = identify(ref, data)
        with limit_decode():
            return decode(data, ref, options)
    except ObjseekError as exc:
        return Failure.from_error(ref, Stage.READ, exc)
