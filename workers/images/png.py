"""Takes out of a PNG what its pixels do not need, and checks the checksums of what they do."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.errors import BadImageError

MAGIC = b"\x89PNG\r\n\x1a\n"
MAX_INFLATED_BYTES = 16 * 2**20  # of a profile or a text; as many as a JPEG can hold of a profile
_TYPE_OF_COLOUR = 25  # where it stands: in the header, which comes first
_HEADER = b"IHDR"
_PIXELS = b"IDAT"
# Its first frame is what a reader shows that knows no animations, so theirs are left out.
_ANCILLARY = frozenset({b"tRNS", b"iCCP", b"eXIf"})
_LEAST_TRANSPARENCY = {0: 2, 2: 6}  # bytes, by type of colour: grey and RGB; else one
_TEXTS = frozenset({b"iTXt", b"tEXt", b"zTXt"})
_KEYWORDS = frozenset({b"XML:com.adobe.xmp", b"Raw profile type exif"})  # where orientations are


@dataclass(frozen=True, slots=True)
class _Chunk:
    name: bytes
    start: int  # of its length, its first field
    body: memoryview
    end: int
    is_sound: bool | None  # None: not checked

    @property
    def is_ancillary(self) -> bool:
        return bool(self.name[0] & 0x20)


def keep_needed_chunks(data: bytes) -> bytes:
    """The PNG without texts, times and other chunks that change no pixel of its first frame.

    So neither a megabyte of text nor a wrong checksum in such a chunk is a reason to refuse it, and
    no text is inflated in vain. Orientations are kept, and transparency and profile, unless their
    own checksum is wrong. Raises BadImageError for a header that does not match its checksum.
    """
    view, kept = memoryview(data), []
    seen: set[bytes] = set()
    begin = 0
    for chunk in _iterate_chunks(data):
        if not _is_needed(chunk, seen, data[_TYPE_OF_COLOUR : _TYPE_OF_COLOUR + 1]):
            kept.append(view[begin : chunk.start])
            begin = chunk.end
    return b"".join([*kept, view[begin:]]) if kept else data


def check_pixel_chunks(data: bytes) -> None:
    """Check the checksums of a PNG's pixels, as libpng does; Pillow skips them."""
    for chunk in _iterate_chunks(data, checked=_PIXELS):
        if chunk.is_sound is False:
            raise BadImageError(
                "expected a whole image, got a chunk IDAT that does not match its checksum"
            )


def _iterate_chunks(data: bytes, checked: bytes = b"") -> Iterator[_Chunk]:
    """The whole chunks up to the end's; of large ones only `checked` are held to their checksum."""
    view, start = memoryview(data), len(MAGIC)
    # The decoder reports a truncated file.
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(view[start : start + 4])
        name = bytes(view[start + 4 : start + 8])
        if end > len(data) or not name.isalpha():
            return
        body = view[start + 8 : end - 4]
        sound = None
        if name == checked or (not checked and name != _PIXELS):
            sound = zlib.crc32(body, zlib.crc32(name)) == int.from_bytes(view[end - 4 : end])
        yield _Chunk(name, start, body, end, sound)
        if name == b"IEND":
            return
        start = end


def _is_needed(chunk: _Chunk, seen: set[bytes], type_of_colour: bytes) -> bool:
    if not chunk.is_ancillary:
        if chunk.name == _HEADER and not chunk.is_sound:
            raise BadImageError(
                "expected a whole image, got a PNG with a broken header: "
                "its chunk IHDR does not match its checksum"
            )
        return True
    kind = chunk.name
    if kind in _TEXTS:
        kind = bytes(chunk.body[:80]).partition(b"\0")[0]
    if kind in seen or not chunk.is_sound or kind not in _ANCILLARY | _KEYWORDS:
        return False
    if kind == b"tRNS" and len(chunk.body) < _LEAST_TRANSPARENCY.get(type_of_colour[0], 1):
        return False
    if not _inflates_within_limit(chunk):
        return False
    seen.add(kind)
    return True


def _inflates_within_limit(chunk: _Chunk) -> bool:
    _, _, rest = bytes(chunk.body).partition(b"\0")
    if chunk.name in (b"iCCP", b"zTXt"):
        if rest[:1] != b"\0":  # the only method that there is
            return False
        packed = rest[1:]
    elif chunk.name == b"iTXt" and rest[:1] == b"\1":
        packed = rest[2:].split(b"\0", 2)[-1]
    else:
        return len(chunk.body) <= MAX_INFLATED_BYTES
    inflater = zlib.decompressobj()
    try:
        inflater.decompress(packed, MAX_INFLATED_BYTES)
    except zlib.error:
        return False
    return not inflater.unconsumed_tail
