"""Opens stored videos as files that can be read in parts: none is ever fetched as a whole."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from schemas.errors import ObjseekError
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.stores import folder

BLOCK_BYTES = 1 << 20
_MOST_AT_ONCE = 8
_MOST_KEPT = 24  # blocks, beside those that are being fetched

ReadRange = Callable[[int, int], bytes]
"""Up to so many bytes (second) from a place on (first), fewer at the end only."""


@contextmanager
def open_stored(ref: ImageRef, options: StoreOptions) -> Iterator[StoredFile]:
    """The stored video, while it is in the version of `ref`; checked again when it is closed.

    A file is checked by its stamp, an S3 object with each request. Raises ObjectGoneError,
    ObjectChangedError, StoreAccessError, StoreUnavailableError, as does reading from it.
    """
    if ref.store == "file":
        with folder.open_version(ref) as opened:
            yield StoredFile(opened.read_range, opened.check())
            opened.check()
        return
    from workers.stores.s3_ranges import read_range

    first, told_bytes = read_range(ref, 0, BLOCK_BYTES, options)
    size_bytes = told_bytes or ref.size_bytes or len(first)
    blocks = BlockCache(
        lambda start, length: read_range(ref, start, length, options)[0], size_bytes, first
    )
    yield StoredFile(blocks.read_range, size_bytes, blocks)


class BlockCache:
    """Keeps the parts of an object that were read last, in blocks of one size.

    One request fetches one block, or twice as many as the last one while it goes on where that one
    ended, so that jumping about costs little and reading on few requests. Holds at most
    (`_MOST_KEPT` + `_MOST_AT_ONCE`) blocks.
    """

    def __init__(self, fetch: ReadRange, size_bytes: int, first: bytes) -> None:
        """`first` are the first bytes, whole blocks of them unless the object ends with them."""
        self._fetch = fetch
        self._size_bytes = size_bytes
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._next = 0
        self._at_once = 1
        self.requests = 0
        self.fetched_bytes = 0
        self._keep(0, first)

    def read_range(self, start: int, length: int) -> bytes:
        end = min(start + length, self._size_bytes)
        parts: list[bytes] = []
        while start < end:
            number, offset = divmod(start, BLOCK_BYTES)
            part = self._get(number)[offset : offset + end - start]
            if not part:
                break
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _get(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        count = min(2 * self._at_once, _MOST_AT_ONCE) if number == self._next else 1
        # What is there already need not come again.
        known = (k for k in range(1, count) if number + k in self._blocks)
        count = next(known, count)
        start = number * BLOCK_BYTES
        length = min(count * BLOCK_BYTES, self._size_bytes - start)
        self._keep(number, self._fetch(start, length))
        self._at_once = count
        return self._blocks[number]

    def _keep(self, number: int, data: bytes) -> None:
        self.requests += 1
        self.fetched_bytes += len(data)
        while len(self._blocks) > _MOST_KEPT:
            self._blocks.popitem(last=False)
        starts = range(0, len(data), BLOCK_BYTES)
        # The first of them is what is read next, so it goes last.
        for k in reversed(range(len(starts))):
            self._blocks[number + k] = data[starts[k] : starts[k] + BLOCK_BYTES]
        self._next = number + len(starts)


class StoredFile:
    """A file object, read-only, for PyAV.

    PyAV may swallow what `read` raises, or take it for the end of the file: `error` keeps it, and
    nothing is read any more after it.
    """

    def __init__(
        self, read_range: ReadRange, size_bytes: int, blocks: BlockCache | None = None
    ) -> None:
        self._read_range = read_range
        self._at = 0
        self.size_bytes = size_bytes
        self.blocks = blocks
        self.error: ObjseekError | None = None

    def read(self, length: int = -1) -> bytes:
        if self.error is not None:
            raise self.error
        wanted = self.size_bytes - self._at if length < 0 else length
        try:
            data = self._read_range(self._at, max(wanted, 0))
        except ObjseekError as exc:
            self.error = exc
            raise
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size_bytes}[whence]
        if start + offset < 0:
            raise ValueError(f"expected a place in a file, got {start + offset}")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at
