"""Tries a scorer of points at several bounds, on images that it was not fitted to."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from schemas.images import UInt8Image
from schemas.masks import CocoRle
from schemas.overlaps import best_iou
from workers.segmenters.counting_prompter import CountingPrompter
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.point_scorer import LoadedScorer, PointScorer

BOUNDS = (0.02, 0.05, 0.1, 0.15, 0.25, 0.4)
MATCHED_IOU = 0.9


@dataclass(frozen=True, slots=True)
class Trial:
    """Adaptive prompts against the whole grid, on the same images.

    `least_score` is the scorer's bound, None: without a scorer. `prompts` is how many points were
    asked of all images; `matched` of the grid's masks have one of an IoU of `MATCHED_IOU`, the
    others are `lost`; `masks` were found.
    """

    least_score: float | None
    prompts: int = 0
    masks: int = 0
    matched: int = 0
    lost: int = 0

    @property
    def lost_share(self) -> float:
        """Of the grid's masks; 0 where it found none."""
        return self.lost / max(self.matched + self.lost, 1)

    def plus(self, prompts: int, masks: int, matched: int, lost: int) -> Trial:
        """The same with one more image."""
        return Trial(
            self.least_score,
            self.prompts + prompts,
            self.masks + masks,
            self.matched + matched,
            self.lost + lost,
        )


@dataclass(frozen=True, slots=True)
class Trials:
    """Of `images`: the whole grid's prompts and masks, and every trial, the one without a scorer
    first."""

    images: int
    grid_prompts: int
    grid_masks: int
    trials: tuple[Trial, ...]

    def choose(self, max_lost: float) -> Trial:
        """Of the trials with a scorer that lose at most that share, the one of fewest prompts.

        Where none loses so few, the one that loses least.
        """
        scored = [trial for trial in self.trials if trial.least_score is not None]
        good = [trial for trial in scored if trial.lost_share <= max_lost]
        if good:
            return min(good, key=lambda trial: (trial.prompts, trial.lost))
        return min(scored, key=lambda trial: (trial.lost, trial.prompts))


def try_scorer(
    segmenter: GridSegmenter, scorer: PointScorer, images: Iterable[UInt8Image]
) -> Iterator[Trials]:
    """The trials of the images so far, after each; every image is encoded once."""
    prompter = CountingPrompter(segmenter.prompter)
    grid = segmenter.with_prompts(prompter, "grid")
    sides = [
        segmenter.with_prompts(prompter, "adaptive", scored)
        for scored in (None, *(_bound(scorer, bound, segmenter) for bound in BOUNDS))
    ]
    trials = tuple(Trial(bound) for bound in (None, *BOUNDS))
    images_seen = grid_prompts = grid_masks = 0
    for image in images:
        prompter.forget()
        wanted, asked = _segment(grid, prompter, image)
        images_seen, grid_prompts = images_seen + 1, grid_prompts + asked
        grid_masks += len(wanted)
        trials = tuple(
            _add_image(trial, side, prompter, image, wanted)
            for trial, side in zip(trials, sides, strict=True)
        )
        yield Trials(images_seen, grid_prompts, grid_masks, trials)


def _add_image(
    trial: Trial,
    segmenter: GridSegmenter,
    prompter: CountingPrompter,
    image: UInt8Image,
    wanted: Sequence[CocoRle],
) -> Trial:
    found, asked = _segment(segmenter, prompter, image)
    matched = int((best_iou(found, wanted) >= MATCHED_IOU).sum())
    return trial.plus(asked, len(found), matched, len(wanted) - matched)


def _segment(
    segmenter: GridSegmenter, prompter: CountingPrompter, image: UInt8Image
) -> tuple[list[CocoRle], int]:
    before = prompter.prompts
    masks = segmenter.segment([image])[0]
    return [mask.rle for mask in masks], prompter.prompts - before


def _bound(scorer: PointScorer, least_score: float, segmenter: GridSegmenter) -> LoadedScorer:
    """The scorer with a bound, on the segmenter's device. It has no file, and so no SHA-256."""
    network = copy.deepcopy(scorer).requires_grad_(False)
    network.least_score.fill_(least_score)
    return LoadedScorer(network.to(segmenter.prompter.device), sha256="")
