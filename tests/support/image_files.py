"""Files as buckets have them: odd images that are good all the same, and what is none."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import ExifTags, Image

_SHORT, _LONG = 3, 4  # types of values in a TIFF
Maker = Callable[[int], bytes]
"""A file of this kind; another one for every number."""


def photo(number: int, height: int = 48, width: int = 64) -> Image.Image:
    """Smooth with some noise, so that no format makes nothing of it."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(number).integers(0, 40, (height, width))
    channels = [x * 3 + noise, y * 4 + noise, np.full_like(x, 20 + number % 180) + noise]
    return Image.fromarray(np.stack(channels, axis=2).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **how: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def png_file(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, each with its checksum."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def png(bit_depth: int, colour: int, width: int, height: int, compressed: bytes) -> bytes:
    """A PNG of these header fields."""
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour, 0, 0, 0)
    return png_file((b"IHDR", header), (b"IDAT", compressed), (b"IEND", b""))


def _of_a_bad_crc(number: int) -> bytes:
    data = bytearray(encoded(photo(number), "PNG"))
    data[data.index(b"IEND") - 5] ^= 1  # after the last of the pixels' chunks
    return bytes(data)


def bmp(width: int, height: int, bits: int = 24, colours: int = 0, pixels: bytes = b"") -> bytes:
    """A BMP of these header fields."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, 0, 0, colours, 0)
    return struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54) + header + pixels


def tiff(tags: list[tuple[int, int, int, int]], following: int = 0, order: str = "<") -> bytes:
    """A TIFF of one directory at byte 8: tag, type, count and value of each entry."""
    entries = b""
    for tag, kind, count, value in tags:
        entries += struct.pack(f"{order}HHI", tag, kind, count)
        # A short stands in the first half of four bytes.
        entries += struct.pack(f"{order}{'H2x' if kind == _SHORT else 'I'}", value)
    mark = b"II" if order == "<" else b"MM"
    start = mark + struct.pack(f"{order}HI", 42, 8) + struct.pack(f"{order}H", len(tags))
    return start + entries + struct.pack(f"{order}I", following)


def _tags(width: int, height: int, offset: int = 200, count: int = 12) -> list[Any]:
    return [
        (256, _LONG, 1, width), (257, _LONG, 1, height), (258, _SHORT, 1, 8), (259, _SHORT, 1, 1),
        (262, _SHORT, 1, 1), (273, _LONG, 1, offset), (277, _SHORT, 1, 1), (278, _LONG, 1, height),
        (279, _LONG, 1, count),
    ]  # fmt: skip


def _zip(number: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("notes.txt", f"not an image {number}")
    return out.getvalue()


def _spliced(data: bytes, mark: bytes, put: bytes) -> bytes:
    place = data.index(mark)
    return data[:place] + put + data[place + len(put) :]


def _without_scan(number: int) -> bytes:
    data = encoded(photo(number), "JPEG")
    return data[: data.index(b"\xff\xda")] + b"\xff\xd9"


def _gif_without_frames(number: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 10 + number % 50, 10, 0, 0, 0) + b";"


def _cut(kind: str, share: float, **how: Any) -> Maker:
    def made(number: int) -> bytes:
        data = encoded(photo(number), kind, **how)
        return data[: int(len(data) * share)]

    return made


def _text(start: bytes) -> Maker:
    return lambda number: start + b" %d" % number + b"\n" * 40


def _rotated(number: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 1 + number % 8
    return encoded(photo(number), "JPEG", exif=exif)


BAD: dict[str, Maker] = {
    "spaces": lambda number: b" " * (1 + number),
    "zero bytes": lambda number: bytes(1 + number),
    "html": _text(b"<!DOCTYPE html><html><body>404"),
    "xml error": _text(b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>'),
    "json": _text(b'{"error": "no such image"}'),
    "random bytes": lambda number: np.random.default_rng(number).bytes(2000),
    "svg": _text(b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>'),
    "pdf": _text(b"%PDF-1.7\n1 0 obj"),
    "eps": _text(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9"),
    "psd": lambda number: encoded_psd(number),
    "icon": lambda number: encoded(photo(number), "ICO"),
    "mp4": lambda number: b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(200 + number),
    "zip": _zip,
    "git-lfs pointer": _text(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize"),
    "magic of jpeg": lambda number: b"\xff\xd8\xff\xe0" + bytes(20 + number),
    "jpeg cut early": _cut("JPEG", 0.3),
    "jpeg cut late": _cut("JPEG", 0.9),
    "jpeg progressive cut": _cut("JPEG", 0.6, progressive=True),
    "jpeg without a scan": _without_scan,
    "jpeg of no height": lambda number: jpeg_of_height(number, 0),
    "png cut": _cut("PNG", 0.5),
    "png without pixels": lambda number: png(8, 2, 40 + number % 50, 40, b""),
    "png of garbage": lambda number: png(8, 2, 40, 40, np.random.default_rng(number).bytes(500)),
    "png of a bad crc": _of_a_bad_crc,
    "png of no width": lambda number: png(8, 0, 0, 9 + number, zlib.compress(bytes(10))),
    "png bomb": lambda number: png(8, 2, 30_000 + number, 30_000, zlib.compress(bytes(10**6))),
    "png of 65500 px": lambda number: png(8, 0, 65_500, 1 + number, zlib.compress(bytes(10**5))),
    "png within the limit that ends": lambda number: png(
        8, 2, 10_000, 10_000 + number % 100, zlib.compress(bytes(3 * 10**6))
    ),
    "webp cut": _cut("WEBP", 0.6),
    "webp of a wrong size": lambda number: _spliced(
        encoded(photo(number), "WEBP", lossless=True), b"VP8L", b"VP8L\xff\xff\xff\x7f"
    ),
    "avif cut": _cut("AVIF", 0.6),
    "avif header": lambda number: b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(number),
    "gif cut": _cut("GIF", 0.5),
    "gif without frames": _gif_without_frames,
    "gif bomb": lambda number: b"GIF89a" + struct.pack("<HH", 65_500, 65_500) + bytes(50 + number),
    "bmp cut": _cut("BMP", 0.5),
    "bmp of the largest height": lambda number: bmp(100 + number, 2**31 - 1),
    "bmp of the least height": lambda number: bmp(100 + number, -(2**31)),
    "bmp of no width": lambda number: bmp(0, 9 + number),
    "bmp of many colours": lambda number: bmp(9 + number, 9, bits=8, colours=2**31),
    "tiff cut": _cut("TIFF", 0.5, compression="tiff_lzw"),
    "tiff in a circle without an image": lambda number: tiff([(305, 2, 4, number)], following=8),
    "tiff beyond its end": lambda number: b"II*\0" + struct.pack("<I", 10_000 + number),
    "tiff with pixels beyond its end": lambda number: tiff(_tags(40 + number, 40, offset=10**8)),
    "tiff bomb": lambda number: tiff(_tags(60_000, 60_000 + number)),
    "tiff strip of 4 GB": lambda number: tiff(_tags(9_000, 9_000 + number, count=2**32 - 1)),
}


def encoded_psd(number: int) -> bytes:
    return b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 9, 9 + number, 8, 3) + bytes(200)


def jpeg_of_height(number: int, height: int) -> bytes:
    data = encoded(photo(number), "JPEG")
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">H", height) + data[place + 2 :]


def _float(number: int) -> bytes:
    values = np.asarray(photo(number).convert("L"), np.float32) / 255
    return encoded(Image.fromarray(values), "TIFF")


def _sixteen(number: int) -> Image.Image:
    return Image.fromarray(np.asarray(photo(number).convert("L")).astype(np.uint16) * 257)


GOOD: dict[str, Maker] = {
    "jpeg": lambda number: encoded(photo(number), "JPEG"),
    "jpeg progressive": lambda number: encoded(photo(number), "JPEG", progressive=True),
    "jpeg cmyk": lambda number: encoded(photo(number).convert("CMYK"), "JPEG"),
    "jpeg grey": lambda number: encoded(photo(number).convert("L"), "JPEG"),
    "jpeg rotated": _rotated,
    "jpeg with garbage exif": lambda number: encoded(
        photo(number), "JPEG", exif=b"Exif\0\0" + np.random.default_rng(number).bytes(60)
    ),
    "jpeg with garbage icc": lambda number: encoded(
        photo(number), "JPEG", icc_profile=np.random.default_rng(number).bytes(300)
    ),
    "jpeg with a zip behind": lambda number: encoded(photo(number), "JPEG") + _zip(number),
    "jpeg with bytes behind": lambda number: encoded(photo(number), "JPEG") + bytes(100),
    "jpeg of several": lambda number: encoded(
        photo(number), "MPO", save_all=True, append_images=[photo(number + 1)]
    ),
    "png": lambda number: encoded(photo(number), "PNG"),
    "png 16 bits": lambda number: encoded(_sixteen(number), "PNG"),
    "png palette with alpha": lambda number: encoded(
        photo(number).convert("P"), "PNG", transparency=3
    ),
    "png with alpha": lambda number: encoded(photo(number).convert("RGBA"), "PNG"),
    "png grey with alpha": lambda number: encoded(photo(number).convert("LA"), "PNG"),
    "png one bit": lambda number: encoded(photo(number).convert("1"), "PNG"),
    "png animated": lambda number: encoded(
        photo(number), "PNG", save_all=True, append_images=[photo(number + 1)]
    ),
    "webp": lambda number: encoded(photo(number), "WEBP"),
    "webp with alpha": lambda number: encoded(photo(number).convert("RGBA"), "WEBP", lossless=True),
    "webp animated": lambda number: encoded(
        photo(number), "WEBP", save_all=True, append_images=[photo(number + 1)]
    ),
    "gif": lambda number: encoded(photo(number), "GIF"),
    "gif animated": lambda number: encoded(
        photo(number), "GIF", save_all=True, append_images=[photo(number + 1)]
    ),
    "bmp": lambda number: encoded(photo(number), "BMP"),
    "bmp from the top": lambda number: bmp(9, -(9 + number % 9), pixels=bytes(28 * 18)),
    "tiff": lambda number: encoded(photo(number), "TIFF"),
    "tiff float": _float,
    "tiff 16 bits": lambda number: encoded(_sixteen(number), "TIFF"),
    "tiff lzw": lambda number: encoded(photo(number), "TIFF", compression="tiff_lzw"),
    "tiff cmyk": lambda number: encoded(photo(number).convert("CMYK"), "TIFF"),
    "tiff of pages": lambda number: encoded(
        photo(number), "TIFF", save_all=True, append_images=[photo(number + 1)]
    ),
    "tiff big-endian": lambda number: tiff(_tags(3, 4, 122), order=">") + bytes(12 + number),
    "avif": lambda number: encoded(photo(number), "AVIF"),
}
