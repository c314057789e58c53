"""Composes scenes from sprites, with exact ground truth. Deterministic for a seed.

A scene is a background from flat colour to cluttered texture under 1 to 12 sprites of widely
different sizes, rotated, flipped, shaded and occluding one another, with blur, noise and exposure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipeline.demo.sprites import Concept, Sprite

SCENE_HW = (480, 640)
MIN_SIDE_SHARE, MAX_SIDE_SHARE = 0.065, 0.47  # longer side of a sprite, of the image's longer side
MAX_OBJECTS = 12
MIN_VISIBLE_PX = 60
_PLACEMENTS = 12  # tries to find a place that hides no other object


@dataclass(frozen=True)
class SceneObject:
    """One sprite in a scene. `mask` is bool (height, width) of its visible pixels."""

    concept: Concept
    style: str
    mask: np.ndarray
    visible_fraction: float


@dataclass(frozen=True)
class Scene:
    """`image` is uint8 (height, width, 3) RGB; `objects` from the hindmost to the foremost."""

    image: np.ndarray
    objects: tuple[SceneObject, ...]


@dataclass
class _Placed:
    sprite: Sprite
    full_px: int
    mask: np.ndarray


def _smooth_noise(rng: np.random.Generator, cells: int, hw: tuple[int, int]) -> np.ndarray:
    """float32 (height, width, 3) in 0..255: random colours, interpolated between `cells`."""
    cell = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    image = Image.fromarray(cell).resize((hw[1], hw[0]), Image.Resampling.BICUBIC)
    return np.asarray(image).astype(np.float32)


def _add_clutter(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Draw faint strokes and patches, which are part of the background and no objects."""
    height, width = image.shape[:2]
    picture = Image.fromarray(image.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture, "RGBA")
    for _ in range(int(rng.integers(20, 120))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        length, angle = rng.uniform(10, 120), rng.uniform(0, 2 * math.pi)
        end = (x + length * math.cos(angle), y + length * math.sin(angle))
        colour = (*(int(v) for v in rng.integers(0, 256, 3)), int(rng.integers(10, 60)))
        draw.line([(x, y), end], fill=colour, width=int(rng.integers(1, 14)))
    return np.asarray(picture).astype(np.float32)


def make_background(rng: np.random.Generator, hw: tuple[int, int]) -> np.ndarray:
    """A flat, graded, blotched, striped, grained or cluttered image: float32 (height, width, 3)."""
    height, width = hw
    if rng.random() < 0.2:
        image: np.ndarray = np.empty((height, width, 3), np.float32)
        image[:] = rng.uniform(20, 250, 3)
    else:
        cells = int(rng.choice([2, 3, 4, 8, 16]))
        image = _smooth_noise(rng, cells, hw)
        calm = rng.uniform(0.1, 0.65)
        image = image * calm + rng.uniform(20, 240, 3).astype(np.float32) * (1 - calm)
    if rng.random() < 0.3:
        grain = _smooth_noise(rng, int(rng.choice([40, 80, 160])), hw)[..., :1]
        image = image + (grain - 128) * rng.uniform(0.05, 0.25)
    if rng.random() < 0.25:
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        frequency, angle = rng.uniform(0.02, 0.35), rng.uniform(0, math.pi)
        wave = np.sin((columns * math.cos(angle) + rows * math.sin(angle)) * frequency)
        image = image + wave[..., None] * rng.uniform(4, 22)
    if rng.random() < 0.3:
        image = _add_clutter(rng, image)
    return image


def draw_sprite(
    sprite: Sprite, side_px: float, *, is_flipped: bool, angle_deg: float, gain: float
) -> np.ndarray:
    """A sprite, its longer side scaled to `side_px`, then flipped, turned and lit.

    float32 (height, width, 4), RGB 0..255, alpha 0..1.
    """
    height, width = sprite.rgba.shape[:2]
    scale = side_px / max(height, width)
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    image = Image.fromarray(sprite.rgba).resize(size, Image.Resampling.BICUBIC)
    if is_flipped:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.rotate(angle_deg, Image.Resampling.BICUBIC, expand=True)
    patch = np.asarray(image).astype(np.float32)
    patch[..., :3] *= gain
    patch[..., 3] /= 255
    return patch


def _draw(rng: np.random.Generator, sprite: Sprite, hw: tuple[int, int]) -> np.ndarray:
    low, high = (math.log(share * max(hw)) for share in (MIN_SIDE_SHARE, MAX_SIDE_SHARE))
    side = math.exp(rng.uniform(low, high))
    is_flipped = bool(rng.random() < 0.5)
    angle = rng.normal(0, 18)
    gain = rng.uniform(0.85, 1.1)
    return draw_sprite(sprite, side, is_flipped=is_flipped, angle_deg=angle, gain=gain)


def paste_patch(canvas: np.ndarray, patch: np.ndarray, alpha: np.ndarray, x: int, y: int) -> None:
    """Blend `patch` (h, w, 3 or a colour) over `canvas` at (x, y), clipped, in place."""
    top, left = max(-y, 0), max(-x, 0)
    bottom = min(alpha.shape[0], canvas.shape[0] - y)
    right = min(alpha.shape[1], canvas.shape[1] - x)
    if bottom <= top or right <= left:
        return
    part = alpha[top:bottom, left:right, None]
    target = canvas[y + top : y + bottom, x + left : x + right]
    source = patch[top:bottom, left:right] if patch.ndim == 3 else patch
    target += (source - target) * part


def cast_shadow(
    rng: np.random.Generator, canvas: np.ndarray, alpha: np.ndarray, x: int, y: int
) -> None:
    """Paint a soft shadow below the sprite that is about to be pasted."""
    blur = max(1.0, 0.03 * max(alpha.shape))
    pad = int(3 * blur)
    hard = Image.fromarray((np.pad(alpha, pad) * 255).astype(np.uint8))
    soft = np.asarray(hard.filter(ImageFilter.GaussianBlur(blur))).astype(np.float32) / 255
    reach = 0.06 * max(alpha.shape)
    dx, dy = round(rng.uniform(-reach, reach)), round(rng.uniform(0, reach))
    strength = rng.uniform(0.15, 0.5)
    paste_patch(canvas, np.zeros(3, np.float32), soft * strength, x - pad + dx, y - pad + dy)


def _find_place(
    rng: np.random.Generator, mask: np.ndarray, placed: Sequence[_Placed], hw: tuple[int, int]
) -> tuple[int, int, np.ndarray] | None:
    """Find a corner (x, y) for a sprite, mostly inside and hiding little; None if there is none."""
    height, width = mask.shape
    for _ in range(_PLACEMENTS):
        x = int(rng.integers(-width // 6, max(hw[1] - 5 * width // 6, 1)))
        y = int(rng.integers(-height // 6, max(hw[0] - 5 * height // 6, 1)))
        top, left = max(-y, 0), max(-x, 0)
        part = mask[top : hw[0] - y, left : hw[1] - x]
        rows = slice(y + top, y + top + part.shape[0])
        columns = slice(x + left, x + left + part.shape[1])
        hidden = (
            np.count_nonzero(other.mask[rows, columns] & part) / max(other.full_px, 1)
            for other in placed
        )
        if all(share < 0.5 for share in hidden):
            full = np.zeros(hw, bool)
            full[rows, columns] = part
            return x, y, full
    return None


def _expose(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Apply exposure, blur and sensor noise; uint8 (height, width, 3)."""
    canvas = canvas * rng.uniform(0.75, 1.12)
    if rng.random() < 0.3:
        picture = Image.fromarray(canvas.clip(0, 255).astype(np.uint8))
        blurred = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.2))))
        canvas = np.asarray(blurred).astype(np.float32)
    if rng.random() < 0.6:
        noise = rng.standard_normal(canvas.shape, dtype=np.float32)
        canvas = canvas + noise * rng.uniform(1, 7)
    return canvas.clip(0, 255).astype(np.uint8)


def compose(
    rng: np.random.Generator, sprites: Sequence[Sprite], hw: tuple[int, int] = SCENE_HW
) -> Scene:
    """Compose a scene of size `hw` (height, width) with 1 to `MAX_OBJECTS` of `sprites`."""
    canvas = make_background(rng, hw)
    shadows = rng.random() < 0.5
    placed: list[_Placed] = []
    for _ in range(int(rng.integers(1, MAX_OBJECTS + 1))):
        sprite = sprites[int(rng.integers(len(sprites)))]
        patch = _draw(rng, sprite, hw)
        mask = patch[..., 3] > 0.5
        spot = _find_place(rng, mask, placed, hw)
        if spot is None:
            continue
        x, y, full = spot
        if shadows:
            cast_shadow(rng, canvas, patch[..., 3], x, y)
        paste_patch(canvas, patch[..., :3], patch[..., 3], x, y)
        for other in placed:
            other.mask &= ~full
        placed.append(_Placed(sprite, int(mask.sum()), full))
    objects = tuple(
        SceneObject(p.sprite.concept, p.sprite.style, p.mask, float(p.mask.sum() / p.full_px))
        for p in placed
        if p.mask.sum() >= MIN_VISIBLE_PX
    )
    return Scene(_expose(rng, canvas), objects)
