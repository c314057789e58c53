"""`segformer_*`: SegFormer, a class for every pixel (weights: research and evaluation only)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers.models.segformer import modeling_segformer
from transformers.models.segformer.configuration_segformer import SegformerConfig

from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.model_entry import ModelEntry
from workers.segmenters.compute import computing
from workers.segmenters.heads.class_map import SemanticHead
from workers.segmenters.heads.classes import Classes, read_classes
from workers.segmenters.heads.enlarge import PlacedLogits
from workers.segmenters.hub_loading import load_model
from workers.segmenters.labelled_segmenter import LabelledSegmenter
from workers.segmenters.mask_classifier import choose_task
from workers.segmenters.preparation import Preparation, read_preparation

_USUAL = Preparation("stretch", 512, 512)


def build(
    options: SegmenterOptions, cache_dir: Path | None = None, entry: ModelEntry | None = None
) -> LabelledSegmenter:
    """The SegFormer `options.name` on `options.device`.

    Raises UsageError, ModelError, DownloadError.
    """
    entry = entry or catalog.find(options.name, "segmenter")
    choose_task(options, entry.task, ("semantic",))
    loaded = load_model(
        options,
        cache_dir,
        entry,
        modeling_segformer,
        "SegformerForSemanticSegmentation",
        SegformerConfig,
    )
    model: Any = loaded.model
    classes = read_classes(loaded.config, model.config.num_labels)
    preparation = read_preparation(loaded.preparation, _USUAL)
    finder = PixelClassifier(model, classes, preparation, options)
    return LabelledSegmenter(finder, options, loaded.weights_sha256)


class PixelClassifier:
    """A network that gives every place of a frame logits of its classes."""

    def __init__(
        self, model: Any, classes: Classes, preparation: Preparation, options: SegmenterOptions
    ) -> None:
        self._model, self._preparation, self._options = model, preparation, options
        self._head = SemanticHead.choose(classes, options)

    def find(self, image: UInt8Image) -> list[ObjectMask]:
        """See `Finder`."""
        places = self._preparation.place((image.shape[0], image.shape[1]))
        device = torch.device(self._options.device)
        with computing(self._options):
            frames = self._preparation.make_frames(image, places, device)
            logits = [self._model(pixel_values=frame[None]).logits[0] for frame in frames]
        with torch.inference_mode():
            placed = zip(logits, places, strict=True)
            return self._head.find([PlacedLogits(part, place) for part, place in placed])

    def describe(self) -> dict[str, object]:
        """See `Finder`."""
        return {"preparation": self._preparation.describe(), "head": self._head.describe()}
