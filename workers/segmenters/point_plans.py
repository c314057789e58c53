"""Plans which points of a crop are asked: all of them, or round by round where it is worth it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from torch import Tensor

from schemas.errors import UsageError
from workers.segmenters.candidates import Crop
from workers.segmenters.crop_chooser import VERSION as CROPS_VERSION
from workers.segmenters.decoder.contour import Levels
from workers.segmenters.low_res import LowResMasks, LowResMeter
from workers.segmenters.masks.tracer import Tracer
from workers.segmenters.point_choice import (
    Bools,
    Float32s,
    Float64s,
    Int64s,
    Known,
    Shown,
    add_votes,
    find_news,
    is_enough,
    next_round,
    order_points,
    rank_octaves,
)
from workers.segmenters.point_scorer import LoadedScorer
from workers.segmenters.repeated_guesses import TokenGuesses, find_repeated
from workers.segmenters.sam_prompter import View

_VERSION = 3  # to be raised whenever the same rules choose other points
_SURE_IOU = 0.9


@dataclass(frozen=True, slots=True)
class AdaptiveRules:
    """What decides which points are asked; all of it changes the result.

    A round is the grid's points by `rounds`, after which places are judged anew: no number of its
    own, so that a GPU has much to do at once where there is much to do. A mask counts if its
    stability is `least_stability`, and is sure from a predicted IoU of `sure_iou` on. `votes` and
    `share`: see `is_enough`. `same_cosine` and `same_iou`: see `find_repeated`.
    """

    least_stability: float
    sure_iou: float
    rounds: int = 16
    votes: int = 5
    share: float = 0.15
    same_cosine: float = 0.98
    same_iou: float = 0.85


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The m guesses of a batch that passed by their predicted IoU, of which some are new.

    of_points int64 (m,): which point of the batch each is of; repeated int64 (m,): see
    `find_repeated`. logits float32 (new, rows, low_side), on any device; None if none is new.
    """

    guesses: TokenGuesses
    of_points: Int64s
    repeated: Int64s
    logits: Tensor | None


def trace_sure(
    view: View,
    points_xy: Float64s,
    levels: Levels | None,
    parameters: Mapping[str, float],
    plan: Plan,
    tracer: Tracer,
) -> Answers | None:
    """Have the masks of guesses that are sure enough, and new, traced; None if none is sure.

    Where this raises, none has been added.
    """
    guesses = view.guess(points_xy)
    least_iou = parameters["pred_iou_thresh"]
    chosen = guesses.predicted_iou > (least_iou if least_iou > 0 else -np.inf)
    if not chosen.any():
        return None
    passed = TokenGuesses.of(guesses, chosen, with_tokens=plan.compares_tokens)
    repeated, logits = plan.find_repeated(passed), None
    is_new = chosen.copy()
    is_new[chosen] = repeated < 0
    if is_new.any():
        logits = guesses.logits(is_new, levels)
        tracer.add(logits)
    return Answers(passed, np.nonzero(chosen)[0], repeated, logits)


