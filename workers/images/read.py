"""Fetches and decodes a chunk of images; one that cannot be read becomes a `Failure`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from schemas.errors import ObjseekError
from schemas.images import DecodedImage, Failure, ImageRef, Stage
from schemas.options import DecodeOptions, StoreOptions
from workers.images.decode import decode
from workers.images.read_limits import limit_decode
from workers.stores.file_version import identify
from workers.stores.open import read


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
        rows = {pool.submit(read, ref, store_options): row for row, ref in enumerate(refs)}
        for fetch in as_completed(list(rows)):
            row = rows.pop(fetch)  # and with it the bytes
            results[row] = _decode_fetched(fetch, refs[row], decode_options)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [results[row] for row in range(len(refs))]


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
