"""Reads which part of an AVIF is to be shown (ISO/IEC 14496-12: `clap`), which Pillow does not."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction

_Box = tuple[bytes, memoryview]


def read_clean_aperture(data: bytes, size_wh: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of what is shown of the primary image, before it is turned.

    None if all of it is, or if what the file says is no whole part of the image.
    """
    try:
        found = _find_aperture(memoryview(data))
        return None if found is None else _compute_box(found, size_wh)
    except (struct.error, IndexError, ZeroDivisionError):
        return None


def _find_aperture(data: memoryview) -> tuple[int, ...] | None:
    meta = dict(_iterate_boxes(_find(data, b"meta")[4:]))
    primary = _read_primary_item(meta[b"pitm"]) if b"pitm" in meta else None
    if primary is None or b"iprp" not in meta:
        return None
    properties = list(_iterate_boxes(_find(meta[b"iprp"], b"ipco")))
    for name, body in _iterate_boxes(meta[b"iprp"]):
        if name != b"ipma":
            continue
        for index in _read_associations(body, primary):
            if 1 <= index <= len(properties) and properties[index - 1][0] == b"clap":
                return struct.unpack_from(">IIIIiIiI", properties[index - 1][1])
    return None


def _find(data: memoryview, wanted: bytes) -> memoryview:
    return next((body for name, body in _iterate_boxes(data) if name == wanted), data[:0])


def _iterate_boxes(data: memoryview) -> Iterator[_Box]:
    start = 0
    while start + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            header = 16
        elif size == 0:
            size = len(data) - start
        if size < header:
            return
        yield name, data[start + header : start + size]
        start += size


def _read_primary_item(body: memoryview) -> int:
    (item,) = struct.unpack_from(">I" if body[0] else ">H", body, 4)
    return int(item)


def _read_associations(body: memoryview, wanted: int) -> list[int]:
    """The numbers, from 1, of the properties of an item."""
    version, is_wide = body[0], body[3] & 1
    (entries,) = struct.unpack_from(">I", body, 4)
    place = 8
    for _ in range(entries):
        item, count = struct.unpack_from(">IB" if version else ">HB", body, place)
        place += 5 if version else 3
        numbers = struct.unpack_from(f">{count}{'H' if is_wide else 'B'}", body, place)
        place += count * (2 if is_wide else 1)
        if item == wanted:  # the highest bit says whether a reader has to know the property
            return [number & (0x7FFF if is_wide else 0x7F) for number in numbers]
    return []


def _compute_box(
    aperture: tuple[int, ...], size_wh: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """The part of `size_wh`: its own size, and how far its centre is from the image's centre."""
    numbers = [Fraction(n, d) for n, d in zip(aperture[::2], aperture[1::2], strict=True)]
    width, height = numbers[:2]
    left = numbers[2] + (size_wh[0] - width) / 2
    top = numbers[3] + (size_wh[1] - height) / 2
    edges = (left, top, left + width, top + height)
    if any(edge.denominator != 1 for edge in edges) or min(width, height) < 1:
        return None
    box = (int(edges[0]), int(edges[1]), int(edges[2]), int(edges[3]))
    if min(box) < 0 or box[2] > size_wh[0] or box[3] > size_wh[1] or box == (0, 0, *size_wh):
        return None
    return box
