"""Heads of class maps, of boxes and of regions, held against slow references."""

from __future__ import annotations

import numpy as np
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

from schemas.masks import CocoRle
from workers.segmenters.heads import enlarge as enlarging
from workers.segmenters.heads.class_map import SemanticHead
from workers.segmenters.heads.classes import Classes, read_classes
from workers.segmenters.heads.detr import DetrHead, DetrOutputs
from workers.segmenters.heads.enlarge import PlacedLogits
from workers.segmenters.heads.pasted_masks import PastedMasksHead, paste_mask
from workers.segmenters.heads.regions import connect, encode_window
from workers.segmenters.placement import Placement


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
