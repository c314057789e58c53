"""Draws the frames of a shot: sprites that move before a background, and their exact masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from pipeline.demo.movers import Mover, Wave, draw_movers
from pipeline.demo.scenes import (
    MIN_VISIBLE_PX,
    SCENE_HW,
    cast_shadow,
    make_background,
    paste_patch,
)
from pipeline.demo.sprites import Sprite
from schemas.images import UInt8Image
from schemas.masks import BoolMask, CocoRle

_BORDER_HW = (50, 70)  # of the background around a frame, into which the camera may go


@dataclass(frozen=True, slots=True)
class SeenObject:
    """A true object in a frame: its visible pixels, and how large a share of it they are."""

    object_id: int
    rle: CocoRle
    visible_fraction: float


@dataclass(frozen=True, slots=True)
class Camera:
    """What the camera does: the background pans, everything shakes; light, softness and noise."""

    pan_px_s: tuple[float, float]
    shake: tuple[Wave, Wave]
    gain: float
    blur_px: float
    noise: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Camera:
        """A camera by chance: some pan, some shake, some are soft or noisy."""
        pans, shakes = rng.random() < 0.4, rng.random() < 0.4
        hand = [
            Wave(rng.uniform(1, 4), rng.uniform(0.8, 3), rng.uniform(0, 6.3)) if shakes else Wave()
            for _ in range(2)
        ]
        return cls(
            (rng.uniform(-6, 6), rng.uniform(-4, 4)) if pans else (0.0, 0.0),
            (hand[0], hand[1]),
            gain=rng.uniform(0.8, 1.1),
            blur_px=rng.uniform(0.3, 1.0) if rng.random() < 0.3 else 0.0,
            noise=rng.uniform(1, 5) if rng.random() < 0.6 else 0.0,
        )


@dataclass(frozen=True, slots=True, eq=False)
class DrawnShot:
    """A shot of a clip. Object `first_id` + k is `movers[k]`, of which the last is foremost.

    `background` float32, larger than the frame by `_BORDER_HW` on every side.
    """

    movers: Sequence[Mover]
    background: np.ndarray
    camera: Camera
    has_shadows: bool
    start_s: float
    first_id: int
    seed: int

    def draw_frame(self, time_s: float) -> tuple[np.ndarray, list[SeenObject]]:
        """float32 (height, width, 3) before exposure, and what is to be seen in it."""
        shift = tuple(round(wave.at(time_s)) for wave in self.camera.shake)
        canvas = self._cut_background(time_s, (shift[0], shift[1]))
        masks: list[BoolMask] = []
        whole_px = []
        for mover in self.movers:
            patch = mover.draw(time_s)
            centre = mover.path.find_centre(time_s)
            x, y = (
                round(place - size / 2) + moved
                for place, size, moved in zip(centre, patch.shape[1::-1], shift, strict=True)
            )
            if self.has_shadows:
                # Of one seed, or shadows would tremble.
                cast_shadow(np.random.default_rng(self.seed), canvas, patch[..., 3], x, y)
            paste_patch(canvas, patch[..., :3], patch[..., 3], x, y)
            inside = patch[..., 3] > 0.5
            mask = _place(inside, (x, y), SCENE_HW)
            for other in masks:
                other &= ~mask
            masks.append(mask)
            whole_px.append(int(inside.sum()))
        seen = [
            SeenObject(self.first_id + k, CocoRle.from_mask(mask), float(mask.sum() / whole))
            for k, (mask, whole) in enumerate(zip(masks, whole_px, strict=True))
            if mask.sum() >= MIN_VISIBLE_PX
        ]
        return canvas, seen

    def expose(self, canvas: np.ndarray, time_s: float, gain: float = 1.0) -> UInt8Image:
        """The picture that the camera takes: uint8 (height, width, 3)."""
        canvas = canvas * (self.camera.gain * gain)
        if self.camera.blur_px:
            picture = Image.fromarray(canvas.clip(0, 255).astype(np.uint8))
            blurred = picture.filter(ImageFilter.GaussianBlur(self.camera.blur_px))
            canvas = np.asarray(blurred).astype(np.float32)
        if self.camera.noise:
            rng = np.random.default_rng([self.seed, round(time_s * 1000)])
            noise = rng.standard_normal(canvas.shape, dtype=np.float32)
            canvas = canvas + noise * np.float32(self.camera.noise)
        exposed: UInt8Image = canvas.clip(0, 255).astype(np.uint8)
        return exposed

    def _cut_background(self, time_s: float, shift_xy: tuple[int, int]) -> np.ndarray:
        corner = []
        for border, speed, moved in zip(
            _BORDER_HW[::-1], self.camera.pan_px_s, shift_xy, strict=True
        ):
            place = border + round(speed * (time_s - self.start_s)) - moved
            corner.append(min(max(place, 0), 2 * border))
        x, y = corner
        return self.background[y : y + SCENE_HW[0], x : x + SCENE_HW[1]].copy()


def draw_shot(
    rng: np.random.Generator,
    sprites: Sequence[Sprite],
    span_s: tuple[float, float],
    first_id: int = 0,
    drawings: int | None = None,
) -> DrawnShot:
    """A shot by chance, of six to eight objects; of them only `drawings` differ, None: all do."""
    count = int(rng.integers(6, 9))
    chosen = rng.choice(len(sprites), count, replace=False)
    if drawings is not None:
        chosen = np.resize(chosen[:drawings], count)
    movers = draw_movers(rng, [sprites[k] for k in chosen.tolist()], SCENE_HW, span_s)
    size = (SCENE_HW[0] + 2 * _BORDER_HW[0], SCENE_HW[1] + 2 * _BORDER_HW[1])
    background = make_background(rng, size)
    return DrawnShot(
        movers,
        background,
        Camera.draw(rng),
        has_shadows=bool(rng.random() < 0.5),
        start_s=span_s[0],
        first_id=first_id,
        seed=int(rng.integers(1 << 30)),
    )


def _place(inside: BoolMask, corner_xy: tuple[int, int], size_hw: tuple[int, int]) -> BoolMask:
    """A patch's mask as one of the frame, clipped: bool (height, width)."""
    x, y = corner_xy
    mask = np.zeros(size_hw, np.bool_)
    top, left = max(-y, 0), max(-x, 0)
    part = inside[top : max(size_hw[0] - y, 0), left : max(size_hw[1] - x, 0)]
    if part.size:
        y, x = y + top, x + left
        mask[y : y + part.shape[0], x : x + part.shape[1]] = part
    return mask
