"""Composes small windows full of sprites, each time anew, with what every pixel shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import open_clip
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.demo.groups import find_groups
from pipeline.demo.sprites import STYLES
from pipeline.training.crops import (
    CROP_PX,
    CUTOUT_FILL,
    blend_over,
    blur_some,
    light_crops,
    make_backgrounds,
    place_sprites,
    restyle,
    sample_bends,
    sample_uniform,
)
from pipeline.training.rasterize_icons import PLAIN
from pipeline.training.scene_cache import Art
from pipeline.training.segformer_shape import MEAN, STD
from pipeline.training.train_clip import fit_sprites, normalize
from workers.models import catalog
from workers.models.clip_demo_architecture import ARCHITECTURE, create_clip_demo
from workers.models.weights import read_weights

_OBJECTS = 3  # a window
_SIDES = (0.3, 1.0)  # of a sprite, over the window's
_REACH = 0.75  # of a sprite's middle from the window's, in half windows
_RESTYLED_SHARE, _BENT_SHARE = 0.5, 0.5
_OTHER_STYLE_WEIGHT = 0.6  # how often a style is drawn that no bucket has, against the others
_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class GroupBatch:
    """What a step learns from.

    pixels float32 (n, 3, h, w), normalised. instances int64 (n, h, w): the number of what a pixel
    shows, 0 for none. concepts int64 (n, m): row of the concept of each instance number, -1 for
    none, as of number 0. vectors float32 (n, m, 256): what clip_demo says of each one's drawing, if
    that is known.
    """

    pixels: Tensor
    instances: Tensor
    concepts: Tensor
    vectors: Tensor | None


def normalize_pixels(images: Tensor) -> Tensor:
    """As `segformer_demo` sees them: float32 (n, 3, h, w), of 0 to 1."""
    mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, STD))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def list_groups(art: Art) -> Tensor:
    """The group of every concept that scenes are made of, from 1: int64 (concepts,)."""
    labels = [concept.label for concept in art.concepts[: art.chosen]]
    return 1 + torch.tensor(find_groups(labels))


@dataclass(frozen=True, slots=True, eq=False)
class Teaching:
    """What `clip_demo` says: of drawings, float32 (concepts, styles, 256), and of concepts,
    (concepts, 256): the mean of their drawings' and their labels'. All of length 1.

    They are centred: what all vectors have in common is learnt first, and teaches nothing.
    """

    drawings: Tensor
    concepts: Tensor


@torch.inference_mode()
def ask_clip_demo(art: Art, sprites: Tensor, seen: np.ndarray) -> Teaching:
    """Its vectors of the drawings that are `seen`, bool (concepts, styles), alone and whole."""
    model = create_clip_demo().eval()
    model.load_state_dict(read_weights(catalog.bundled_file(catalog.find(ARCHITECTURE).file_name)))
    tokenizer = open_clip.SimpleTokenizer(context_length=16)
    labels = tokenizer([concept.label for concept in art.concepts[: len(seen)]])
    texts = torch.cat([model.encode_text(part) for part in torch.split(labels, _AT_ONCE)])
    drawings = torch.zeros(*seen.shape, texts.shape[1])
    fill = torch.tensor(CUTOUT_FILL)[None, :, None, None]
    for pairs in torch.split(torch.from_numpy(np.argwhere(seen)), _AT_ONCE):
        rows, columns = pairs.unbind(1)
        layers = sprites[rows, columns].float() / 255
        crops = normalize(blend_over(fill, layers))
        drawings[rows, columns] = functional.normalize(model.encode_image(crops), dim=-1)
    there = torch.from_numpy(seen)
    drawings[there] = centre(drawings[there])
    concepts = functional.normalize(drawings.sum(1), dim=-1) + centre(texts)
    return Teaching(drawings, functional.normalize(concepts, dim=-1))


def centre(vectors: Tensor) -> Tensor:
    """Directions of vectors, (n, width), seen from their middle, of length 1."""
    vectors = functional.normalize(vectors, dim=-1)
    return functional.normalize(vectors - vectors.mean(0), dim=-1)


class Windows:
    """Draws batches of windows, reproducibly from its seed."""

    def __init__(self, art: Art) -> None:
        coloured = [column for column, style in enumerate(art.styles) if style not in PLAIN]
        self._seen = art.seen[: art.chosen, coloured]
        self._sprites = fit_sprites(art.sprites[: art.chosen, coloured])
        self.teaching = ask_clip_demo(art, self._sprites, self._seen)
        own = np.array([art.styles[column] in STYLES for column in coloured])
        weights = np.where(own, 1.0, _OTHER_STYLE_WEIGHT) * self._seen
        self._shares = weights / weights.sum(axis=1, keepdims=True)
        self.reseed(0)

    def reseed(self, seed: int) -> None:
        """Restart both generators from `seed`."""
        self._rng = np.random.default_rng(seed)
        self._torch_rng = torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> GroupBatch:
        """The next `count` windows."""
        rows = torch.from_numpy(self._rng.integers(len(self._seen), size=count * _OBJECTS))
        passed = self._shares[rows].cumsum(axis=1) < self._rng.random((len(rows), 1))
        columns = torch.from_numpy(passed.sum(axis=1)).clamp(max=self._shares.shape[1] - 1)
        layers = self._place(self._sprites[rows, columns].float() / 255)
        layers = layers.view(count, _OBJECTS, 4, CROP_PX, CROP_PX)
        canvas = make_backgrounds(self._torch_rng, count)
        instances = torch.zeros(count, CROP_PX, CROP_PX, dtype=torch.int64)
        for number, layer in enumerate(layers.unbind(1), start=1):
            canvas = blend_over(canvas, layer)
            instances[layer[:, 3] > 0.5] = number
        images = light_crops(blur_some(canvas, self._torch_rng), self._torch_rng)
        concepts = functional.pad(rows.view(count, _OBJECTS), (1, 0), value=-1)
        vectors = self.teaching.drawings[rows, columns].view(count, _OBJECTS, -1)
        vectors = functional.pad(vectors, (0, 0, 1, 0))
        return GroupBatch(normalize_pixels(images), instances, concepts, vectors)

    def _place(self, sprites: Tensor) -> Tensor:
        count, draw = len(sprites), self._torch_rng
        low, high = (math.log(side) for side in _SIDES)
        side = sample_uniform(draw, count, low, high).exp()
        flip = torch.where(torch.rand(count, generator=draw) < 0.5, -1.0, 1.0)
        angle = torch.randn(count, generator=draw) * 0.31
        shift = (
            sample_uniform(draw, count, -_REACH, _REACH),
            sample_uniform(draw, count, -_REACH, _REACH),
        )
        bends = torch.zeros(count, CROP_PX, CROP_PX, 2)
        bent = torch.rand(count, generator=draw) < _BENT_SHARE
        bends[bent] = sample_bends(draw, int(bent.sum())) * side[bent, None, None, None]
        aspect = torch.exp(sample_uniform(draw, count, -0.2, 0.2))
        placed = place_sprites(sprites, flip * side, angle, shift, aspect, bends)
        restyled = torch.rand(count, generator=draw) < _RESTYLED_SHARE
        placed[restyled] = restyle(placed[restyled], draw)
        return placed
