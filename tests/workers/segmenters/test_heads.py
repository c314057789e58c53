"""Every head, held against a slow reference that is written from its paper's definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.masks import CocoRle, ObjectMask
from schemas.options import SegmenterOptions
from workers.segmenters.heads import enlarge as enlarging
from workers.segmenters.heads.class_map import SemanticHead
from workers.segmenters.heads.classes import Classes, read_classes
from workers.segmenters.heads.detr import DetrHead, DetrOutputs
from workers.segmenters.heads.enlarge import PlacedLogits
from workers.segmenters.heads.mask_classification import (
    InstanceHead,
    MaskSemanticHead,
    PanopticHead,
    Queries,
    RowBounds,
    assign_pixels,
)
from workers.segmenters.heads.pasted_masks import PastedMasksHead, paste_mask
from workers.segmenters.heads.regions import connect, encode_window
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


@given(scenes())
@few
def test_logits_are_enlarged_bilinearly(scene: tuple) -> None:
    _, masks, place = scene
    strip = PlacedLogits(masks, place).enlarge(0, place.size_hw[0])
    for number, logits in enumerate(masks.numpy()):
        np.testing.assert_allclose(
            strip.logits[:, :, number], interpolate(logits, place), rtol=1e-4, atol=1e-4
        )


def test_a_whole_frame_is_enlarged_as_torch_does() -> None:
    masks = torch.randn((3, 8, 12), generator=torch.Generator().manual_seed(0))
    for size_hw in [(37, 91), (5, 7), (8, 12)]:
        strip = PlacedLogits(masks, Placement(size_hw, (32, 48), (32, 48))).enlarge(0, size_hw[0])
        theirs = torch.nn.functional.interpolate(masks[None], size_hw, mode="bilinear")[0]
        torch.testing.assert_close(strip.logits.permute(2, 0, 1), theirs, atol=1e-5, rtol=1e-5)


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


@given(scenes(4))
@few
def test_class_maps_of_logits_and_strips_of_any_height(scene: tuple) -> None:
    _, masks, place = scene
    logits = torch.cat([masks, masks.flip(0), -masks, masks])[: len(CLASSES.names)]
    large = np.stack([interpolate(one, place) for one in logits.numpy()])
    labels, shares = large.argmax(axis=0), softmax(np.moveaxis(large, 0, -1)).max(axis=-1)
    expected = [
        wanted(name, labels == number, shares[labels == number].mean())
        for number, name in enumerate(CLASSES.names)
        if (labels == number).any()
    ]
    head = SemanticHead.choose(CLASSES, ALL)
    found = head.find([PlacedLogits(logits, place)])
    agree(found, expected)
    with torch.no_grad():
        before, enlarging._STRIP_NUMBERS = enlarging._STRIP_NUMBERS, 1
        try:
            assert head.find([PlacedLogits(logits, place)]) == found
        finally:
            enlarging._STRIP_NUMBERS = before


def test_parts_that_overlap_are_averaged() -> None:
    """Two square cut-outs of an image half as high as wide, which share a column of logits."""
    size_hw, rng = (8, 12), np.random.default_rng(5)
    places = [Placement(size_hw, size_hw, (8, 8), (0, left)) for left in (0, 4)]
    parts = [torch.tensor(rng.standard_normal((4, 4, 4))).float() for _ in places]
    sums, count = np.zeros((4, *size_hw)), np.zeros(size_hw)
    for part, place, left in zip(parts, places, (0, 4), strict=True):
        large = np.stack([interpolate(logits, place) for logits in part.numpy()])
        soft = np.moveaxis(softmax(np.moveaxis(large, 0, -1)), -1, 0)
        sums[:, :, left : left + 8] += soft[:, :, left : left + 8]
        count[:, left : left + 8] += 1
    means = sums / count
    labels = means.argmax(axis=0)
    placed = [PlacedLogits(part, place) for part, place in zip(parts, places, strict=True)]
    agree(
        SemanticHead.choose(CLASSES, ALL).find(placed),
        [
            wanted(name, labels == at, means.max(axis=0)[labels == at].mean())
            for at, name in enumerate(CLASSES.names)
            if (labels == at).any()
        ],
    )


@given(scenes(), st.floats(0.3, 0.9), st.floats(0.2, 0.8))
@few
def test_detr_instances_keep_their_overlaps(scene: tuple, score: float, mask: float) -> None:
    class_logits, masks, place = scene
    logits = class_logits[:, :4]
    named = Classes(("cat", None, "sky", "grass"))
    expected = []
    for one, mask_logits in zip(logits.numpy(), masks.numpy(), strict=True):
        probabilities = sigmoid(one)
        probabilities[1] = 0  # no class has this number
        label = int(probabilities.argmax())
        pixels = sigmoid(interpolate(mask_logits, place)) > mask
        if probabilities[label] >= score and pixels.any():
            expected.append(wanted(named.names[label], pixels, probabilities[label]))
    found = DetrHead(named, score, mask).find([DetrOutputs(logits, masks, place)])
    agree(found, expected)


def paste_slowly(mask: np.ndarray, box: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Pixel by pixel: the centre in the box, and the four places of the mask around; 0 outside."""
    tall, wide = mask.shape
    padded = np.pad(mask, 1)
    result = np.zeros(size_hw)
    for row in range(size_hw[0]):
        for column in range(size_hw[1]):
            y = (row + 0.5 - box[1]) / (box[3] - box[1]) * tall + 0.5
            x = (column + 0.5 - box[0]) / (box[2] - box[0]) * wide + 0.5
            y0, x0 = int(np.floor(y)), int(np.floor(x))
            if not (0 <= y0 <= tall and 0 <= x0 <= wide):
                continue
            above = padded[y0, x0] * (1 - (x - x0)) + padded[y0, x0 + 1] * (x - x0)
            below = padded[y0 + 1, x0] * (1 - (x - x0)) + padded[y0 + 1, x0 + 1] * (x - x0)
            result[row, column] = above * (1 - (y - y0)) + below * (y - y0)
    return result


