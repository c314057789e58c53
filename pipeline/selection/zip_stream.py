"""Writes a zip file in pieces, as its entries come."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator

Entry = tuple[str, bytes]
"""The name of a file in a zip, and its content."""


class ZipStream:
    """Gives the bytes of a zip file entry by entry, and holds nothing but the list of them."""

    def __init__(self) -> None:
        self._pieces = _Pieces()
        self._zip = zipfile.ZipFile(self._pieces, "w", zipfile.ZIP_DEFLATED)

    def add(self, entry: Entry) -> bytes:
        """The piece of a further entry; pictures are not compressed again."""
        name, content = entry
        is_picture = name.endswith((".jpg", ".png"))
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_STORED if is_picture else zipfile.ZIP_DEFLATED
        self._zip.writestr(info, content)
        return self._pieces.take()

    def finish(self) -> bytes:
        """The last piece."""
        self._zip.close()
        return self._pieces.take()


def zip_entries(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The pieces of a zip file of entries."""
    stream = ZipStream()
    for entry in entries:
        yield stream.add(entry)
    yield stream.finish()


class _Pieces(io.RawIOBase):
    """A file that is written to and never read, nor sought in."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._buffer += data
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken
