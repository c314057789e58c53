"""Runs any open_clip model as an `Embedder`: crops, images and texts to unit vectors."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from torch import Tensor, nn
from torch.nn import functional

from schemas.errors import ModelError, UsageError
from schemas.ids import fingerprint
from schemas.options import EmbedderOptions
from schemas.records import Float32Matrix
from workers.embedders.clip_tokenizer import ClipTokenizer
from workers.embedders.known_words import (
    AnyWords,
    ClipWords,
    HubWords,
    Vocabulary,
    taught_words,
)
from workers.images.crops import square_image
from workers.images.resize import Interpolation, resize_squares
from workers.models.precision import convert_module, resolve_precision
from workers.protocols import CROPS_AT_ONCE, UInt8Crops

# Of open_clip's CLIP and CustomTextCLIP.
_TEXT_PARTS = (
    "transformer", "token_embedding", "positional_embedding", "ln_final", "text_projection", "text"
)  # fmt: skip

# A CPU is no faster with more, which take another 100 MB for what the layers hand on.
_ON_A_CPU = 16
_CONTEXT_LENGTH = 77  # tokens, of a tokenizer that names none: that of the first CLIP

Tokenizer = Callable[[list[str]], Tensor]
"""Texts to int64 (n, context_length)."""


class ClipEmbedder:
    """An open_clip model as an `Embedder`.

    `architecture` is any JSON value that tells the model's shape; it goes into the fingerprint
    together with the weights, the preprocessing and what `options` say of the crops. A crop that
    is not square is put into a square of `options.cutout_fill`, so that nothing is cut away.
    Images are embedded in `options.precision`; texts, which are few, in float32.
    """

    def __init__(
        self,
        model: open_clip.CLIP | open_clip.CustomTextCLIP,
        tokenizer: Tokenizer,
        architecture: object,
        dim: int,
        options: EmbedderOptions,
    ) -> None:
        preprocess: dict[str, Any] = model.visual.preprocess_cfg
        preprocess = {key: preprocess[key] for key in ("size", "mean", "std", "interpolation")}
        self.name = options.name
        self.dim = dim
        self.fingerprint = fingerprint(
            {
                "architecture": architecture,
                "weights_sha256": weights_sha256(model),
                "preprocess": preprocess,
                **options.crop_recipe,
            }
        )
        self._fill = options.cutout_fill
        self._device = torch.device(options.device)
        at_once = _ON_A_CPU if self._device.type == "cpu" else CROPS_AT_ONCE
        self._batch_size = options.batch_size or at_once
        self._model = model.eval().requires_grad_(False).to(self._device)
        self._dtype = resolve_precision(options.precision, options.device)
        # In this format a CPU convolves without turning each layer's input.
        convert_module(self._model.visual, self._dtype).to(memory_format=torch.channels_last)
        self._tokenizer = tokenizer
        self._words: Vocabulary | None = None
        size = preprocess["size"]
        self._size_hw: tuple[int, int] = (size, size) if isinstance(size, int) else tuple(size)
        # As open_clip does when it is not training.
        smooth = preprocess["interpolation"] != "bilinear"
        self._interpolation: Interpolation = "bicubic" if smooth else "bilinear"
        mean, std = (
            torch.tensor(preprocess[key], device=self._device).expand(3)[:, None, None] * 255
            for key in ("mean", "std")
        )
        self._mean, self._std = mean, std

    def embed_images(self, crops: UInt8Crops) -> Float32Matrix:
        """float32 (len(crops), dim), unit rows. Raises ModelError if a vector is not finite."""
        return self._embed(crops, self._encode_images, "image")

    def embed_texts(self, texts: Sequence[str]) -> Float32Matrix:
        """float32 (len(texts), dim), unit rows. Raises UsageError for an empty text, ModelError."""
        if not all(text.strip() for text in texts):
            raise UsageError("expected a text that says what to look for, got an empty one")
        return self._embed(texts, self._encode_texts, "text")

    def knows_text(self, text: str) -> bool:
        """Whether the model has learnt what `text` says."""
        if self._words is None:
            self._words = self._read_vocabulary()
        return self._words.knows(text)

    def _read_vocabulary(self) -> Vocabulary:
        if isinstance(self._tokenizer, HFTokenizer):
            return HubWords(self._tokenizer.tokenizer)
        embedding = getattr(getattr(self._model, "text", self._model), "token_embedding", None)
        if not isinstance(self._tokenizer, SimpleTokenizer) or embedding is None:
            return AnyWords()
        length = self._tokenizer.context_length or _CONTEXT_LENGTH
        weights = embedding.weight.detach().float().cpu().numpy()
        return ClipWords(ClipTokenizer(length), weights, taught_words(self.name))

    def forget_texts(self) -> None:
        """Free the text tower: from then on only images can be embedded."""
        for name in _TEXT_PARTS:
            if hasattr(self._model, name):
                delattr(self._model, name)

    def _encode_images(self, crops: UInt8Crops) -> Tensor:
        # Square by now: no model's own way to crop or pad changes anything.
        squares = [square_image(crop, self._fill) for crop in crops]
        batch = resize_squares(squares, self._size_hw, self._interpolation, self._device)
        batch.sub_(self._mean).div_(self._std)
        batch = batch.to(dtype=self._dtype, memory_format=torch.channels_last)
        features: Tensor = self._model.encode_image(batch)
        return features

    def _encode_texts(self, texts: Sequence[str]) -> Tensor:
        features: Tensor = self._model.encode_text(self._tokenizer(list(texts)).to(self._device))
        return features

    def _embed(
        self, inputs: Sequence[Any], encode: Callable[[Sequence[Any]], Tensor], what: str
    ) -> Float32Matrix:
        vectors = np.zeros((len(inputs), self.dim), np.float32)
        with torch.inference_mode():
            for start in range(0, len(inputs), self._batch_size):
                batch = inputs[start : start + self._batch_size]
                rows = functional.normalize(encode(batch).float(), dim=-1)
                vectors[start : start + len(batch)] = rows.cpu().numpy()
        bad = np.count_nonzero(~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1))
        if bad:
            raise ModelError(
                f"expected finite vectors other than zero, got {bad} of {len(vectors)} {what} "
                f"vectors that are not (embedder {self.name})"
            )
        return vectors


def weights_sha256(model: nn.Module) -> str:
    """Hash over names, types, shapes and bytes of all weights, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # A view as bytes needs a dimension.
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _not_from_open_clip(record: logging.LogRecord) -> bool:
    return "open_clip" not in record.pathname


@contextmanager
def silence_loading() -> Iterator[None]:
    """While open_clip makes a model: neither its log lines nor warnings reach the console.

    It logs through the root logger, on which its first line would also set up a handler.
    """
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    root.addFilter(_not_from_open_clip)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(_not_from_open_clip)
        root.removeHandler(handler)
