"""Whatever a COCO file has for a mask becomes one, or is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from schemas.coco import CocoMask
from schemas.masks import CocoRle

pytestmark = pytest.mark.trials
HEIGHT, WIDTH = 30, 40
PIXELS = HEIGHT * WIDTH


def read(segmentation: Any) -> CocoRle:
    return CocoMask(id=1, image_id=1, segmentation=segmentation).to_rle((HEIGHT, WIDTH))


coordinates = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-2 * WIDTH, 2 * WIDTH),
    st.integers(-100, 100),
    st.integers(),
)


@given(st.lists(st.lists(coordinates, max_size=12), max_size=3))
def test_any_polygons_become_a_mask_or_are_refused(polygons: list[list[float]]) -> None:
    try:
        made = read(polygons)
    except ValueError:
        return
    assert made.decode().shape == (HEIGHT, WIDTH)
    assert np.isfinite(np.array([x for polygon in polygons for x in polygon], float)).all()


@given(st.lists(st.integers(-5, PIXELS + 5), max_size=8), st.booleans())
def test_any_runs_become_a_mask_or_are_refused(runs: list[int], mending: bool) -> None:
    if mending:
        runs = [*runs, PIXELS - sum(runs)]
    segmentation = {"size": [HEIGHT, WIDTH], "counts": runs}
    fits = bool(runs) and min(runs) >= 0 and sum(runs) == PIXELS
    if not fits:
        with pytest.raises(ValueError, match="RLE"):
            read(segmentation)
        return
    if not sum(runs[1::2]):
        with pytest.raises(ValueError, match="without a pixel"):
            read(segmentation)
        return
    made = read(segmentation)
    assert made.area_px == coco.area({"size": [HEIGHT, WIDTH], "counts": made.counts.encode()})


@given(st.data())
def test_a_string_that_is_changed_is_read_or_refused(data: st.DataObject) -> None:
    counts = list(read([[3, 3, 30, 4, 25, 27, 2, 20]]).counts)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(counts)))
        kind = data.draw(st.sampled_from(["cut", "put", "drop"]))
        if kind == "cut":
            counts = counts[:place]
        elif kind == "put":
            counts.insert(place, chr(data.draw(st.integers(48, 111))))
        else:
            del counts[place : place + 1]
    try:
        made = read({"size": [HEIGHT, WIDTH], "counts": "".join(counts)})
    except ValueError:
        return
    assert made.runs().sum() == PIXELS
