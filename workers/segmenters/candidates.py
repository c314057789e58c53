"""The masks of a crop that pass the thresholds, until they are objects of their image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import torch
from segment_anything.utils.amg import is_box_near_crop_edge
from torchvision.ops import nms

from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from workers.segmenters.masks.tracer import TracedMasks

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

_CANDIDATE = np.dtype(
    [
        ("box", np.int64, 4),  # xyxy in the image, with the last column and row
        ("area_px", np.int64),
        ("predicted_iou", np.float32),
        ("stability_score", np.float32),
        ("point_xy", np.float64, 2),
        ("crop_area_px", np.int64),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A part of an image (by its number in a batch) that is looked at on its own. `box` is xyxy."""

    image: int
    image_hw: tuple[int, int]
    box: tuple[int, ...]
    layer: int
    pixels: UInt8Image

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.box[3] - self.box[1], self.box[2] - self.box[0]

    @property
    def is_whole(self) -> bool:
        """Whether it is the image itself."""
        return self.size_hw == self.image_hw


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """n masks of an image: `rows`, (n,) of `_CANDIDATE`, and what `TracedMasks` calls `counts`."""

    rows: npt.NDArray[np.void]
    counts: list[str]

    def take(self, kept: Int64s) -> Candidates:
        return Candidates(self.rows[kept], [self.counts[row] for row in kept.tolist()])

    def without_duplicates(self, scores: npt.NDArray[np.floating], threshold: float) -> Candidates:
        """Of candidates whose boxes overlap by more than `threshold`, that of the highest score."""
        boxes = torch.from_numpy(self.rows["box"]).float()
        return self.take(nms(boxes, torch.from_numpy(scores).float(), threshold).numpy())

    @staticmethod
    def together(parts: Sequence[Candidates]) -> Candidates:
        rows = np.concatenate([np.empty(0, _CANDIDATE), *(part.rows for part in parts)])
        return Candidates(rows, [counts for part in parts for counts in part.counts])


class _Scores(TypedDict):
    predicted_iou: float
    stability_score: float
    point_xy: tuple[float, float]


def _area(box: Sequence[int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def filter_traced(
    traced: TracedMasks,
    predicted_iou: Float32s,
    points_xy: Float64s,
    parameters: Mapping[str, float],
    crop: Crop,
) -> Candidates:
    """Of the traced masks of a crop, those that are stable and not cut off by its edge."""
    rows = np.empty(len(predicted_iou), _CANDIDATE)
    with np.errstate(invalid="ignore"):  # an empty mask has no stability
        stability = traced.inside.astype(np.float32) / traced.outside.astype(np.float32)
    left, top = crop.box[:2]
    corner = np.array([left, top])
    rows["box"] = traced.boxes + np.tile(corner, 2)
    rows["area_px"], rows["crop_area_px"] = traced.area, _area(crop.box)
    rows["predicted_iou"], rows["stability_score"] = predicted_iou, stability
    rows["point_xy"] = points_xy + corner
    keep = np.ones(len(rows), np.bool_)
    if parameters["stability_score_thresh"] > 0:
        keep = stability >= parameters["stability_score_thresh"]
    whole = [0, 0, crop.image_hw[1], crop.image_hw[0]]
    if list(crop.box) != whole:
        keep &= ~is_box_near_crop_edge(torch.from_numpy(traced.boxes), crop.box, whole).numpy()
    return Candidates(rows, traced.counts).take(np.flatnonzero(keep))


def object_masks(
    found: Candidates, padded_hw: tuple[int, int], size_hw: tuple[int, int]
) -> Iterator[ObjectMask]:
    """The masks cut to `size_hw`, but for those of which nothing is left."""
    height, width = size_hw
    for row, counts in zip(found.rows, found.counts, strict=True):
        area_px = int(row["area_px"])
        if not area_px:
            continue
        rle = CocoRle(padded_hw, counts)
        x, y = row["point_xy"].tolist()
        scores: _Scores = {
            "predicted_iou": float(row["predicted_iou"]),
            "stability_score": float(row["stability_score"]),
            "point_xy": (min(x, float(width)), min(y, float(height))),
        }
        if padded_hw != size_hw:
            cut = ObjectMask.measure(CocoRle.from_mask(rle.decode()[:height, :width]), **scores)
            if cut is not None:
                yield cut
            continue
        x0, y0, x1, y1 = row["box"].tolist()
        yield ObjectMask(rle, (x0, y0, x1 + 1, y1 + 1), area_px, **scores)
