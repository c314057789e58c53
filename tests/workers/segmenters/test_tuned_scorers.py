"""Scorers that are fitted to a segmenter: learnt, tried, kept, refused where they do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from support.colour_prompter import SHA, Asked, painted

from schemas.errors import ModelError, UsageError
from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.sam_demo_architecture import EMBED_DIM
from workers.models.weights import sha256_of
from workers.registry import build_segmenter, check_segmenter
from workers.segmenters.candidates import Crop
from workers.segmenters.counting_prompter import CountingPrompter
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.point_scorer import PLACE, PointScorer, gather_features, load_tuned
from workers.segmenters.scorer_fit import ask_points, fit_scorer
from workers.segmenters.scorer_trials import BOUNDS, Trial, Trials, try_scorer
from workers.segmenters.tuned_scorers import (
    SCORERS,
    ScorerFile,
    ScorerOrigin,
    list_scorers,
    read_scorer,
)

CPU = torch.device("cpu")
ORIGIN = ScorerOrigin("sam_vit_b", "ab" * 32)
THRESHOLDS = {"pred_iou_thresh": 0.88, "stability_score_thresh": 0.95}


def scorer_file(
    name: str = "photos", channels: int = 3, origin: ScorerOrigin = ORIGIN
) -> ScorerFile:
    return ScorerFile(name, save(PointScorer(channels).state_dict(), origin.to_metadata()))


def keep(file: ScorerFile, cache: Path) -> Path:
    path = SCORERS.path_of(file.name, cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.content)
    return path


def colour_grid(prompter: Asked) -> GridSegmenter:
    options = SegmenterOptions(points_per_side=16, device="cpu", prompts="grid")
    return GridSegmenter(prompter, weights_sha256=SHA, options=options)


def test_a_scorer_learns_which_features_yield_and_the_same_every_time() -> None:
    features = torch.randn(4000, 6 + PLACE, generator=torch.Generator().manual_seed(0)) * 3 + 5
    yielding = (features[:, 1] > features[:, 4]).float()
    state = torch.random.get_rng_state()
    scorer = fit_scorer(features, yielding, THRESHOLDS)
    scores = scorer(features).sigmoid()
    assert ((scores > 0.5) == (yielding > 0)).float().mean() > 0.97
    assert torch.equal(torch.random.get_rng_state(), state)
    again = fit_scorer(features, yielding, THRESHOLDS)
    assert save(again.state_dict()) == save(scorer.state_dict())
    assert scorer.holds_for(THRESHOLDS)
    assert not scorer.holds_for({**THRESHOLDS, "pred_iou_thresh": 0.87})


def test_points_are_asked_and_their_features_kept() -> None:
    segmenter = colour_grid(Asked())
    (crop,) = segmenter.crops_of(painted((0, 0, 32, 64, 250)))
    points = segmenter.grid_of(crop)
    asked = ask_points(segmenter, crop, points)
    assert asked.features.shape == (256, 2 + PLACE)
    np.testing.assert_array_equal(asked.yielding, points[:, 0] < 32)
    np.testing.assert_array_equal(asked.features[:, 0] == 250, points[:, 0] < 32)


def test_points_are_counted_and_an_image_is_encoded_once() -> None:
    inner = Asked()
    encoded: list[int] = []
    encode = inner.encode
    inner.encode = lambda images: encoded.append(len(images)) or encode(images)  # type: ignore
    prompter = CountingPrompter(inner)
    segmenter = colour_grid(inner).with_prompts(prompter, "grid")
    image, other = painted((4, 4, 20, 20, 240)), painted((4, 4, 20, 20, 241))
    first = segmenter.segment([image])
    assert segmenter.segment([image.copy()]) == first
    assert (prompter.prompts, encoded) == (512, [1])
    segmenter.segment([other])
    assert encoded == [1, 1]
    prompter.forget()
    segmenter.segment([other])
    assert (prompter.prompts, encoded) == (1024, [1, 1, 1])


def test_a_scorer_is_tried_against_the_whole_grid_on_each_image() -> None:
    prompter = Asked()
    segmenter = colour_grid(prompter)
    images = [painted((4, 4, 20, 20, 240), (44, 40, 60, 60, 250)), painted((8, 8, 40, 40, 245))]
    crops = [segmenter.crops_of(image)[0] for image in images]
    asked = [ask_points(segmenter, crop, segmenter.grid_of(crop)) for crop in crops]
    features = torch.from_numpy(np.concatenate([part.features for part in asked])).float()
    yielding = torch.from_numpy(np.concatenate([part.yielding for part in asked])).float()
    many = features.repeat(10, 1), yielding.repeat(10)  # enough to learn from
    scorer = fit_scorer(*many, segmenter.parameters)
    first, both = try_scorer(segmenter, scorer, images)
    assert (first.images, first.grid_prompts, first.grid_masks) == (1, 256, 2)
    assert (both.images, both.grid_prompts, both.grid_masks) == (2, 512, 3)
    assert [trial.least_score for trial in both.trials] == [None, *BOUNDS]
    assert both.trials[0].prompts == 160
    for trial in both.trials[1:]:
        assert (trial.matched, trial.lost, trial.masks) == (3, 0, 3)
        assert trial.prompts < 130
    assert scorer.least_score == 0
    chosen = both.choose(0.05)
    assert chosen.prompts == min(trial.prompts for trial in both.trials)


def test_of_bounds_that_lose_little_the_one_with_the_fewest_prompts_is_taken() -> None:
    trials = Trials(10, 1000, 100, (
        Trial(None, 100, 90, 90, 10), Trial(0.02, 500, 100, 99, 1),
        Trial(0.1, 300, 99, 96, 4), Trial(0.2, 200, 98, 94, 6),
    ))  # fmt: skip
    assert trials.choose(0.05).least_score == 0.1
    assert trials.choose(0.06).least_score == 0.2
    assert trials.choose(0.001).least_score == 0.02  # none loses so few: the least
    assert trials.trials[0].lost_share == 0.1


def test_names_and_paths_of_scorers(tmp_path: Path) -> None:
    path = keep(scorer_file(), tmp_path)
    assert path == tmp_path / "scorers" / "photos.safetensors"
    assert SCORERS.find("photos", tmp_path) == path
    assert SCORERS.find("./photos") == Path("photos")
    assert SCORERS.find("photos.safetensors", tmp_path) == Path("photos.safetensors")
    assert list_scorers(tmp_path) == ["photos"]
    assert read_scorer("photos", tmp_path).sha256 == sha256_of(path)
    with pytest.raises(
        ModelError, match=r"no scorer 'other' .*: `objseek tune` fits one, kept are photos"
    ):
        read_scorer("other", tmp_path)
    with pytest.raises(UsageError, match=r"expected a name of letters.*got 'a b'"):
        SCORERS.find("a b", tmp_path)


def test_a_scorer_is_loaded_for_its_own_model_alone() -> None:
    file = scorer_file()
    assert load_tuned(file, ORIGIN, 3, CPU).sha256 == file.sha256
    with pytest.raises(
        ModelError, match="expected a scorer of sam_vit_h, got 'photos', which is one"
    ):
        load_tuned(file, ScorerOrigin("sam_vit_h", ORIGIN.weights_sha256), 3, CPU)
    with pytest.raises(
        ModelError, match="the weights cdcdcdcdcdcd…, got 'photos', which was fitted"
    ):
        load_tuned(file, ScorerOrigin("sam_vit_b", "cd" * 32), 3, CPU)
    with pytest.raises(ModelError, match="another architecture than a scorer of points"):
        load_tuned(file, ORIGIN, 4, CPU)
    foreign = ScorerFile("photos", save(PointScorer(3).state_dict()))
    for content in (b"", b"no tensors", foreign.content):
        with pytest.raises(ModelError, match="does not say of which model it is"):
            load_tuned(ScorerFile("photos", content), ORIGIN, 3, CPU)
    with pytest.raises(ModelError, match="the scorer 'photos' is damaged"):
        load_tuned(ScorerFile("photos", file.content[:-9]), ORIGIN, 3, CPU)


def demo_scorer(**thresholds: float) -> ScorerFile:
    weights = sha256_of(catalog.bundled_path(catalog.find("sam_demo")))
    scorer = PointScorer(EMBED_DIM)
    for name, value in thresholds.items():
        getattr(scorer, name).fill_(value)
    origin = ScorerOrigin("sam_demo", weights)
    return ScorerFile("mine", save(scorer.state_dict(), origin.to_metadata()))


def test_a_named_scorer_takes_the_place_of_the_bundled_one(tmp_path: Path) -> None:
    def built(**changes: object) -> GridSegmenter:
        options = SegmenterOptions(device="cpu", precision="fp32", **changes)
        segmenter = build_segmenter(options, tmp_path)
        assert isinstance(segmenter, GridSegmenter)
        return segmenter

    file = demo_scorer(pred_iou_thresh=0.4)
    path = keep(file, tmp_path)
    mine = built(scorer="mine")
    assert mine._adaptive is not None
    assert mine._adaptive.describe()["scorer_sha256"] == file.sha256
    assert mine.fingerprint not in (built().fingerprint, built(prompts="grid").fingerprint)
    assert built(scorer=str(path)).fingerprint == mine.fingerprint
    assert built(scorer="mine", prompts="grid").fingerprint == built(prompts="grid").fingerprint
    assert mine.notes == built().notes == ()
    # It was fitted to higher thresholds than these.
    with pytest.raises(UsageError, match=r"pred_iou_thresh 0.4 .* got pred_iou_thresh 0.3"):
        built(scorer="mine", pred_iou_thresh=0.3)
    (note,) = built(pred_iou_thresh=0.3).notes
    assert "got pred_iou_thresh 0.3 and" in note
    assert note.endswith("it is left out, and more points are asked")
    assert built(pred_iou_thresh=0.3, prompts="grid").notes == ()


def test_a_scorer_makes_prompts_adaptive_where_nothing_is_said() -> None:
    from workers.segmenters.parameters import choose_prompts

    def chosen(**changes: object) -> str:
        return choose_prompts(SegmenterOptions(name="sam_vit_b", **changes), "grid")

    assert chosen() == "grid"
    assert chosen(preset="fast") == "adaptive"
    assert chosen(scorer="photos") == "adaptive"
    assert chosen(scorer="photos", prompts="grid") == "grid"


def test_a_wrong_scorer_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    keep(scorer_file(), tmp_path)
    check_segmenter(SegmenterOptions(name="sam_vit_b", scorer="photos"), tmp_path)
    check_segmenter(SegmenterOptions(scorer="none", prompts="grid"), tmp_path)
    with pytest.raises(ModelError, match="a scorer of sam_demo, got 'photos', which is one"):
        check_segmenter(SegmenterOptions(scorer="photos"), tmp_path)
    with pytest.raises(ModelError, match="there is no scorer 'none'"):
        check_segmenter(SegmenterOptions(scorer="none"), tmp_path)
    save_file({}, tmp_path / "plain.safetensors")
    with pytest.raises(ModelError, match="does not say of which model it is"):
        check_segmenter(SegmenterOptions(scorer=str(tmp_path / "plain.safetensors")), tmp_path)


def test_features_are_the_embedding_at_a_point_and_where_it_lies() -> None:
    embedding = torch.arange(16.0).reshape(4, 4).flatten()[:, None]  # a cell is 10 pixels
    pixels = np.zeros((40, 40, 3), np.uint8)
    points = np.array([[5.0, 5.0], [10.0, 15.0], [40.0, 0.0]])
    for crop, cuts in (
        (Crop(0, (40, 40), (0, 0, 40, 40), 0, pixels), 0.0),
        (Crop(0, (80, 80), (40, 0, 80, 40), 1, pixels), 1.0),
    ):
        features = gather_features(embedding, crop, points).numpy()
        # At the middle of a cell it is the cell's own, between two of them their mean.
        np.testing.assert_allclose(features[:, 0], [0.0, 4.5, 3.0], atol=1e-5)
        np.testing.assert_allclose(features[0, 1], (0 * 4 + 1 * 2 + 4 * 2 + 5) / 9, atol=1e-5)
        distances = [[5, 5, 35, 35], [10, 15, 30, 25], [40, 0, 0, 40]]
        np.testing.assert_allclose(features[:, 2:6], np.array(distances) / 40)
        np.testing.assert_allclose(features[:, 6:10], np.minimum(np.array(distances) / 2, 1))
        np.testing.assert_array_equal(features[:, 10], cuts)
