"""Reads points page after page, as Qdrant gives them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from schemas.points import Point
from workers.indexes.points import read_record

PAGE = 256
Offset = int | str | uuid.UUID | None
"""Where a page of points begins; None: at the first point, or after the last."""
ReadPage = Callable[[Offset], tuple[Sequence[Any], Offset]]
"""The records of the page at an offset, and the offset of the next one."""


def turn_pages(read_page: ReadPage) -> Iterator[Point]:
    """The points of all pages, each page read when it is come to."""
    offset: Offset = None
    while True:
        records, offset = read_page(offset)
        yield from map(read_record, records)
        if offset is None:
            return
