"""Decodes masks of Label Studio's brush, as its own converter does: bit by bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def decode_brush(data: Sequence[int], size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """bool (height, width); the four channels have to be the same."""
    stream = _Bits(data)
    count, value_bits = stream.take(32), stream.take(5) + 1
    length_bits = [stream.take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        repeats = stream.take(1)
        length = 1 + stream.take(length_bits[stream.take(2)])
        if repeats:
            values += [stream.take(value_bits)] * length
        else:
            values += [stream.take(value_bits) for _ in range(length)]
    pixels = np.array(values).reshape(*size_hw, 4)
    assert (pixels == pixels[..., :1]).all()
    assert set(np.unique(pixels)) <= {0, 255}
    return pixels[..., 3] > 0


class _Bits:
    def __init__(self, data: Sequence[int]) -> None:
        self._text, self._place = "".join(f"{byte:08b}" for byte in data), 0

    def take(self, bits: int) -> int:
        self._place += bits
        return int(self._text[self._place - bits : self._place], 2)
