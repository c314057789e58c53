"""`grounded:TEXT,TEXT`: a detector's boxes for texts, each filled by a SAM."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from schemas.boxes import BoxXyxy
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import SegmenterOptions
from workers.models.grounded_options import find_mask_model, read_texts
from workers.models.model_entry import ModelEntry
from workers.protocols import BoxMasker
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.labelled_segmenter import LabelledSegmenter
from workers.segmenters.masks.selection import select_masks
from workers.segmenters.prompt_session import PromptableGridSegmenter
from workers.segmenters.tasks import choose_score
from workers.segmenters.text_detector import TextDetector, load_detector


def build(
    options: SegmenterOptions, cache_dir: Path | None = None, entry: ModelEntry | None = None
) -> GroundedSegmenter:
    """What looks for the texts in `options.name`, on `options.device`.

    `options.detector` finds boxes, `options.mask_model` their masks; `options.checkpoint` is of the
    latter. Raises UsageError, UnknownModelError, ModelError, DownloadError.
    """
    sam = find_mask_model(options)
    detector = load_detector(options, cache_dir)
    module = importlib.import_module(f"workers.segmenters.{sam.module}")
    named = options.model_copy(update={"name": sam.name, "scorer": None})
    return build_from(detector, module.build(named, cache_dir=cache_dir, entry=sam), options)


def build_from(
    detector: TextDetector, masks: GridSegmenter, options: SegmenterOptions
) -> GroundedSegmenter:
    """The same of models that are loaded. Raises UsageError for texts that cannot be looked for."""
    texts = read_texts(options.name)
    detector.check(texts)
    grounding = Grounding(detector, masks, options)
    return GroundedSegmenter(grounding, texts, options, _describe_masks(masks))


def _describe_masks(segmenter: GridSegmenter) -> dict[str, object]:
    """What changes the masks of boxes, for a fingerprint."""
    made_of: dict[str, object] = {
        "boxes": 1,
        "segmenter": segmenter.name,
        "weights_sha256": segmenter.weights_sha256,
    }
    if isinstance(segmenter, PromptableGridSegmenter):
        made_of["prompts_sha256"] = segmenter.prompts_sha256
    return made_of


@dataclass(frozen=True, slots=True, eq=False)
class Grounding:
    """A detector, and what fills its boxes, which is `masks`; within the limits of `options`."""

    detector: TextDetector
    masks: BoxMasker
    options: SegmenterOptions

    def find(
        self, image: UInt8Image, texts: Sequence[str], least: float | None = None
    ) -> list[ObjectMask]:
        """See `TextFinder`. So many boxes as `max_objects` are filled, the surest.

        Of equal masks the surest stays.
        """
        bound = choose_score(self.options, "grounded") if least is None else least
        found = self.detector.find(image, texts, bound)
        most = self.options.max_objects
        boxes: list[BoxXyxy] = [(*box,) for box in found.boxes[:most].tolist()]
        named = zip(
            self.masks.mask_boxes(image, boxes),
            (texts[number] for number in found.texts[:most].tolist()),
            found.scores[:most].tolist(),
            strict=True,
        )
        objects = [
            replace(mask, segmenter_label=text, segmenter_score=min(score, 1.0))
            for mask, text, score in named
            if mask is not None
        ]
        surest = {mask.rle: mask for mask in reversed(objects)}.values()
        wanted = select_masks([*surest], self.options)
        return sorted(wanted, key=lambda mask: -(mask.segmenter_score or 0.0))

    @property
    def name(self) -> str:
        """The detector's."""
        return self.detector.name

    def check(self, texts: Sequence[str]) -> None:
        """See `TextFinder`."""
        self.detector.check(texts)


class GroundedSegmenter(LabelledSegmenter):
    """Looks for the same texts in every image; `text_finder` for any."""

    def __init__(
        self,
        grounding: Grounding,
        texts: Sequence[str],
        options: SegmenterOptions,
        masks: Mapping[str, object],
    ) -> None:
        """`masks` describes what changes the masks of boxes."""
        self.text_finder = grounding
        super().__init__(_FixedTexts(grounding, tuple(texts), masks), options)


@dataclass(frozen=True, slots=True, eq=False)
class _FixedTexts:
    grounding: Grounding
    texts: tuple[str, ...]
    masks: Mapping[str, object]

    def find(self, image: UInt8Image) -> list[ObjectMask]:
        """See `Finder`."""
        return self.grounding.find(image, self.texts)

    def describe(self) -> dict[str, object]:
        """See `Finder`."""
        return {
            "texts": list(self.texts),
            "detector": self.grounding.detector.describe(),
            "score_thresh": choose_score(self.grounding.options, "grounded"),
            "masks": dict(self.masks),
        }
