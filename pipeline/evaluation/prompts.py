"""Measures a segmenter's answers to prompts against ground truth: clicks, boxes, corrections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.boxes import GROWN, grow_box
from pipeline.evaluation.clicks import Click, correct
from pipeline.evaluation.matching import must_be_found
from pipeline.evaluation.shares import wilson_interval
from schemas.box_choice import choose_mask
from schemas.coco import CocoAnnotation, CocoId, CocoImage, CocoTruth
from schemas.images import UInt8Image
from schemas.masks import BoolMask, ObjectMask
from schemas.search import Box
from workers.refiners.innermost import find_innermost
from workers.segmenter_protocols import PromptableSegmenter, PromptSession, Segmenter

CORRECTIONS = 2
"""How many clicks follow the first."""
GENERATED = "_generated"
"""Ends the name of a box whose mask is chosen among all that were found in the image."""
_LEVELS = (0.5, 0.8)


@dataclass(frozen=True, slots=True)
class PromptScore:
    """How well one kind of prompt finds n objects: IoU of the answers with the true masks.

    `share_50` and `share_80`: of objects with an IoU of at least 0.5 and 0.8, with the intervals
    in which 95% of such samples' shares lie (E. B. Wilson, 1927; objects of a scene hang together,
    which it does not know of).
    """

    objects: int
    share_50: float
    share_80: float
    interval_50: tuple[float, float]
    interval_80: tuple[float, float]
    mean_iou: float

    @classmethod
    def of(cls, ious: Sequence[float]) -> PromptScore:
        """Of one object's IoU or more."""
        hits = [sum(iou >= level for iou in ious) for level in _LEVELS]
        low, high = (wilson_interval(count, len(ious)) for count in hits)
        shares = [count / len(ious) for count in hits]
        return cls(len(ious), shares[0], shares[1], low, high, float(np.mean(ious)))


def score_prompts(
    truth: CocoTruth,
    read: Callable[[CocoImage], UInt8Image],
    segmenter: PromptableSegmenter,
    finder: Segmenter | None = None,
    on_image: Callable[[], None] = lambda: None,
) -> dict[str, PromptScore]:
    """Scores by the name of the prompt, over all objects of a truth that must be found.

    A click at the innermost point and corrections of its mask, then boxes. With a `finder`, boxes
    are also answered by the best of what it finds in the image. `on_image` is called after each.
    """
    ious: dict[str, list[float]] = defaultdict(list)
    wanted: dict[CocoId, list[CocoAnnotation]] = defaultdict(list)
    for annotation in truth.annotations:
        wanted[annotation.image_id].append(annotation)
    for image in truth.images:
        objects = [item for item in wanted[image.id] if must_be_found(item, image)]
        if objects:
            pixels = read(image)
            session = segmenter.open_image(pixels)
            found = None if finder is None else finder.segment([pixels])[0]
            for annotation in objects:
                true_mask = annotation.to_rle(image.size_hw).decode()
                for number, iou in enumerate(_click(session, true_mask)):
                    ious[f"corrected_{number}" if number else "click"].append(iou)
                for share in GROWN:
                    box = grow_box(annotation, share, image.size_hw)
                    for ending, mask in _ask_box(session, box, found):
                        ious[_name_box(share) + ending].append(_measure_iou(mask, true_mask))
        on_image()
    return {name: PromptScore.of(values) for name, values in ious.items()}


def _click(session: PromptSession, truth: BoolMask) -> Iterator[float]:
    """The IoU after a click on an object, and after each corrective one."""
    clicks = [Click(find_innermost(truth), on_object=True)]
    answer = session.predict([clicks[0].point_xy], [1])
    yield _measure_iou(answer.mask, truth)
    for _ in range(CORRECTIONS):
        if click := correct(_decode(answer.mask, truth), truth):
            clicks.append(click)
            points, labels = zip(*((c.point_xy, int(c.on_object)) for c in clicks), strict=True)
            answer = session.predict(points, labels, mask_input=answer.logits)
        yield _measure_iou(answer.mask, truth)


def _ask_box(
    session: PromptSession, box: Box, found: Sequence[ObjectMask] | None
) -> Iterator[tuple[str, ObjectMask | None]]:
    """The answers to a box, with what ends their names."""
    answer = session.predict(box_xyxy=box)
    yield "", answer.mask
    if found is not None:
        best = choose_mask(found, box)
        yield GENERATED, answer.mask if best is None else found[best]


def _name_box(share: float) -> str:
    return f"box_{round(share * 100)}" if share else "tight_box"


def _decode(mask: ObjectMask | None, like: BoolMask) -> BoolMask:
    return np.zeros_like(like) if mask is None else mask.rle.decode()


def _measure_iou(mask: ObjectMask | None, truth: BoolMask) -> float:
    found = _decode(mask, truth)
    union = np.count_nonzero(found | truth)
    return np.count_nonzero(found & truth) / union if union else 0.0
