"""Which crops are looked at, after the whole image has shown what it has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.colour_prompter import SHA, Asked, AskedView, painted

from schemas.errors import ModelError
from schemas.images import UInt8Image
from schemas.masks import CocoRle
from schemas.options import SegmenterOptions
from workers.segmenters import sam_demo
from workers.segmenters.candidates import _CANDIDATE, Candidates, Crop
from workers.segmenters.counting_prompter import CountingPrompter
from workers.segmenters.crop_chooser import CropChooser, measure_crops
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.point_scorer import LoadedScorer, PointScorer, load_scorer

# Worth its encoding is a crop in which at least one mask lies.
WITH_MASKS = CropChooser(np.array([0, 0, 0, 0, 0, 0, 1.0, 0]), -0.5, least_logit=0.0)


class Encoding(Asked):
    """Keeps the sizes of what it has encoded."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes_hw: list[tuple[int, ...]] = []

    def encode(self, images: Sequence[UInt8Image]) -> list[AskedView]:
        self.sizes_hw += [image.shape[:2] for image in images]
        return super().encode(images)


def scorer_with(chooser: CropChooser | None) -> LoadedScorer:
    """To it every point is worth a prompt."""
    network = PointScorer(1)
    with torch.no_grad():
        for weights in network.parameters():
            weights.zero_()
    return LoadedScorer(network.requires_grad_(False), "5" * 64, chooser)


def segmenter_of(
    prompter: Asked, chooser: CropChooser | None = WITH_MASKS, **changes: object
) -> GridSegmenter:
    recipe = {
        "points_per_side": 16, "device": "cpu", "prompts": "adaptive", "crop_n_layers": 1, **changes
    }  # fmt: skip
    options = SegmenterOptions.model_validate(recipe)
    return GridSegmenter(prompter, weights_sha256=SHA, options=options, scorer=scorer_with(chooser))


def found_of(size_hw: tuple[int, int], *boxes_xyxy: tuple[int, int, int, int]) -> Candidates:
    """Rectangles as candidates."""
    rows, counts = np.zeros(len(boxes_xyxy), _CANDIDATE), []
    for row, (x0, y0, x1, y1) in zip(rows, boxes_xyxy, strict=True):
        mask = np.zeros(size_hw, np.bool_)
        mask[y0:y1, x0:x1] = True
        counts.append(CocoRle.from_mask(mask).counts)
        row["box"] = x0, y0, x1 - 1, y1 - 1
    return Candidates(rows, counts)


def test_a_crops_features_are_scores_places_and_masks() -> None:
    image = np.zeros((10, 20, 3), np.uint8)
    crops = [
        Crop(0, (10, 20), (0, 0, 10, 10), 1, image[:, :10]),
        Crop(0, (10, 20), (8, 0, 20, 10), 1, image[:, 8:]),
    ]
    # One mask fills the first crop's left half, the other one lies in both crops.
    found = found_of((10, 20), (0, 0, 5, 10), (7, 0, 12, 5))
    grids = [np.array([[2.5, 5.0], [8.5, 2.0], [8.5, 8.0], [6.0, 9.9]]), np.array([[11.0, 9.0]])]

    def score(in_image: np.ndarray) -> np.ndarray:
        """0.2 at the left, then 0.6; nothing in the lowest row."""
        scores = np.where(in_image[:, 0] < 8, 0.2, 0.6)
        return np.where(in_image[:, 1] > 9.5, 0.0, scores).astype(np.float32)

    first, second = measure_crops((10, 20), crops, grids, score, found)
    open_score, covered = 0.6, 50 + 15
    expected = [1.4 / 4, 3 / 4, 2 / 4, open_score / 4, 1 / 4, covered / 100, 1, math.log(2)]
    np.testing.assert_allclose(first, expected, rtol=1e-6)
    np.testing.assert_allclose(second, [0.6, 1, 1, 0.6, 1, 20 / 120, 0, 0], rtol=1e-6)


