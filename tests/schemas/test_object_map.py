"""A map of objects as bytes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from schemas.errors import DatasetError
from schemas.object_map import MAGIC, NO_LABEL, ObjectMap, pack_map, unpack_map

MADE = ObjectMap(
    positions=np.array([[0.5, -1.0], [0.25, 1.0], [0.0, 0.0]], np.float32),
    ids=np.arange(48, dtype=np.uint8).reshape(3, 16),
    label_of=np.array([1, NO_LABEL, 0], np.uint16),
    labels=("a mug", "größer"),
    objects=12,
    version="v1",
    made_at=datetime(2026, 1, 31, 12, tzinfo=UTC),
)


def test_a_map_comes_back_as_it_was() -> None:
    data = pack_map(MADE)
    read = unpack_map(data)
    for name in ("positions", "ids", "label_of"):
        np.testing.assert_array_equal(getattr(read, name), getattr(MADE, name))
    assert (read.labels, read.objects, read.version) == (MADE.labels, 12, "v1")
    assert read.made_at == MADE.made_at
    # Browsers read numbers of four bytes at multiples of four.
    header = int.from_bytes(data[8:12], "little")
    assert (12 + header) % 4 == 0
    assert len(data) == 12 + header + 3 * (8 + 16 + 2)


@pytest.mark.parametrize("data", [b"", b"no map", MAGIC, pack_map(MADE)[:-1], MAGIC + b"\1\0\0\0{"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DatasetError, match=f"expected a map of objects, got {len(data)} other"):
        unpack_map(data)


def test_arrays_are_of_as_many_objects() -> None:
    with pytest.raises(ValueError, match=r"expected \(n, 2\)"):
        replace(MADE, ids=MADE.ids[:2])
