"""A drawn disk on a background, masks of it with known errors, and a SAM that knows the disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.boxes import BoxXyxy
from schemas.images import UInt8Image
from schemas.masks import BoolMask, CocoRle, ObjectMask
from workers.segmenter_protocols import Float32Logits, PromptedMask, PromptedSam, PromptSession

SIZE_HW = (120, 160)
RADIUS = 40
ERRORS = ("eroded", "dilated", "shifted", "jagged", "holes", "islands")


def draw_true(scale: int = 1) -> BoolMask:
    """The disk, in an image `scale` times as large."""
    return _draw_disk(RADIUS * scale, scale)


def _draw_disk(radius: float, scale: int = 1) -> BoolMask:
    height, width = (side * scale for side in SIZE_HW)
    rows, columns = np.ogrid[:height, :width]
    away: BoolMask = (rows - height // 2) ** 2 + (columns - width // 2) ** 2 < radius**2
    return away


def paint(mask: BoolMask, noise: int = 12) -> UInt8Image:
    """What a mask shows in one colour, its surroundings in another, with noise."""
    height, width = mask.shape
    grain = np.random.default_rng(0).integers(-noise, noise + 1, (height, width, 3), np.int16)
    grain += np.where(mask[..., None], np.int16([200, 90, 60]), np.int16([70, 120, 150]))
    return grain.astype(np.uint8)


def draw_error(error: str, much: int) -> BoolMask:
    """The disk with an error of so many pixels; of holes and islands three times as many."""
    rows, columns = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    rows, columns = rows - SIZE_HW[0] // 2, columns - SIZE_HW[1] // 2
    away, angle = np.hypot(rows, columns), np.arctan2(rows, columns)
    rng = np.random.default_rng(0)
    if error == "shifted":
        return np.roll(draw_true(), much, axis=1)
    if error == "jagged":
        return away < RADIUS + much * np.sin(12 * angle)
    if error in ("holes", "islands"):
        mask = draw_true()
        near, far = (20, 36) if error == "holes" else (47, 55)
        for _ in range(3 * much):
            turn, distance = rng.uniform(0, 2 * math.pi), rng.uniform(near, far)
            y, x = distance * math.sin(turn), distance * math.cos(turn)
            mask[np.hypot(rows - y, columns - x) <= 3] = error == "islands"
        return mask
    return _draw_disk(RADIUS + {"eroded": -much, "dilated": much}[error])


@dataclass(eq=False)
class KnowingSam:
    """A SAM that answers every prompt with the same mask, and remembers what it was asked."""

    answer: CocoRle
    prompts: list[dict[str, object]] = field(default_factory=list)
    opened: int = 0

    def find(self) -> PromptedSam:
        """See `FindSam`."""
        return PromptedSam(self, {"segmenter": "knowing"})

    def open_image(self, image: UInt8Image) -> PromptSession:
        self.opened += 1
        return self

    def predict(
        self,
        points_xy: Sequence[tuple[float, float]] = (),
        labels: Sequence[int] = (),
        box_xyxy: BoxXyxy | None = None,
        mask_input: Float32Logits | None = None,
    ) -> PromptedMask:
        self.prompts.append({"points_xy": points_xy, "labels": labels, "box_xyxy": box_xyxy})
        logits = np.zeros((1, 1), np.float32) if mask_input is None else mask_input
        return PromptedMask(ObjectMask.measure(self.answer), logits)

    def frame_mask(self, mask: BoolMask) -> Float32Logits:
        return mask.astype(np.float32)


@dataclass(eq=False)
class KnowingBoxMasker:
    """The same, of one that takes boxes alone."""

    answer: CocoRle
    boxes: list[list[BoxXyxy]] = field(default_factory=list)

    def find(self) -> PromptedSam:
        """See `FindSam`."""
        return PromptedSam(self, {"segmenter": "boxes"})

    def mask_boxes(self, image: UInt8Image, boxes: Sequence[BoxXyxy]) -> list[ObjectMask | None]:
        self.boxes.append(list(boxes))
        return [ObjectMask.measure(self.answer) for _ in boxes]
