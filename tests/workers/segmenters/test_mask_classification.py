"""The heads of mask classification, held against slow references from their paper's definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.head_scenes import (
    ALL,
    CLASSES,
    agree,
    few,
    interpolate,
    scenes,
    sigmoid,
    softmax,
    wanted,
)

from workers.segmenters.heads.class_map import SemanticHead
from workers.segmenters.heads.enlarge import PlacedLogits
from workers.segmenters.heads.mask_classification import (
    InstanceHead,
    MaskSemanticHead,
    PanopticHead,
    Queries,
    RowBounds,
    assign_pixels,
)
from workers.segmenters.placement import Placement


@given(scenes(), st.floats(0.05, 0.6), st.floats(0.2, 0.8))
@few
def test_instances_of_mask_classification(scene: tuple, score: float, mask: float) -> None:
    class_logits, masks, place = scene
    expected = []
    for logits, mask_logits in zip(class_logits.numpy(), masks.numpy(), strict=True):
        probabilities = softmax(logits)[:-1].copy()
        probabilities[[2, 3]] = 0  # stuff has no instances
        label = int(probabilities.argmax())
        low = sigmoid(mask_logits)
        rows = -(-place.used_hw[0] * low.shape[0] // place.frame_hw[0])
        columns = -(-place.used_hw[1] * low.shape[1] // place.frame_hw[1])
        used = low[:rows, :columns]
        inside = used[used > mask]
        total = probabilities[label] * (inside.mean() if len(inside) else 0)
        pixels = sigmoid(interpolate(mask_logits, place)) > mask
        if total >= score and pixels.any():
            expected.append(wanted(CLASSES.names[label], pixels, total))
    head = InstanceHead(CLASSES, score, mask)
    agree(head.find([Queries(class_logits, PlacedLogits(masks, place))]), expected)


def panoptic_reference(
    class_logits: np.ndarray, masks: np.ndarray, place: Placement, score: float, overlap: float
) -> list[tuple[object, ...]]:
    """Mask2Former's `panoptic_inference`, on masks as large as the image."""
    probabilities = softmax(class_logits)
    numbers, scores = probabilities.argmax(axis=1), probabilities.max(axis=1)
    kept = [at for at in range(len(numbers)) if numbers[at] < 4 and scores[at] >= score]
    if not kept:
        return []
    soft = np.stack([sigmoid(interpolate(masks[at], place)) for at in kept])
    winner = (scores[kept][:, None, None] * soft).argmax(axis=0)
    segments: list[tuple[str, np.ndarray, float]] = []
    stuff: dict[int, int] = {}
    for order, at in enumerate(kept):
        won, whole = winner == order, soft[order] >= 0.5
        mask = won & whole
        if not won.sum() or not whole.sum() or not mask.sum():
            continue
        if won.sum() / whole.sum() < overlap:
            continue
        number = int(numbers[at])
        if number in (2, 3) and number in stuff:
            label, before, best = segments[stuff[number]]
            segments[stuff[number]] = (label, before | mask, max(best, scores[at]))
            continue
        stuff[number] = len(segments)
        segments.append((CLASSES.names[number], mask, scores[at]))
    return [wanted(*segment) for segment in segments]


@given(scenes(8), st.floats(0.0, 0.6), st.floats(0.0, 0.95))
@settings(max_examples=60)
def test_panoptic_segments_are_fused_as_the_paper_does(
    scene: tuple, score: float, overlap: float
) -> None:
    class_logits, masks, place = scene
    head = PanopticHead(CLASSES, score, 0.5, overlap)
    found = head.find([Queries(class_logits, PlacedLogits(masks, place))])
    agree(
        found,
        panoptic_reference(class_logits.numpy(), masks.numpy(), place, score, overlap),
    )
    covered = sum(mask.rle.decode().astype(int) for mask in found)
    assert np.max(covered, initial=0) <= 1  # no pixel has two segments


def test_what_is_nowhere_sure_where_it_wins_has_no_say_in_the_score_of_stuff() -> None:
    place = Placement((1, 2), (4, 8), (4, 8))
    masks = torch.tensor([[[6.0, -6.0]], [[0.1, -0.1]]])
    class_logits = torch.full((2, 5), -9.0)
    class_logits[:, 2] = torch.tensor([-6.0, 0.0])  # both are sky, the second for certain
    head = PanopticHead(CLASSES, 0.5, 0.5, 0.1)
    (sky,) = head.find([Queries(class_logits, PlacedLogits(masks, place))])
    assert sky.rle.decode().tolist() == [[True, False]]
    assert sky.segmenter_score == pytest.approx(float(torch.softmax(class_logits[0], 0)[2]))


def test_masks_that_have_nothing_in_some_rows_are_left_out_of_them() -> None:
    """Which changes nothing, as none of them wins a pixel there or has one of its own."""
    rng = np.random.default_rng(5)
    rows = np.abs(np.arange(24)[:, None] - rng.uniform(0, 24, 9)).T
    logits = 6 - 3 * rows[:, :, None] + rng.standard_normal((9, 24, 10))
    masks = PlacedLogits(torch.tensor(logits).float(), Placement((70, 33), (96, 40), (96, 40)))
    scores = torch.tensor(rng.uniform(0.5, 1, 9)).float()
    winners, areas = assign_pixels(masks, scores, 0.4)
    bounds = RowBounds(masks.logits, scores, 0.4)
    chosen = [bounds.choose(*masks.find_rows(row, row + 1)).tolist() for row in range(70)]
    assert max(map(len, chosen)) < 9
    strip = masks.enlarge(0, 70)
    assert strip is not None
    probabilities = strip.logits.sigmoid()
    best = (probabilities * scores).argmax(dim=2)
    inside = probabilities >= 0.4
    sure = inside.gather(2, best[:, :, None])[:, :, 0]
    np.testing.assert_array_equal(winners, torch.where(sure, best, -1))
    np.testing.assert_array_equal(areas.whole, inside.sum(dim=(0, 1)))
    np.testing.assert_array_equal(areas.won, torch.bincount(best.flatten(), minlength=9))


def test_masks_are_weighted_for_the_winner_and_not_for_the_threshold() -> None:
    place = Placement((3, 3), (12, 12), (12, 12))
    masks = torch.full((1, 3, 3), 0.2)  # a probability of 0.55
    class_logits = torch.tensor([[0.41, 0.0, 0.0, 0.0, -9.0]]) * 4  # a score of 0.6
    (found,) = PanopticHead(CLASSES, 0.5, 0.5, 0.8).find(
        [Queries(class_logits, PlacedLogits(masks, place))]
    )
    assert found.area_px == 9


@given(scenes())
@few
def test_class_maps_of_mask_classification(scene: tuple) -> None:
    class_logits, masks, place = scene
    soft = np.stack([sigmoid(interpolate(logits, place)) for logits in masks.numpy()])
    sums = np.einsum("qc,qhw->chw", softmax(class_logits.numpy())[:, :-1], soft)
    labels, shares = sums.argmax(axis=0), sums.max(axis=0) / sums.sum(axis=0)
    expected = [
        wanted(name, labels == number, shares[labels == number].mean())
        for number, name in enumerate(CLASSES.names)
        if (labels == number).any()
    ]
    head = MaskSemanticHead(SemanticHead.choose(CLASSES, ALL))
    agree(head.find([Queries(class_logits, PlacedLogits(masks, place))]), expected)