@given(st.integers(0, 2**32))
@settings(max_examples=40)
def test_masks_are_pasted_softly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size_hw = int(rng.integers(1, 24)), int(rng.integers(1, 24))
    x0, y0 = rng.uniform(0, size_hw[1] - 0.5), rng.uniform(0, size_hw[0] - 0.5)
    x1, y1 = rng.uniform(x0 + 0.4, size_hw[1]), rng.uniform(y0 + 0.4, size_hw[0])
    box = np.array([x0, y0, x1, y1], np.float32)
    mask = rng.uniform(0, 1, (5, 5)).astype(np.float32)
    slow = paste_slowly(mask, box, size_hw)
    found = paste_mask(mask, box, size_hw, 0.5).decode()
    # Pixels whose centre lies outside of the box are faded out by less than half a place.
    differs = found != (slow >= 0.5)
    assert not (differs & (np.abs(slow - 0.5) > 1e-5)).any()


def test_detections_become_labelled_masks() -> None:
    detections = {
        "boxes": torch.tensor([[0.0, 0.0, 8.0, 8.0], [4.0, 4.0, 12.0, 12.0], [0.0, 0.0, 4.0, 4.0]]),
        "scores": torch.tensor([0.9, 0.5, 0.4]),
        "labels": torch.tensor([1, 2, 1]),
        "masks": torch.ones((3, 1, 28, 28)),
    }
    head = PastedMasksHead(Classes((None, "cat", "dog")), 0.5, 0.5)
    found = head.find(detections, (16, 16))
    assert [(mask.segmenter_label, mask.bbox_xyxy) for mask in found] == [
        ("cat", (0, 0, 8, 8)),
        ("dog", (4, 4, 12, 12)),
    ]
    assert [mask.segmenter_score for mask in found] == [
        float(np.float32(score)) for score in (0.9, 0.5)
    ]


