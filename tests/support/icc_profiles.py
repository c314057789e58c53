"""Writes small ICC profiles: three colorants and a gamma, or a grey and a gamma."""

from __future__ import annotations

import struct
from collections.abc import Sequence

_D50 = (0.9642, 1.0, 0.8249)
_Colorants = Sequence[tuple[float, float, float]]
# Of red, green and blue, as XYZ relative to D50 (from the standards' primaries, Bradford).
SRGB_COLORANTS = (
    (0.43607, 0.22249, 0.01392),
    (0.38515, 0.71687, 0.09708),
    (0.14307, 0.06061, 0.7141),
)
ADOBE_COLORANTS = (
    (0.60974, 0.31111, 0.01947),
    (0.20528, 0.62567, 0.06087),
    (0.14919, 0.06322, 0.74457),
)
PROPHOTO_COLORANTS = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))


def rgb_profile(colorants: _Colorants, gamma: float) -> bytes:
    """An ICC profile (version 2) of a monitor."""
    tags = [
        (name, _xyz(colorant))
        for name, colorant in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)
    ]
    return _profile(
        b"RGB ", [*tags, *((name, _curve(gamma)) for name in (b"rTRC", b"gTRC", b"bTRC"))]
    )


def grey_profile(gamma: float | Sequence[int]) -> bytes:
    """An ICC profile (version 2) of a grey monitor, of a gamma or a curve of uint16."""
    return _profile(b"GRAY", [(b"kTRC", _curve(gamma))])


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _curve(gamma: float | Sequence[int]) -> bytes:
    if isinstance(gamma, float):
        gamma = [round(gamma * 256)]
    return b"curv\0\0\0\0" + struct.pack(f">I{len(gamma)}H", len(gamma), *gamma)


def _profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    tags = [
        (b"desc", b"desc\0\0\0\0" + struct.pack(">I", 2) + b"p\0" + bytes(79)),
        (b"cprt", b"text\0\0\0\0none\0\0\0\0"),
        (b"wtpt", _xyz(_D50)),
        *tags,
    ]
    place = 128 + 4 + 12 * len(tags)
    directory, content = struct.pack(">I", len(tags)), b""
    for name, body in tags:
        body += bytes(-len(body) % 4)
        directory += name + struct.pack(">II", place + len(content), len(body))
        content += body
    header = struct.pack(
        ">I4sI4s4s4s12s4s4sI4sI8sI12s48s",
        place + len(content), b"test", 0x02400000, b"mntr", space, b"XYZ ", bytes(12), b"acsp",
        b"\0\0\0\0", 0, bytes(4), 0, bytes(8), 0, _xyz(_D50)[8:], bytes(48),
    )  # fmt: skip
    return header + directory + content
