"""A prompter that sees colours, and pictures for it: what it finds can be told by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from schemas.images import UInt8Image
from schemas.options import SegmenterOptions
from workers.segmenters.decoder.contour import Levels
from workers.segmenters.grid_segmenter import GridSegmenter

SHA = "0" * 64
_CELLS = 16


@dataclass(frozen=True)
class ColourGuesses:
    image: UInt8Image
    points_xy: np.ndarray

    @property
    def mask_tokens(self) -> np.ndarray | None:
        return None

    @property
    def colours(self) -> np.ndarray:
        at = self.points_xy.astype(int)
        return self.image[at[:, 1], at[:, 0]].astype(int)

    @property
    def predicted_iou(self) -> np.ndarray:
        return (self.colours[:, :1] / 255).astype(np.float32).repeat(3, axis=1)

    def logits(self, chosen: np.ndarray, levels: Levels | None = None) -> Tensor:
        colours = self.colours.repeat(3, axis=0)[chosen.ravel()][:, None, None]
        same = (self.image == colours).all(axis=3) & (colours.sum(axis=3) > 0)
        height, width = self.image.shape[:2]
        side = Colours.low_side
        frame = np.zeros((len(same), side, side), bool)
        rows, columns = (np.arange(side) * n // side for n in (height, width))
        frame[:] = same[:, rows][:, :, columns]
        return torch.where(torch.from_numpy(frame), 10.0, -10.0)


@dataclass(frozen=True)
class ColourView:
    """`room`: for so many points at once."""

    image: UInt8Image
    room: float = math.inf

    def guess(self, points_xy: np.ndarray) -> ColourGuesses:
        if len(points_xy) > self.room:
            raise torch.OutOfMemoryError("no room")
        return ColourGuesses(self.image, points_xy)


class Colours:
    """A mask is what has the colour of its point.

    The predicted IoU is the red channel / 255; black is nothing.
    """

    device = torch.device("cpu")
    frame_side = low_side = 64
    stretches = False
    mask_threshold = 0.0

    def encode(self, images: Sequence[UInt8Image]) -> list[ColourView]:
        return [ColourView(image) for image in images]


@dataclass(frozen=True)
class AskedView:
    image: UInt8Image
    guesses: type[ColourGuesses]
    asked: list[tuple[float, float]]

    @property
    def embedding(self) -> Tensor:
        """The image's red, float32 (16 * 16, 1); where the frame goes on, that of its edge."""
        at = np.arange(_CELLS) * 4 + 2
        rows, columns = (np.minimum(at, side - 1) for side in self.image.shape[:2])
        red = self.image[rows][:, columns, :1]
        return torch.from_numpy(red.reshape(-1, 1).astype(np.float32))

    def guess(self, points_xy: np.ndarray) -> ColourGuesses:
        self.asked.extend(map(tuple, points_xy.tolist()))
        return self.guesses(self.image, points_xy)


@dataclass
class Asked(Colours):
    """Keeps the points that it was asked for, of all crops, in pixels of each."""

    guesses: type[ColourGuesses] = ColourGuesses
    points: list[tuple[float, float]] = field(default_factory=list)

    def encode(self, images: Sequence[UInt8Image]) -> list[AskedView]:
        return [AskedView(image, self.guesses, self.points) for image in images]


class Cramped(Colours):
    """Has room for so many images or points at once. `tried`: how many images it was given."""

    def __init__(self, room: int, room_for_points: float = math.inf) -> None:
        self.room, self.room_for_points = room, room_for_points
        self.tried: list[int] = []

    def encode(self, images: Sequence[UInt8Image]) -> list[ColourView]:
        self.tried.append(len(images))
        if len(images) > self.room:
            raise torch.OutOfMemoryError("no room")
        return [ColourView(image, self.room_for_points) for image in images]


def colour_segmenter(**options: object) -> GridSegmenter:
    recipe = {"points_per_side": 16, "device": "cpu", **options}
    chosen = SegmenterOptions.model_validate(recipe)
    return GridSegmenter(Colours(), weights_sha256=SHA, options=chosen, defaults={})


def painted(*rectangles: tuple[int, int, int, int, int]) -> UInt8Image:
    """64 x 64, black, with rectangles x0, y0, x1, y1 of a red value."""
    image = np.zeros((64, 64, 3), np.uint8)
    for number, (x0, y0, x1, y1, red) in enumerate(rectangles):
        image[y0:y1, x0:x1] = (red, 10, number + 1)
    return image