def connect_slowly(labels: np.ndarray) -> np.ndarray:
    ids = np.full(labels.shape, -1, np.int32)
    count = 0
    for row, column in np.ndindex(labels.shape):
        if labels[row, column] < 0 or ids[row, column] >= 0:
            continue
        stack = [(row, column)]
        ids[row, column] = count
        while stack:
            y, x = stack.pop()
            for dy, dx in np.ndindex(3, 3):
                at = y + dy - 1, x + dx - 1
                inside = 0 <= at[0] < labels.shape[0] and 0 <= at[1] < labels.shape[1]
                if inside and ids[at] < 0 and labels[at] == labels[y, x]:
                    ids[at] = count
                    stack.append(at)
        count += 1
    return ids


@given(st.integers(0, 2**32), st.integers(1, 14), st.integers(1, 14), st.integers(1, 3))
@settings(max_examples=60)
def test_regions_are_connected_by_sides_and_corners(
    seed: int, height: int, width: int, kinds: int
) -> None:
    labels = np.random.default_rng(seed).integers(-1, kinds, (height, width)).astype(np.int32)
    ids, of_regions = connect(labels)
    np.testing.assert_array_equal(ids, connect_slowly(labels))
    assert (of_regions[ids[labels >= 0]] == labels[labels >= 0]).all()


@given(st.integers(0, 2**32))
@few
def test_windows_are_encoded_as_whole_masks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 12, 2))
    top, left = int(rng.integers(height)), int(rng.integers(width))
    window = (
        rng.random((rng.integers(1, height - top + 1), rng.integers(1, width - left + 1))) < 0.5
    )
    whole = np.zeros((height, width), np.bool_)
    whole[top : top + window.shape[0], left : left + window.shape[1]] = window
    assert encode_window(window, (left, top), (height, width)) == CocoRle.from_mask(whole)


def test_connected_regions_become_objects_and_small_ones_none() -> None:
    logits = torch.full((4, 20, 20), -5.0)
    logits[3] = 0  # grass everywhere
    logits[0, 2:8, 2:8] = 5  # two cats
    logits[0, 12:18, 12:18] = 5
    logits[1, 15, 3] = 5  # one pixel of a dog
    place = Placement((20, 20), (20, 20), (20, 20))
    options = ALL.model_copy(update={"regions": "connected", "min_mask_region_area": 2})
    found = SemanticHead.choose(CLASSES, options).find([PlacedLogits(logits, place)])
    boxes = sorted((mask.segmenter_label, mask.bbox_xyxy) for mask in found)
    assert boxes == [
        ("cat", (2, 2, 8, 8)),
        ("cat", (12, 12, 18, 18)),
        ("grass", (0, 0, 20, 20)),
    ]
    whole = SemanticHead.choose(CLASSES, ALL).find([PlacedLogits(logits, place)])
    areas = sorted((mask.segmenter_label, mask.area_px) for mask in whole)
    assert areas == [("cat", 72), ("dog", 1), ("grass", 400 - 73)]


def test_classes_are_named_by_the_config_or_by_their_number() -> None:
    named = read_classes({"id2label": {"0": "cat", "1": "N/A"}, "stuff_ids": [0]}, 2)
    assert named == Classes(("cat", None), frozenset({0}))
    unnamed = {"id2label": {str(at): f"LABEL_{at}" for at in range(133)}}
    coco = read_classes(unnamed, 133)
    assert (coco.names[0], coco.names[80], coco.names[119], coco.names[132]) == (
        "person", "banner", "sky", "rug",
    )  # fmt: skip
    assert coco.stuff == frozenset(range(80, 133))
    assert read_classes({}, 150).names[149] == "flag"
    assert read_classes({}, 3) == Classes(("class 0", "class 1", "class 2"))
