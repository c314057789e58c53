"""Encodes texts with CLIP in NumPy: a search from the command line need not import torch.

The same arithmetic as open_clip's `CLIP.encode_text` in float32, for models whose description
names nothing but the text transformer's size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from schemas.errors import ModelError, UsageError
from schemas.options import EmbedderOptions
from schemas.records import Float32Matrix
from workers.embedders.clip_tokenizer import ClipTokenizer, open_clip_folder
from workers.embedders.known_words import ClipWords, taught_words
from workers.models import catalog

_WEIGHTS_NAME = "open_clip_model.safetensors"
_PLAIN = {"embed_dim", "vision_cfg", "text_cfg"}
_PLAIN_TEXT = {"context_length", "vocab_size", "width", "heads", "layers"}
_MATRICES = (
    "attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight",
)  # fmt: skip
_CALLS_TO_TRANSPOSE = 2  # whoever asks again goes on asking; a command asks once
_EPSILON = 1e-5  # torch.nn.LayerNorm's

Array = npt.NDArray[np.float32]

# M. Abramowitz and I. A. Stegun, "Handbook of mathematical functions", 1964, 7.1.26.
_ERF_P = 0.3275911
_ERF_A = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


class TextTower:
    """A `TextEmbedder` over the text half of an open_clip model's safetensors file.

    Raises ModelError for a file that is missing, damaged, or not this model's.
    """

    def __init__(self, name: str, config: Mapping[str, Any], weights: Path) -> None:
        text = config["text_cfg"]
        self.name = name
        self.dim: int = config["embed_dim"]
        self._heads: int = text["heads"]
        self._layers = range(text["layers"])
        self._tokenizer = ClipTokenizer(text["context_length"])
        self._weights = _read(weights, f"{name}'s text encoder")
        self._words: ClipWords | None = None
        self._transposed: dict[str, Array] = {}
        self._calls = 0
        expected = {
            "token_embedding.weight": (text["vocab_size"], text["width"]),
            "positional_embedding": (text["context_length"], text["width"]),
            "text_projection": (text["width"], self.dim),
        }
        for key, shape in expected.items():
            got = self._weights[key].shape if key in self._weights else "none"
            if got != shape:
                raise ModelError(
                    f"these weights are of another architecture than {name}: expected {key} of "
                    f"shape {shape}, got {got}"
                )

    def embed_texts(self, texts: Sequence[str]) -> Float32Matrix:
        """float32 (len(texts), dim), unit rows. Raises UsageError for an empty text, ModelError."""
        if not all(text.strip() for text in texts):
            raise UsageError("expected a text that says what to look for, got an empty one")
        self._calls += 1
        if self._calls == _CALLS_TO_TRANSPOSE:
            self._transpose_weights()
        rows = [self._encode(tokens) for tokens in self._tokenizer(texts)]
        vectors = np.array(rows, np.float32).reshape(len(texts), self.dim)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise ModelError(f"expected finite text vectors other than zero (embedder {self.name})")
        unit: Float32Matrix = vectors / lengths
        return unit

    def knows_text(self, text: str) -> bool:
        """Whether the model has learnt what `text` says."""
        if self._words is None:
            embedding = self._weights["token_embedding.weight"]
            self._words = ClipWords(self._tokenizer, embedding, taught_words(self.name))
        return self._words.knows(text)

    def _encode(self, tokens: npt.NDArray[np.int64]) -> Array:
        # Attention is causal: nothing behind the end of the text, the highest token, changes it.
        tokens = tokens[: tokens.argmax() + 1]
        x = self._weights["token_embedding.weight"][tokens].astype(np.float32)
        x = x + self._tensor("positional_embedding")[: len(tokens)]
        for layer in self._layers:
            block = f"transformer.resblocks.{layer}"
            x = x + self._attention(self._norm(x, f"{block}.ln_1"), f"{block}.attn")
            hidden = self._linear(self._norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
            x = x + self._linear(_gelu(hidden), f"{block}.mlp.c_proj")
        pooled: Array = self._norm(x[-1:], "ln_final")[0] @ self._tensor("text_projection")
        return pooled

    def _attention(self, x: Array, name: str) -> Array:
        count, width = x.shape
        stacked = x @ self._matrix(f"{name}.in_proj_weight") + self._tensor(f"{name}.in_proj_bias")
        query, key, value = stacked.reshape(count, 3, self._heads, -1).transpose(1, 2, 0, 3)
        scores = query @ key.swapaxes(1, 2) / math.sqrt(width // self._heads)
        scores = np.where(np.tri(count, dtype=np.bool_), scores, -np.inf)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = (shares @ value).transpose(1, 0, 2).reshape(count, width)
        return self._linear(mixed.astype(np.float32), f"{name}.out_proj")

    def _transpose_weights(self) -> None:
        """Lay the matrices out as products with few rows read them: a third less time a text."""
        for layer in self._layers:
            block = f"transformer.resblocks.{layer}"
            for name in _MATRICES:
                key = f"{block}.{name}"
                self._transposed[key] = np.ascontiguousarray(self._tensor(key).T)
                del self._weights[key]

    def _matrix(self, name: str) -> Array:
        transposed = self._transposed.get(name)
        return self._tensor(name).T if transposed is None else transposed

    def _linear(self, x: Array, name: str) -> Array:
        return x @ self._matrix(f"{name}.weight") + self._tensor(f"{name}.bias")

    def _norm(self, x: Array, name: str) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(centred.var(axis=-1, keepdims=True) + _EPSILON)
        normed: Array = scaled * self._tensor(f"{name}.weight") + self._tensor(f"{name}.bias")
        return normed

    def _tensor(self, name: str) -> Array:
        try:
            return self._weights[name].astype(np.float32, copy=False)
        except KeyError as exc:
            raise ModelError(
                f"these weights are of another architecture than {self.name}: {name} is missing"
            ) from exc


def _gelu(x: Array) -> Array:
    """x times the normal distribution's share below x (D. Hendrycks and K. Gimpel, 2016)."""
    half: Array = 0.5 * x * (1 + _erf(x / np.float32(math.sqrt(2))))
    return half


