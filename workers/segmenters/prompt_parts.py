"""What a `Sam` makes of prompts: its prompt encoder and its mask decoder, which may be others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam
from torch import Tensor

from workers.models.sam_demo_architecture import build_sam_demo
from workers.models.weights import fill, read_weights

MASK_CHANNELS = 16
"""Of `sam_demo`'s decoder for prompts, see `build_sam_demo`."""
_PARTS = ("prompt_encoder", "mask_decoder")


@dataclass(frozen=True, slots=True, eq=False)
class PromptParts:
    """The parts, in float32, on the encoder's device."""

    prompt_encoder: PromptEncoder
    mask_decoder: MaskDecoder

    @staticmethod
    def of_model(model: Sam) -> PromptParts:
        """A model's own."""
        return PromptParts(model.prompt_encoder, model.mask_decoder)

    @staticmethod
    def load_demo(path: Path, device: str) -> PromptParts:
        """Those that were trained for `sam_demo`'s encoder. Raises ModelError."""
        with torch.device("meta"):
            model = torch.nn.ModuleDict(dict(_name_parts(build_sam_demo(MASK_CHANNELS))))
        fill(model, read_weights(path), "sam_demo's decoder for prompts")
        model.requires_grad_(False).eval().to(device)
        encoder, decoder = (model[name] for name in _PARTS)
        assert isinstance(encoder, PromptEncoder)
        assert isinstance(decoder, MaskDecoder)
        return PromptParts(encoder, decoder)

    @torch.inference_mode()
    def decode(
        self,
        features: Tensor,
        points: tuple[Tensor, Tensor] | None,
        box: Tensor | None,
        mask: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """All four outputs for one prompt: logits (4, low, low), predicted IoU (4,).

        features (h * w, c), the encoder's; points (n, 2) and their labels (n,), and box (4,), in
        the frame's pixels; mask (low, low), logits.
        """
        sparse, dense = self.prompt_encoder(
            points=None if points is None else (points[0][None], points[1][None]),
            boxes=None if box is None else box[None],
            masks=None if mask is None else mask[None, None],
        )
        height, width = self.prompt_encoder.image_embedding_size
        logits, predicted = self.mask_decoder.predict_masks(
            image_embeddings=features.mT.reshape(1, -1, height, width),
            image_pe=self.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
        )
        return logits[0], predicted[0]


def _name_parts(model: Sam) -> list[tuple[str, torch.nn.Module]]:
    return [(name, getattr(model, name)) for name in _PARTS]
