"""Adaptive prompts on a prompter whose answers can be told by hand: what is asked, what is left."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.colour_prompter import SHA, Asked, ColourGuesses, Colours, painted
from torch import Tensor

from schemas.errors import ModelError
from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.segmenters import sam_demo
from workers.segmenters.decoder.contour import Levels
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.point_scorer import LoadedScorer, PointScorer, load_scorer

GRID = "d278f614a263846c"  # of 16 points a side, since before there was a choice


@dataclass(frozen=True)
class Nested(ColourGuesses):
    """The first mask is what has the point's colour, the second all that is not black."""

    def logits(self, chosen: np.ndarray, levels: Levels | None = None) -> Tensor:
        one_colour = np.where((self.image > 0).any(axis=2, keepdims=True), 255, 0).repeat(3, axis=2)
        every = np.ones_like(chosen)
        own = ColourGuesses(self.image, self.points_xy).logits(every)
        whole = ColourGuesses(one_colour, self.points_xy).logits(every)
        is_whole = torch.arange(len(own)) % 3 == 1
        logits = torch.where(is_whole[:, None, None], whole, own)
        return logits[torch.from_numpy(chosen.ravel())]

    @property
    def predicted_iou(self) -> np.ndarray:
        colours = ColourGuesses(self.image, self.points_xy).predicted_iou
        colours[:, 1] = np.where(colours[:, 1] > 0, 0.95, 0)
        colours[:, 2] = 0
        return colours


def segmenter_of(
    prompter: Colours, scorer: LoadedScorer | None = None, **changes: object
) -> GridSegmenter:
    recipe = {"points_per_side": 16, "device": "cpu", "prompts": "adaptive", **changes}
    options = SegmenterOptions.model_validate(recipe)
    return GridSegmenter(prompter, weights_sha256=SHA, options=options, scorer=scorer)


def red_scorer(**thresholds: float) -> LoadedScorer:
    """Worth a prompt is what lies on or beside anything red."""
    network = PointScorer(1)
    with torch.no_grad():
        for weights in network.parameters():
            weights.zero_()
        network.hidden.weight[0, :2] = 1.0  # not where a point is
        network.out.weight[0, 0], network.out.bias[0] = 1.0, -1.0
        network.least_score.fill_(0.5)
        for name, value in thresholds.items():
            getattr(network, name).fill_(value)
    return LoadedScorer(network.requires_grad_(False), "5" * 64)


def test_what_scores_low_is_not_asked() -> None:
    image = painted((4, 4, 20, 20, 240), (44, 40, 60, 60, 250))
    every, some = Asked(), Asked()
    wanted = segmenter_of(every, prompts="grid").segment([image])[0]
    found = segmenter_of(some, red_scorer()).segment([image])[0]
    assert [mask.rle for mask in found] == [mask.rle for mask in wanted]
    assert len(found) == 2
    assert len(every.points) == 256
    assert 30 < len(some.points) < 90
    around = np.pad(image[..., 0], 8)
    for x, y in some.points:
        assert around[int(y) : int(y) + 17, int(x) : int(x) + 17].any()
    assert len(set(some.points)) == len(some.points)


def test_a_scorer_of_higher_thresholds_is_not_asked() -> None:
    image = painted((4, 4, 20, 20, 240))
    strict, lax, plain = Asked(), Asked(), Asked()
    scorer = red_scorer(pred_iou_thresh=0.9)
    segmenter_of(strict, scorer, pred_iou_thresh=0.9).segment([image])
    segmenter_of(lax, scorer, pred_iou_thresh=0.8).segment([image])
    segmenter_of(plain, pred_iou_thresh=0.8).segment([image])
    assert len(strict.points) < 60 < len(lax.points)
    assert lax.points == plain.points


def test_nothing_is_asked_where_a_scorer_sees_nothing() -> None:
    prompter = Asked()
    assert segmenter_of(prompter, red_scorer()).segment([painted()]) == [[]]
    assert prompter.points == []


def test_where_enough_sure_masks_agree_no_more_is_asked() -> None:
    image = painted((0, 0, 64, 64, 250))
    prompter = Asked()
    (mask,) = segmenter_of(prompter, max_area_frac=1).segment([image])[0]
    assert mask.area_px == 4096
    assert len(prompter.points) == 48  # three rounds: 0.15 of those that the mask holds


def test_a_part_inside_a_sure_whole_is_asked_for() -> None:
    """Its own masks count there, not those of the whole, however many gave that before."""
    image = painted((0, 0, 64, 64, 245), (26, 26, 38, 38, 252))
    every, some = Asked(Nested), Asked(Nested)
    grid = segmenter_of(every, prompts="grid").segment([image])[0]
    adaptive = segmenter_of(some).segment([image])[0]
    assert {mask.bbox_xyxy for mask in adaptive} == {mask.bbox_xyxy for mask in grid}
    assert (26, 26, 38, 38) in {mask.bbox_xyxy for mask in adaptive}
    in_part = [(x, y) for x, y in some.points if 26 <= x < 38 and 26 <= y < 38]
    assert len(in_part) >= 5
    assert len(some.points) < 128