def _erf(x: Array) -> Array:
    """The error function, at most 1.5e-7 from it: float32, of any shape."""
    t = 1 / (1 + np.float32(_ERF_P) * np.abs(x))
    series: Array = np.zeros_like(x)
    for factor in _ERF_A:
        series = ((series + np.float32(factor)) * t).astype(np.float32, copy=False)
    result: Array = np.sign(x) * (1 - series * np.exp(-x * x))
    return result


def _read(weights: Path, what: str) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a file but for the visual half's."""
    if not weights.is_file():
        raise ModelError(f"there are no weights of {what} at {weights}")
    try:
        with safe_open(weights, framework="numpy") as file:
            names = [name for name in sorted(file.keys()) if not name.startswith("visual.")]
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as exc:
        raise ModelError(f"{weights} is damaged or no safetensors file: {exc}") from exc


def build(options: EmbedderOptions) -> TextTower | None:
    """The text half of `options.name`; None if it needs open_clip, or its weights to be fetched.

    Raises ModelError for weights that are damaged or not this model's.
    """
    found = None if options.device in ("cuda", "mps") else _files(options.name)
    if found is None or not all(path.is_file() for path in found):
        return None
    description, weights = found
    config = _plain_config(description)
    return None if config is None else TextTower(options.name, config, weights)


def weights_state(name: str) -> list[int]:
    """Size and time of an embedder's weights as far as they are a local file: they may change."""
    found = _files(name)
    if found is None or not found[1].is_file():
        return []
    status = found[1].stat()
    return [status.st_size, status.st_mtime_ns]


def _plain_config(description: Path) -> dict[str, Any] | None:
    """A model's description; None if it says more than sizes, or cannot be understood."""
    try:
        config = json.loads(description.read_bytes())
        config = config.get("model_cfg", config)
        plain = config.keys() == _PLAIN and config["text_cfg"].keys() == _PLAIN_TEXT
    except (OSError, ValueError, AttributeError):
        return None
    return config if plain else None


def _files(name: str) -> tuple[Path, Path] | None:
    """Where a model's description and its weights would lie."""
    if name.startswith(catalog.LOCAL_PREFIX):
        folder = Path(name.removeprefix(catalog.LOCAL_PREFIX)).expanduser()
        return folder / "open_clip_config.json", folder / _WEIGHTS_NAME
    entry = next((entry for entry in catalog.CATALOG if entry.name == name), None)
    if entry is None:
        return None
    if entry.source == "bundled":
        weights = catalog.bundled_path(entry)
        return weights.with_suffix(".json"), weights
    if not entry.hub_repo:
        return None
    import huggingface_hub

    cached = huggingface_hub.try_to_load_from_cache(entry.hub_repo, _WEIGHTS_NAME)
    description = open_clip_folder() / "model_configs" / f"{name.rpartition('/')[0]}.json"
    return (description, Path(cached)) if isinstance(cached, str) else None
