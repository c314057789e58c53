"""Logits of heads, drawn at random, and slow references to hold what heads find against."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st

from schemas.masks import CocoRle, ObjectMask
from schemas.options import SegmenterOptions
from workers.segmenters.heads.classes import Classes
from workers.segmenters.placement import Placement

CLASSES = Classes(("cat", "dog", "sky", "grass"), frozenset({2, 3}))
ALL = SegmenterOptions(
    device="cpu", min_mask_region_area=1, max_area_frac=1, max_objects=10_000, regions="whole"
)
few = settings(max_examples=25)


@st.composite
def scenes(draw: st.DrawFn, most_queries: int = 5) -> tuple[torch.Tensor, torch.Tensor, Placement]:
    """Class logits (queries, classes + 1), mask logits (queries, h, w), where the image lies."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    queries = draw(st.integers(1, most_queries))
    low_hw = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    frame_hw = 4 * low_hw[0], 4 * low_hw[1]
    used_hw = tuple(draw(st.integers(1, side)) for side in frame_hw)
    size_hw = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    class_logits = 3 * rng.standard_normal((queries, len(CLASSES.names) + 1))
    masks = 3 * rng.standard_normal((queries, *low_hw))
    place = Placement(size_hw, used_hw, frame_hw)
    return torch.tensor(class_logits).float(), torch.tensor(masks).float(), place


def interpolate(logits: np.ndarray, place: Placement) -> np.ndarray:
    """Pixel by pixel: its centre in the frame, and the four logits around."""
    (height, width), (tall, wide) = place.size_hw, logits.shape
    result = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            y = (row + 0.5) * place.used_hw[0] / height - place.offset_yx[0]
            x = (column + 0.5) * place.used_hw[1] / width - place.offset_yx[1]
            y = min(max(y * tall / place.frame_hw[0] - 0.5, 0), tall - 1)
            x = min(max(x * wide / place.frame_hw[1] - 0.5, 0), wide - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, tall - 1), min(x0 + 1, wide - 1)
            above = logits[y0, x0] * (1 - (x - x0)) + logits[y0, x1] * (x - x0)
            below = logits[y1, x0] * (1 - (x - x0)) + logits[y1, x1] * (x - x0)
            result[row, column] = above * (1 - (y - y0)) + below * (y - y0)
    return result


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(values, np.float64)))


def softmax(values: np.ndarray) -> np.ndarray:
    raised = np.exp(values - values.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def by_content(masks: list[ObjectMask]) -> list[tuple[object, ...]]:
    return sorted(
        (mask.segmenter_label, mask.rle.counts, round(mask.segmenter_score, 4)) for mask in masks
    )


def wanted(label: str, mask: np.ndarray, score: float) -> tuple[object, ...]:
    return label, CocoRle.from_mask(mask).counts, round(float(np.float32(score)), 4)


def agree(found: list[ObjectMask], expected: list[tuple[object, ...]]) -> None:
    """The same masks under the same names, scores to rounding."""
    ours, theirs = by_content(found), sorted(expected)
    assert [mask[:2] for mask in ours] == [mask[:2] for mask in theirs]
    for (*_, score), (*_, other) in zip(ours, theirs, strict=True):
        assert abs(score - other) < 1e-3