@dataclass(frozen=True)
class Tokened(Nested):
    """The tokens of what has the same colour are nearly the same. Counts the masks it makes."""

    made: ClassVar[list[int]] = []

    @property
    def mask_tokens(self) -> np.ndarray:
        jitter = np.random.default_rng(len(self.points_xy)).uniform(0, 0.01, (len(self.colours), 3))
        tokens = np.eye(256, dtype=np.float32)[self.colours[:, 0]]
        tokens[:, :3] += jitter.astype(np.float32)
        return tokens[:, None].repeat(3, axis=1)

    def logits(self, chosen: np.ndarray, levels: Levels | None = None) -> Tensor:
        self.made.append(int(chosen.sum()))
        return super().logits(chosen, levels)


@pytest.mark.parametrize("scorer", [None, red_scorer()])
def test_a_mask_is_made_once_of_guesses_that_say_the_same(scorer: LoadedScorer | None) -> None:
    """They count as if each had its own."""
    image = painted((0, 0, 30, 30, 245), (26, 26, 38, 38, 252), (50, 4, 60, 60, 248))
    plain, tokened = Asked(Nested), Asked(Tokened)
    Tokened.made.clear()
    wanted = segmenter_of(plain, scorer).segment([image])
    assert segmenter_of(tokened, scorer).segment([image]) == wanted
    assert tokened.points == plain.points
    # Three colours, each with its mask and the whole; the surest comes first in no certain order.
    assert 6 <= sum(Tokened.made) <= 12
    Tokened.made.clear()
    segmenter_of(Asked(Tokened), prompts="grid").segment([image])
    assert sum(Tokened.made) > 100


def test_it_ends_when_a_round_shows_nothing_new() -> None:
    """Masks that are never sure silence no place, but they stop being news."""
    image, prompter = painted((0, 0, 64, 64, 150)), Asked()
    unsure = {"pred_iou_thresh": 0.5, "max_area_frac": 1}
    (mask,) = segmenter_of(prompter, **unsure).segment([image])[0]
    assert mask.area_px == 4096
    assert len(prompter.points) == 64 + 16  # the octaves before the last, then a round of that


def test_batches_change_nothing() -> None:
    image = painted((0, 0, 30, 30, 245), (26, 26, 38, 38, 252), (50, 4, 60, 60, 248))
    runs = []
    for batch in (3, 16, 999):
        prompter = Asked(Nested)
        segmenter = segmenter_of(prompter, points_per_batch=batch, crop_n_layers=1)
        runs.append((segmenter.segment([image]), prompter.points, segmenter.fingerprint))
    assert runs[0] == runs[1] == runs[2]


def test_images_at_once_are_asked_each_on_its_own() -> None:
    images = [painted((0, 0, 30, 30, 245)), painted((0, 0, 64, 64, 245)), painted()]
    alone = [segmenter_of(Asked(), crop_n_layers=1).segment([image])[0] for image in images]
    together = segmenter_of(Asked(), crop_n_layers=1, images_per_batch=4).segment(images)
    assert together == alone


def test_all_that_decides_is_in_the_fingerprint_and_a_grids_stays_as_it_was() -> None:
    colours = Colours()
    assert segmenter_of(colours, prompts="grid").fingerprint == GRID
    assert segmenter_of(colours, prompts=None).fingerprint == GRID
    assert segmenter_of(colours, red_scorer(), prompts="grid").fingerprint == GRID
    adaptive = segmenter_of(colours).fingerprint
    scored = segmenter_of(colours, red_scorer()).fingerprint
    other = segmenter_of(colours, LoadedScorer(red_scorer().network, "6" * 64)).fingerprint
    assert len({GRID, adaptive, scored, other}) == 4
    # One that does not hold for these thresholds decides nothing.
    unused = red_scorer(pred_iou_thresh=0.99)
    assert segmenter_of(colours, unused).fingerprint == adaptive
    assert segmenter_of(colours, preset="fast", prompts=None).fingerprint == (
        segmenter_of(colours, preset="fast").fingerprint
    )


def test_a_scorer_of_another_embedding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scorer.safetensors"
    save_file(PointScorer(3).state_dict(), path)
    loaded = load_scorer(path, 3, torch.device("cpu"))
    assert len(loaded.sha256) == 64
    with pytest.raises(ModelError, match="another architecture than a scorer of points"):
        load_scorer(path, 4, torch.device("cpu"))


def test_the_bundled_model_has_a_scorer_and_other_weights_have_none(tmp_path: Path) -> None:
    def built(**changes: object) -> GridSegmenter:
        return sam_demo.build(SegmenterOptions(device="cpu", precision="fp32", **changes))

    default = built()
    assert default._adaptive is not None
    assert default._adaptive.scorer is not None
    assert default.fingerprint == built(prompts="adaptive").fingerprint
    assert default.fingerprint != built(prompts="grid").fingerprint
    assert built(prompts="grid")._adaptive is None
    copied = tmp_path / "copied.safetensors"
    shutil.copy(catalog.bundled_path(catalog.find("sam_demo")), copied)
    other = built(checkpoint=str(copied))
    assert other._adaptive is not None
    assert other._adaptive.scorer is None
    assert built(prompts="grid", checkpoint=str(copied)).fingerprint == (
        built(prompts="grid").fingerprint
    )
