"""Parses which part of a source a job takes: a shard of its images, or a range of its keys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_SHARD = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,5})")
_TO = ".."


@dataclass(frozen=True, slots=True)
class Shard:
    """The images of one of `count` jobs, by the hash that their ids are; `number` is from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """A text such as `3/8`. Raises ValueError."""
        found = _SHARD.fullmatch(text)
        if found is None or int(found[1]) > int(found[2]):
            raise ValueError(f"expected a shard such as 3/8, from 1/8 to 8/8, got {text!r}")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys from `first` on and before `end`, by their bytes in UTF-8; None: to the last."""

    first: str
    end: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """A text such as `a..m`, `a..` or `..m`. Raises ValueError."""
        first, _, end = text.partition(_TO)
        # Of several dots in a row nobody knows which part them.
        if text.count(_TO) != 1 or "..." in text:
            raise ValueError(f"expected a range of keys such as a..m, with .. once, got {text!r}")
        if not first and not end:
            raise ValueError(f"expected a range of keys such as a.., ..m or a..m, got {text!r}")
        if end and _in_order(first) >= _in_order(end):
            raise ValueError(f"expected a range of keys from a lower to a higher, got {text!r}")
        return cls(first, end or None)

    def has(self, key: str) -> bool:
        """Whether a key is in it."""
        place = _in_order(key)
        return _in_order(self.first) <= place and (self.end is None or place < _in_order(self.end))


def _in_order(key: str) -> bytes:
    # Of a file's name whatever is no UTF-8, too.
    return key.encode("utf-8", "surrogateescape")
