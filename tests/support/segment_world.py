"""Coloured squares to be segmented, and a segmenter that takes prompts in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from support.colour_world import NAME, OPTIONS, ColourEmbedder, ColourSegmenter

from pipeline.segmentation.loaded_models import LoadedModels, ModelSource
from pipeline.settings import Settings
from schemas.boxes import BoxXyxy
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.masks import BoolMask, CocoRle, ObjectMask
from workers.labelling.labeller import Labeller, entries_of
from workers.segmenter_protocols import Float32Logits, PromptedMask
from workers.segmenters.mask_logits import frame_logits

SIDE = 64


class KnownColours(ColourEmbedder):
    """Knows the colours that `ColourEmbedder` has, and calls all other words grey."""

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        known = [text if self.knows_text(text) else "pink" for text in texts]
        return super().embed_texts(known)

    def knows_text(self, text: str) -> bool:
        return text in ("red", "pink", "blue", "green")


@dataclass
class ColourSession:
    """Answers with the square that the first point on it, the box's middle, or the mask shows."""

    image: UInt8Image
    asked: list[object]

    def predict(
        self,
        points_xy: Sequence[tuple[float, float]] = (),
        labels: Sequence[int] = (),
        box_xyxy: BoxXyxy | None = None,
        mask_input: Float32Logits | None = None,
    ) -> PromptedMask:
        self.asked.append((tuple(points_xy), tuple(labels), box_xyxy, mask_input is not None))
        height, width = self.image.shape[:2]
        wanted = [point for point, label in zip(points_xy, labels, strict=True) if label]
        if box_xyxy is not None:
            x0, y0, x1, y1 = box_xyxy
            if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
                raise UsageError(f"expected a box within {width} x {height} pixels")
            wanted.append(((x0 + x1) / 2, (y0 + y1) / 2))
        for x, y in wanted:
            if not (0 <= x < width and 0 <= y < height):
                raise UsageError(f"expected a point within {width} x {height} pixels, got {x:g}")
        x, y = wanted[0]
        same = (self.image == self.image[int(y), int(x)]).all(axis=2)
        mask = ObjectMask.measure(CocoRle.from_mask(same), predicted_iou=0.8, stability_score=0.9)
        return PromptedMask(mask, frame_logits(same, (height, width), SIDE))

    def frame_mask(self, mask: BoolMask) -> Float32Logits:
        if mask.shape != self.image.shape[:2]:
            raise UsageError(f"expected a mask of the image's size, got {mask.shape}")
        return frame_logits(mask, self.image.shape[:2], SIDE)


class PromptableColours(ColourSegmenter):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[object] = []

    def open_image(self, image: UInt8Image) -> ColourSession:
        return ColourSession(image, self.asked)

    def mask_boxes(self, image: UInt8Image, boxes: Sequence[BoxXyxy]) -> list[ObjectMask | None]:
        session = self.open_image(image)
        return [session.predict(box_xyxy=box).mask for box in boxes]


def source_of(settings: Settings, segmenter: ColourSegmenter) -> ModelSource:
    embedder = KnownColours(NAME)
    own = settings.model_copy(update={"embedder": OPTIONS})

    def name_colours() -> Labeller | None:
        entries = entries_of(settings.labels, NAME)
        if entries is None:
            return None
        vectors = embedder.embed_texts([entry.name for entry in entries])
        return Labeller(entries, vectors, settings.labels, NAME)

    return ModelSource(lambda: segmenter, lambda: embedder, lambda: embedder, name_colours, own)


def models_of(settings: Settings, segmenter: ColourSegmenter | None = None) -> LoadedModels:
    return LoadedModels(source_of(settings, segmenter or PromptableColours()))
