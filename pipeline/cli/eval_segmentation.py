"""`objseek eval segmentation`: what texts find, and labels of every pixel, on fresh scenes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache

from pipeline.cli.console import out
from pipeline.cli.figures_file import FiguresTarget, write_figures
from pipeline.cli.fresh_scenes import compose_scenes
from pipeline.cli.tables import print_rows
from pipeline.demo.groups import find_groups
from pipeline.evaluation.segmentation import SegmentationScores, score_segmentation
from pipeline.segmentation.loaded_models import LoadedModels, ModelSource
from pipeline.settings import Settings
from schemas.images import UInt8Image
from schemas.labels import LabelEntry
from schemas.masks import ObjectMask
from schemas.options import LabelOptions
from schemas.records import Float32Matrix
from workers.labelling.labeller import entries_of
from workers.labelling.text_match import TextMatcher

ROWS = {
    "text_right": "text for what is there: the surest mask is right",
    "text_iou": "mean IoU of the masks that it finds",
    "text_absent": "text for what is not there finds something",
    "pq_concepts": "every pixel labelled, PQ: concepts",
    "pq_groups": "the same: groups of concepts",
    "pq_unlabelled": "the same: whatever it is called",
    "pq_concepts_mean": "the same: mean over concepts",
}
_LABELS = LabelOptions(names="emoji")


class _Measured:
    """The models of settings, in the parts that are measured."""

    def __init__(self, settings: Settings) -> None:
        self.models = LoadedModels(ModelSource.of(settings))
        self.build_matcher = lru_cache(maxsize=None)(self._build_matcher)

    def find(self, image: UInt8Image) -> list[ObjectMask]:
        """See `SegmentationModels`."""
        return self.models.segmenter().segment([image])[0]

    def embed(self, image: UInt8Image, masks: Sequence[ObjectMask]) -> Float32Matrix:
        """See `SegmentationModels`."""
        return self.models.embed_masks(image, masks)

    def _build_matcher(self, text: str) -> TextMatcher:
        return self.models.build_matcher((text,))


def measure(scenes: int, seed: int, settings: Settings, target: FiguresTarget) -> None:
    """Print the table, and write its figures to a file. Raises UsageError, ModelError."""
    started = time.monotonic()
    settings = settings.model_copy(update={"labels": _LABELS})
    measured = _Measured(settings)
    entries = _list_labels()
    names = [entry.name for entry in entries]
    with compose_scenes(scenes, seed) as composed:
        scores = score_segmentation(
            composed.truth,
            composed.read,
            measured,
            measured.models.build_labeller(entries),
            dict(zip(names, find_groups(names), strict=True)),
            composed.count,
        )
    seconds = time.monotonic() - started
    _print_scores(scores, seconds)
    write_figures({"segmentation": asdict(scores)}, seconds, target)


def _list_labels() -> tuple[LabelEntry, ...]:
    entries = entries_of(_LABELS, "")
    assert entries is not None
    return entries


def _print_scores(scores: SegmentationScores, seconds: float) -> None:
    print_rows(
        ("figure", "score"), [(text, f"{getattr(scores, key):.3f}") for key, text in ROWS.items()]
    )
    out().print(
        f"{scores.texts:,} texts for what is there, and as many for what is not, in "
        f"{scores.images:,} images, {seconds:.0f} s"
    )
