"""Finds boxes for texts: MM Grounding DINO and LLMDet, which is the same network (Apache-2.0)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.models.mm_grounding_dino import modeling_mm_grounding_dino
from transformers.models.mm_grounding_dino.configuration_mm_grounding_dino import (
    MMGroundingDinoConfig,
)

from schemas.images import UInt8Image
from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.detectors import describe_folder, is_folder
from workers.models.grounded_options import name_detector
from workers.models.hub import find_tokenizer, verify_file
from workers.segmenters.heads.grounding import TextBoxes, read_text_boxes
from workers.segmenters.hub_loading import LoadedModel, load_model
from workers.segmenters.preparation import Preparation, read_preparation
from workers.segmenters.text_tokens import TextPass, TextTokens

_USUAL = Preparation("fit", 800, 1333)
# A frame of fewer places than the model has queries, as of a thread of pixels, would not do.
_LEAST_FRAME_PX = 256


def load_detector(options: SegmenterOptions, cache_dir: Path | None = None) -> TextDetector:
    """The detector that `options` name, on `options.device`.

    Raises UnknownModelError, ModelError, DownloadError.
    """
    name = name_detector(options)
    folder = name if is_folder(name) else None
    entry = describe_folder(name) if folder else catalog.find(name, "detector")
    loaded = load_model(
        options.model_copy(update={"checkpoint": folder}),
        cache_dir,
        entry,
        modeling_mm_grounding_dino,
        "MMGroundingDinoForObjectDetection",
        MMGroundingDinoConfig,
    )
    tokenizer_sha256 = verify_file(find_tokenizer(loaded.folder), entry)
    return TextDetector(entry.name, loaded, tokenizer_sha256)


class TextDetector:
    """A `MMGroundingDinoForObjectDetection` with its tokenizer.

    It computes in float32: in fewer digits boxes would be off by several pixels.
    """

    def __init__(self, name: str, loaded: LoadedModel, tokenizer_sha256: str) -> None:
        self.name = name
        self._model: Any = loaded.model
        self._preparation = read_preparation(loaded.preparation, _USUAL)
        self._hashes = {"weights": loaded.weights_sha256, "tokenizer": tokenizer_sha256}
        self._tokens = TextTokens(loaded.folder, loaded.model.config.max_text_len)

    def check(self, texts: Sequence[str]) -> None:
        """Raise UsageError for a text that it cannot look for."""
        self._tokens.split(texts)

    @torch.inference_mode()
    def find(self, image: UInt8Image, texts: Sequence[str], least: float) -> TextBoxes:
        """The boxes that show a text with a score of `least`, surest first.

        `texts` of the boxes are numbers in `texts`. More texts than the model reads at once are
        looked for in several passes. Raises UsageError as `check` does.
        """
        frame, mask = self._frame(image)
        size_hw = image.shape[0], image.shape[1]
        parts = []
        for part in self._tokens.split(texts):
            logits, boxes = self._look(frame, mask, part)
            found = read_text_boxes(logits, boxes, part.spans, size_hw, least)
            numbers = found.texts.new_tensor(part.texts)[found.texts]
            parts.append(TextBoxes(found.boxes, numbers, found.scores))
        return TextBoxes.together(parts)

    def describe(self) -> dict[str, object]:
        """For a fingerprint."""
        return {
            "detector": "MM Grounding DINO 1",
            "sha256": self._hashes,
            "preparation": self._preparation.describe(),
        }

    def _frame(self, image: UInt8Image) -> tuple[Tensor, Tensor]:
        """float32 (1, 3, height, width), and int64 (1, height, width): 1 where the image is."""
        device = self._model.device
        places = self._preparation.place((image.shape[0], image.shape[1]))
        frame = self._preparation.make_frames(image, places, device)
        mask = torch.ones((1, *frame.shape[2:]), dtype=torch.int64, device=device)
        missing = [max(_LEAST_FRAME_PX - side, 0) for side in (frame.shape[3], frame.shape[2])]
        below_right = (0, missing[0], 0, missing[1])
        return pad(frame, below_right), pad(mask, below_right)

    def _look(self, frame: Tensor, mask: Tensor, part: TextPass) -> tuple[Tensor, Tensor]:
        """Logits (queries, tokens) and boxes (queries, 4) of a pass."""
        outputs = self._model(
            pixel_values=frame,
            pixel_mask=mask,
            input_ids=torch.tensor([part.token_ids], device=frame.device),
        )
        return outputs.logits[0], outputs.pred_boxes[0]
