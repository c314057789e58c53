"""Gives an AVIF that Pillow wrote a clean aperture: a property of its one item."""

from __future__ import annotations

import struct


def with_clean_aperture(data: bytes, size_wh: tuple[int, int], offset: tuple[int, int]) -> bytes:
    """The AVIF, of which a part of this size shows, its centre moved by halves of a pixel."""
    numbers = (size_wh[0], 1, size_wh[1], 1, offset[0], 2, offset[1], 2)
    clap = struct.pack(">I4sIIIIiIiI", 40, b"clap", *numbers)
    ipco = data.index(b"ipco") - 4
    (ipco_size,) = struct.unpack_from(">I", data, ipco)
    count = _count_boxes(data[ipco + 8 : ipco + ipco_size])
    ipma = data.index(b"ipma") - 4
    (ipma_size,) = struct.unpack_from(">I", data, ipma)
    associations = bytearray(data[ipma : ipma + ipma_size] + bytes([0x80 | (count + 1)]))
    associations[18] += 1  # of the first item: header 8, version 4, count 4, item 2
    struct.pack_into(">I", associations, 0, ipma_size + 1)
    added = len(clap) + 1
    changed = (
        _grown(data, (b"meta", b"iprp", b"ipco"), (added, added, len(clap)))[: ipco + ipco_size]
        + clap
        + data[ipco + ipco_size : ipma]
        + bytes(associations)
        + data[ipma + ipma_size :]
    )
    before, after = data.index(b"mdat") + 4, changed.index(b"mdat") + 4
    iloc = changed.index(b"iloc")
    place = changed.index(struct.pack(">I", before), iloc)
    return changed[:place] + struct.pack(">I", after) + changed[place + 4 :]


def _count_boxes(data: bytes) -> int:
    count = place = 0
    while place < len(data):
        place += struct.unpack_from(">I", data, place)[0]
        count += 1
    return count


def _grown(data: bytes, names: tuple[bytes, ...], by: tuple[int, ...]) -> bytes:
    result = bytearray(data)
    for name, added in zip(names, by, strict=True):
        place = data.index(name) - 4
        struct.pack_into(">I", result, place, struct.unpack_from(">I", data, place)[0] + added)
    return bytes(result)
