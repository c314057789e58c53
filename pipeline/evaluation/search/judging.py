"""Judges the hits of a query: which show what is right for it, and which nobody can tell of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.evaluation.search.query_result import Verdict
from pipeline.evaluation.search.true_objects import Target, TrueObjects
from schemas.masks import CocoRle
from schemas.overlaps import mask_iou
from schemas.search import SearchHit


@dataclass(frozen=True, slots=True)
class Answers:
    """What is right for a query. A hit shows a target from an IoU of `least_iou` on.

    `truth`: the images whose objects are known, where labels are right; None: targets are all that
    is right. `own` is the object that is searched with, if it is in the index.
    """

    targets: Sequence[Target]
    least_iou: float
    truth: TrueObjects | None = None
    own: Target | None = None

    @property
    def wanted(self) -> int | None:
        """How many must be found; None: some are there, but none of those must."""
        must = sum(target.must for target in self.targets)
        return must if must or not self.targets else None


def judge_hits(hits: Sequence[SearchHit], answers: Answers) -> list[Verdict]:
    """The verdict on each hit, best first.

    Each hit shows the target that it overlaps most of those that no hit before it has shown; where
    there is none, one that was shown already, or need not be found.
    """
    targets: dict[str | None, list[Target]] = defaultdict(list)
    for target in answers.targets:
        targets[target.image_id].append(target)
    shown: set[int] = set()
    verdicts = []
    for hit in hits:
        fitting = _list_fitting(hit, targets[hit.payload.image_id], answers.least_iou)
        new = next((each for each in fitting if each.must and id(each) not in shown), None)
        if new is not None:
            shown.add(id(new))
            verdicts.append(Verdict.RIGHT)
        elif fitting:
            verdicts.append(Verdict.AGAIN if fitting[0].must else Verdict.EXTRA)
        else:
            verdicts.append(Verdict.UNJUDGED if _is_unknown(hit, answers) else Verdict.WRONG)
    return verdicts


def _list_fitting(hit: SearchHit, targets: Sequence[Target], least_iou: float) -> list[Target]:
    """The targets that a hit shows, those it overlaps most first."""
    iou = _measure_overlaps(hit, targets)
    fitting = [place for place, value in enumerate(iou) if value >= least_iou]
    return [targets[place] for place in sorted(fitting, key=lambda place: -iou[place])]


def _measure_overlaps(hit: SearchHit, targets: Sequence[Target]) -> list[float]:
    """The IoU of a hit with targets in its image; 1 with itself, broken masks with nothing else.

    Of a video, masks of other frames overlap nothing.
    """
    rle, t_key = hit.payload.sound_mask(), hit.payload.t_key
    rles = [target.rle if target.t_key == t_key else None for target in targets]
    masks: list[CocoRle] = [each for each in rles if each is not None]
    known = iter(mask_iou([rle], masks)[0].tolist() if rle is not None and masks else [])
    overlaps = []
    for target, its_rle in zip(targets, rles, strict=True):
        iou = next(known, 0.0) if its_rle is not None else 0.0
        overlaps.append(1.0 if target.object_id == hit.object_id else iou)
    return overlaps


def _is_unknown(hit: SearchHit, answers: Answers) -> bool:
    """Whether nobody can tell if a hit is right that shows no target."""
    image_id, own = hit.payload.image_id, answers.own
    in_own_image = own is not None and own.image_id == image_id
    if answers.truth is not None:
        return in_own_image or not answers.truth.covers(image_id)
    return own is not None and in_own_image and bool(_list_fitting(hit, [own], answers.least_iou))