def test_where_nothing_was_found_nothing_is_covered() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    crop = Crop(0, (4, 6), (0, 0, 3, 4), 1, image[:, :3])
    (features,) = measure_crops(
        (4, 6), [crop], [np.array([[1.0, 1.0]])], lambda xy: np.zeros(len(xy), np.float32),
        Candidates.together([]),
    )  # fmt: skip
    assert features.tolist() == [0.0] * 8


def test_only_crops_that_are_worth_it_are_encoded() -> None:
    corner = painted((4, 4, 14, 14, 240))
    every, chosen = Encoding(), Encoding()
    wanted = segmenter_of(every, None).segment([corner])
    assert segmenter_of(chosen).segment([corner]) == wanted
    assert len(every.sizes_hw) == 5
    assert len(chosen.sizes_hw) == 2
    assert chosen.sizes_hw[0] == (64, 64)


def test_of_an_empty_picture_one_view_is_encoded() -> None:
    prompter = Encoding()
    assert segmenter_of(prompter).segment([painted()]) == [[]]
    assert prompter.sizes_hw == [(64, 64)]


def test_images_at_once_have_the_crops_of_each_alone() -> None:
    images = [painted((4, 4, 14, 14, 240)), painted(), painted((40, 44, 60, 60, 250))]
    alone = [segmenter_of(Encoding()).segment([image])[0] for image in images]
    for batch in (1, 2, 9):
        prompter = Encoding()
        assert segmenter_of(prompter, images_per_batch=batch).segment(images) == alone
        assert len(prompter.sizes_hw) == 3 + 2


@pytest.mark.parametrize("changes", [{"crop_n_layers": 2}, {"prompts": "grid"}])
def test_crops_of_other_layers_and_of_whole_grids_are_all_encoded(
    changes: dict[str, object],
) -> None:
    """It was learnt of the crops of a single layer, and of adaptive prompts."""
    prompter, every = Encoding(), Encoding()
    segmenter_of(prompter, **changes).segment([painted()])
    segmenter_of(every, None, **changes).segment([painted()])
    assert prompter.sizes_hw == every.sizes_hw
    assert len(every.sizes_hw) >= 5


def test_with_boxes_all_crops_are_encoded() -> None:
    """What boxes hide is not asked, so that the whole image shows less than it would."""
    prompter = Encoding()
    image = painted((4, 4, 14, 14, 240))
    ((mask,),) = segmenter_of(prompter).segment_with_boxes([image], [[(4, 4, 14, 14)]])
    assert mask.bbox_xyxy == (4, 4, 14, 14)
    assert len(prompter.sizes_hw) == 5


def test_a_file_keeps_it_and_the_fingerprint_knows(tmp_path: Path) -> None:
    path, cpu = tmp_path / "scorer.safetensors", torch.device("cpu")
    points = PointScorer(1).state_dict()
    save_file(points, path)
    assert load_scorer(path, 1, cpu).crops is None
    save_file(points | WITH_MASKS.to_tensors(), path)
    loaded = load_scorer(path, 1, cpu).crops
    assert loaded is not None
    assert loaded.weights.tolist() == WITH_MASKS.weights.tolist()
    assert (loaded.bias, loaded.least_logit) == (-0.5, 0.0)
    save_file(points | {"crops.weights": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match="expected a chooser of crops with the tensors"):
        load_scorer(path, 1, cpu)
    assert segmenter_of(Asked()).fingerprint != segmenter_of(Asked(), None).fingerprint


def test_the_bundled_scorer_leaves_out_the_crops_of_an_empty_picture() -> None:
    segmenter = sam_demo.build(SegmenterOptions(device="cpu", precision="fp32"))
    prompter = CountingPrompter(segmenter.prompter)
    counted = segmenter.with_prompts(prompter, "adaptive", segmenter._adaptive.scorer)
    assert counted.segment([np.full((120, 160, 3), 128, np.uint8)]) == [[]]
    assert prompter.encoded == 1
