"""`grounded:TEXT,TEXT`: a detector's boxes for texts, each filled by a SAM."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from schemas.boxes import BoxXyxy
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import SegmenterOptions
from workers.models.grounded_options import find_mask_model, read_texts
from workers.models.model_entry import ModelEntry
from workers.segmenter_protocols import BoxMasker
from workers.segmenters.fixed_texts import FixedTextSegmenter, select_surest
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.prompt_session import PromptableGridSegmenter
from workers.segmenters.refining_sam import describe_sam
from workers.segmenters.tasks import choose_score
from workers.segmenters.text_detector import TextDetector, load_detector


def build(
    options: SegmenterOptions, cache_dir: Path | None = None, entry: ModelEntry | None = None
) -> FixedTextSegmenter:
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
) -> FixedTextSegmenter:
    """The same of models that are loaded. Raises UsageError for texts that cannot be looked for."""
    texts = read_texts(options.name)
    detector.check(texts)
    grounding = Grounding(detector, masks, options)
    return FixedTextSegmenter(grounding, texts, options, _describe(detector, masks, options))


def _describe(
    detector: TextDetector, masks: GridSegmenter, options: SegmenterOptions
) -> dict[str, object]:
    """What changes the result, for a fingerprint."""
    filled = describe_sam(masks)
    if isinstance(masks, PromptableGridSegmenter) and masks.sure_of_boxes:
        filled["unsure"] = [masks.sure_of_boxes, masks.fingerprint]
    return {
        "detector": detector.describe(),
        "score_thresh": choose_score(options, "text"),
        "masks": filled,
    }


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
        bound = choose_score(self.options, "text") if least is None else least
        found = self.detector.find(image, texts, bound)
        most = self.options.max_objects
        boxes: list[BoxXyxy] = [(*box,) for box in found.boxes[:most].tolist()]
        if not boxes:  # the SAM would encode the image for nothing
            return []
        named = zip(
            self.masks.mask_boxes(image, boxes),
            (texts[number] for number in found.texts[:most].tolist()),
            found.scores[:most].tolist(),
            strict=True,
        )
        objects = (
            replace(mask, segmenter_label=text, segmenter_score=min(score, 1.0))
            for mask, text, score in named
            if mask is not None
        )
        return select_surest(objects, self.options)

    @property
    def name(self) -> str:
        """The detector's."""
        return self.detector.name

    def check(self, texts: Sequence[str]) -> None:
        """See `TextFinder`."""
        self.detector.check(texts)