class Plan(Protocol):
    """Which points of a crop are asked."""

    compares_tokens: ClassVar[bool]
    """Whether `find_repeated` looks at tokens."""

    def __iter__(self) -> Iterator[Float64s]:
        """Batches, float64 (n, 2) with n > 0, pixels of the crop."""
        ...

    def find_repeated(self, guesses: TokenGuesses) -> Int64s:
        """Which of those with a mask each of m repeats, by their number: int64 (m,), or -1."""
        ...

    def learn(self, answers: Answers) -> None:
        """Take note of the answers to the last batch; not called where there are none."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class GridPlan:
    """Asks every point of a crop, float64 (n, 2), `batch` at once."""

    compares_tokens: ClassVar[bool] = False
    points_xy: Float64s
    batch: int

    def __iter__(self) -> Iterator[Float64s]:
        for start in range(0, len(self.points_xy), self.batch):
            yield self.points_xy[start : start + self.batch]

    def find_repeated(self, guesses: TokenGuesses) -> Int64s:
        """Every mask is made."""
        return np.full(len(guesses.outputs), -1, np.int64)

    def learn(self, answers: Answers) -> None:
        """Every point is asked, whatever the others gave."""


@dataclass(eq=False)
class AdaptivePlan:
    """Asks points of a crop by octaves, where nothing is known yet.

    points_xy float64 (n, 2), pixels of the crop; order int64 (m,): those that are worth asking, see
    `order_points`. Something is known of a place where others gave enough sure masks. Ends, unless
    `to_the_end`, when a round of the last octave shows nothing new. `batch` points are asked at
    once, which changes nothing.
    """

    compares_tokens: ClassVar[bool] = True
    rules: AdaptiveRules
    meter: LowResMeter
    points_xy: Float64s
    order: Int64s
    batch: int
    to_the_end: bool
    _answers: list[tuple[Int64s, Float32s, Int64s]] = field(default_factory=list, init=False)
    _start: int = field(default=0, init=False)
    _guesses: TokenGuesses | None = field(default=None, init=False)
    _masks: LowResMasks | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._known = Known.nothing(len(self.points_xy))
        self._shown = Shown.nothing(len(self.points_xy))

    def __iter__(self) -> Iterator[Float64s]:
        octaves = rank_octaves(math.isqrt(len(self.points_xy)))
        is_open = np.zeros(len(octaves), np.bool_)
        is_open[self.order] = True
        size = math.ceil(len(octaves) / self.rules.rounds)
        while len(chosen := next_round(self.order, is_open & ~self._is_known(), size)):
            is_open[chosen] = False
            self._answers.clear()
            for start in range(0, len(chosen), self.batch):
                self._start = start
                yield self.points_xy[chosen[start : start + self.batch]]
            is_new, is_last = self._note_round(), octaves[chosen].max() == octaves.max()
            if is_last and not is_new and not self.to_the_end:
                return

    def find_repeated(self, guesses: TokenGuesses) -> Int64s:
        rules = self.rules
        return find_repeated(self._guesses, guesses, rules.same_cosine, rules.same_iou)

    def learn(self, answers: Answers) -> None:
        masks, is_new = answers.repeated.copy(), answers.repeated < 0
        masks[is_new] = np.arange(is_new.sum()) + (0 if self._masks is None else len(self._masks))
        if answers.logits is not None:
            self._keep(answers.guesses.take(is_new), self.meter.measure(answers.logits))
        prompts = answers.of_points + self._start
        self._answers.append((masks, answers.guesses.predicted_iou, prompts))

    def _keep(self, guesses: TokenGuesses, masks: LowResMasks) -> None:
        """Guesses that others may repeat, and their masks."""
        self._guesses = guesses if self._guesses is None else self._guesses.add(guesses)
        self._masks = masks if self._masks is None else self._masks.add(masks)

    def _is_known(self) -> Bools:
        """bool (n,)."""
        spacing_px = math.sqrt(self.meter.area_px / len(self.points_xy))
        return is_enough(self._known, self.rules.votes, self.rules.share, spacing_px)

    def _note_round(self) -> bool:
        """Whether the round showed anything new; True where that ends nothing."""
        if not self._answers or self._masks is None:
            return False
        numbers, predicted_iou, prompts = map(np.concatenate, zip(*self._answers, strict=True))
        masks = self._masks.take(numbers)
        passes = masks.stability >= self.rules.least_stability
        is_sure = passes & (predicted_iou >= self.rules.sure_iou)
        sure = masks.take(is_sure)
        self._known = add_votes(self._known, sure.inside, sure.areas_px, prompts[is_sure])
        if self.to_the_end:
            return True
        passing = masks.take(passes)
        news = find_news(self._shown, passing.inside, passing.areas_px)
        self._shown = self._shown.add(passing.inside[news], passing.areas_px[news])
        return bool(news.any())


@dataclass(frozen=True, slots=True, eq=False)
class AdaptivePrompts:
    """How a segmenter chooses points of every crop."""

    rules: AdaptiveRules
    scorer: LoadedScorer | None

    @classmethod
    def choose(
        cls, parameters: Mapping[str, float], scorer: LoadedScorer | None
    ) -> AdaptivePrompts:
        """For the parameters of a segmenter; without a scorer that was learnt for others."""
        rules = AdaptiveRules(
            least_stability=parameters["stability_score_thresh"],
            sure_iou=max(_SURE_IOU, parameters["pred_iou_thresh"]),
        )
        holds = scorer is not None and scorer.network.holds_for(parameters)
        return cls(rules, scorer if holds else None)

    def explain(
        self, scorer: LoadedScorer | None, parameters: Mapping[str, float], named: str | None
    ) -> tuple[str, ...]:
        """What a user should know of a scorer that was to be used; nothing if it is.

        Raises UsageError for one that the user has `named`.
        """
        if scorer is None or self.scorer is not None:
            return ()
        why = scorer.network.explain_unused(parameters)
        if named is not None:
            raise UsageError(f"{why}: `objseek tune` fits one to these")
        return (f"{why}: it is left out, and more points are asked",)

    def describe(self) -> dict[str, object]:
        """All that decides which points are asked, for a fingerprint."""
        scorer = self.scorer
        has_chooser = scorer is not None and scorer.crops is not None
        return {
            "adaptive": _VERSION,
            **asdict(self.rules),
            "scorer_sha256": None if scorer is None else scorer.sha256,
            **({"crops": CROPS_VERSION} if has_chooser else {}),
        }

    def plan(
        self,
        view: View,
        crop: Crop,
        points_xy: Float64s,
        meter: LowResMeter,
        batch: int,
        is_open: Bools | None = None,
    ) -> AdaptivePlan:
        """For the grid of a crop; `is_open` bool (n,): which points may be asked, None: all."""
        octaves = rank_octaves(math.isqrt(len(points_xy)))
        if self.scorer is None:
            order = order_points(octaves, None)
        else:
            network = self.scorer.network
            scores = network.score(view.embedding, crop, points_xy)
            order = order_points(octaves, scores)
            order = order[network.worth(scores)[order]]
        if is_open is not None:
            order = order[is_open[order]]
        has_scorer = self.scorer is not None
        return AdaptivePlan(self.rules, meter, points_xy, order, batch, to_the_end=has_scorer)
