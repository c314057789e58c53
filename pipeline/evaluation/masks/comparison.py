"""Measures two runs of masks on the same images, and what differs between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.evaluation.masks.changes import ObjectChanges
from pipeline.evaluation.masks.evaluation import SAMPLES, MaskEvaluation, MaskScores
from pipeline.evaluation.masks.found_masks import FoundMasks
from pipeline.evaluation.paired import Comparison, compare_figures
from schemas.coco import CocoTruth


@dataclass(frozen=True, slots=True)
class MaskComparison:
    """What two runs found of one truth.

    `scores` of each are without intervals. `figures` by name, `classes`: AP by the class's number.
    """

    scores: tuple[MaskScores, MaskScores]
    figures: Mapping[str, Comparison]
    classes: Mapping[int, Comparison]
    changes: ObjectChanges


def compare_masks(
    truth: CocoTruth,
    found: tuple[FoundMasks, FoundMasks],
    most: int,
    note_image: Callable[[int], None],
    note_sample: Callable[[int], None],
) -> MaskComparison:
    """Measure both, image by image, and keep the `most` largest gains and losses.

    `note_image` is called with how many images are measured, `note_sample` with how often they were
    drawn anew, up to twice `SAMPLES`.
    """
    first, second = MaskEvaluation(), MaskEvaluation()
    changes = ObjectChanges(most)
    pairs = zip(truth.images, found[0].pair(truth), found[1].pair(truth), strict=True)
    for number, (image, one, other) in enumerate(pairs, start=1):
        changes.add(image, (one, other), (first.add(one), second.add(other)))
        note_image(number)
    figures = compare_figures(
        first.list_figures, second.list_figures, first.images, note=note_sample
    )
    classes = compare_figures(
        first.list_class_ap, second.list_class_ap, first.images,
        note=lambda number: note_sample(SAMPLES + number),
    )  # fmt: skip
    return MaskComparison(
        (first.measure(samples=0), second.measure(samples=0)),
        figures,
        {int(number): comparison for number, comparison in classes.items()},
        changes,
    )
