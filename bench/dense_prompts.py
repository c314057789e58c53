"""A SAM of ViT-B's shape at random, for which every point passes: what rule (b) alone leaves.

Of drawn scenes the objects are known. A point on one is answered with its core where that holds the
point, with the object, and with the object and its neighbour; one beside all with what lies between
them. So no point comes to nothing, as in photographs, and no scorer could help: only what others
have shown leaves prompts out. The decoder computes at full cost, and its outputs perturb these
masks (see `mask_bank`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from bench.device.sides import OurSide, make_sam
from bench.mask_bank import Blend, MaskBank
from pipeline.demo.scenes import compose
from pipeline.demo.sprites import bundled_sprites
from schemas.images import UInt8Image
from schemas.masks import BoolMask, CocoRle
from schemas.options import PromptsName
from schemas.overlaps import best_iou

_LOW_SIDE = 256
_EDGE_PX, _CORE_PX = 1.5, 7.0  # standard deviations of blurs, in low-resolution pixels
_STEEP = 40.0  # logits between the inside and the outside of an edge
_MATCHED_IOU, _FOUND_IOU = 0.9, 0.75


@dataclass(frozen=True, slots=True, eq=False)
class DrawnScene:
    """An image, and the visible masks of its objects, bool (n, height, width)."""

    image: UInt8Image
    masks: Sequence[BoolMask]


def draw_scene(size_hw: tuple[int, int], seed: int) -> DrawnScene:
    scene = compose(np.random.default_rng(seed), bundled_sprites(), size_hw)
    return DrawnScene(scene.image, [item.mask for item in scene.objects if item.mask.any()])


def draw_dense_bank(scene: DrawnScene, points_per_side: int, seed: int) -> MaskBank:
    """Answers at every point of a grid, in half precision, of which at least one passes."""
    rng = np.random.default_rng(seed)
    size_hw = scene.image.shape[:2]
    objects = torch.stack([_shrink(mask) for mask in scene.masks])
    between = 1 - objects.amax(dim=0)
    height, width = _used_hw(size_hw)
    between[height:], between[:, width:] = 0, 0
    wholes = _blur(torch.cat([objects, between[None]]), _EDGE_PX)
    cores = _blur((_blur(objects, _CORE_PX) > 0.7).float(), _EDGE_PX)
    pairs = _blur(
        torch.stack([_join_nearest(objects, row) for row in range(len(objects))]), _EDGE_PX
    )
    ticks = (np.arange(points_per_side) + 0.5) / points_per_side
    logits = torch.empty(points_per_side**2, 3, _LOW_SIDE, _LOW_SIDE, dtype=torch.float16)
    predicted = torch.full((len(logits), 3), 0.5)
    for row, (y, x) in enumerate((y, x) for y in ticks for x in ticks):
        at = int(y * height), int(x * width)
        inside = objects[:, at[0], at[1]]
        owner = int(inside.argmax()) if inside.any() else len(objects)
        core, pair = (cores[owner], pairs[owner]) if owner < len(objects) else (between,) * 2
        answers = torch.stack([core, wholes[owner], pair]) - 0.5
        jitter = torch.from_numpy(rng.normal(0, 0.4, (3, 1, 1)).astype(np.float32))
        logits[row] = (_STEEP * answers + jitter).clamp(-25, 18).half()
        predicted[row, 1] = 0.95 + 0.015 * rng.normal()
        if owner < len(objects):
            predicted[row, 2] = 0.91 + 0.015 * rng.normal()
            if core[at] > 0.5:
                predicted[row, 0] = 0.93 + 0.015 * rng.normal()
    return MaskBank(logits, predicted)


def _used_hw(size_hw: tuple[int, int]) -> tuple[int, int]:
    height, width = (round(side * _LOW_SIDE / max(size_hw)) for side in size_hw)
    return height, width


def _shrink(mask: BoolMask) -> Tensor:
    """At low resolution, float (256, 256): 1 inside."""
    size_hw = _used_hw((mask.shape[0], mask.shape[1]))
    small = interpolate(torch.from_numpy(mask)[None, None].float(), size_hw, mode="area")[0, 0]
    frame = torch.zeros(_LOW_SIDE, _LOW_SIDE)
    frame[: size_hw[0], : size_hw[1]] = (small >= 0.5).float()
    return frame


def _blur(masks: Tensor, deviation_px: float) -> Tensor:
    """Each of float (n, 256, 256) under a Gaussian."""
    reach = int(3 * deviation_px)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation_px) ** 2)
    weights /= weights.sum()
    rows = conv2d(masks[:, None], weights[None, None, :, None], padding=(reach, 0))
    return conv2d(rows, weights[None, None, None], padding=(0, reach))[:, 0]


def _join_nearest(objects: Tensor, row: int) -> Tensor:
    """An object and the one whose middle is nearest."""
    middles = torch.stack([mask.nonzero().float().mean(dim=0) for mask in objects]).nan_to_num(1e6)
    away = (middles - middles[row]).norm(dim=1)
    away[row] = torch.inf
    return torch.maximum(objects[row], objects[int(away.argmin())])


@torch.inference_mode()
def calibrate(side: OurSide, bank: MaskBank, image: UInt8Image) -> Blend:
    """By what our decoder, in float32, returns for some points of an image."""
    side.take(None)
    ticks = np.linspace(0.1, 0.9, 4)
    points = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2) * image.shape[1::-1]
    guesses = side.prompter.encode([image])[0].guess(points)
    logits = guesses.logits(np.ones((len(points), 3), np.bool_))
    return Blend.calibrated(bank, logits, torch.from_numpy(guesses.predicted_iou))


def measure_dense(
    console: Console, images: int, points_per_side: int, *, quick: bool = False
) -> dict[str, object]:
    """Print what rule (b) leaves of a grid on that many scenes; the figures by name."""
    side = OurSide(make_sam("vit_b", quick=quick), "cpu", "fp32")
    prompts: dict[PromptsName, int] = {"grid": 0, "adaptive": 0}
    seconds: dict[PromptsName, float] = {"grid": 0.0, "adaptive": 0.0}
    best_of_grid: list[float] = []
    best_of_true: dict[PromptsName, list[float]] = {"grid": [], "adaptive": []}
    for number in range(images):
        scene = draw_scene((480, 640), number)
        bank = draw_dense_bank(scene, points_per_side, number)
        blend = calibrate(side, bank, scene.image)
        true = [CocoRle.from_mask(mask) for mask in scene.masks]
        found: dict[PromptsName, list[CocoRle]] = {}
        for kind in prompts:
            side.take(blend)
            side.prompter.prompts, began = 0, time.process_time()
            found[kind] = side.find([scene.image], points_per_side, kind)[0]
            seconds[kind] += time.process_time() - began
            prompts[kind] += side.prompter.prompts
            best_of_true[kind] += best_iou(found[kind], true).tolist()
        best_of_grid += best_iou(found["adaptive"], found["grid"]).tolist()
    shares = {
        kind: round(float((np.array(best) >= _FOUND_IOU).mean()), 4)
        for kind, best in best_of_true.items()
    }
    matched = round(float((np.array(best_of_grid) >= _MATCHED_IOU).mean()), 4)
    left, whole = (prompts[kind] / images for kind in ("adaptive", "grid"))
    console.print(
        f"every point passes, ViT-B's shape, {images} scenes: {left:.0f} of {whole:.0f} prompts an "
        f"image left by rule (b) alone, {matched:.1%} of the grid's {len(best_of_grid)} masks "
        f"matched at an IoU of {_MATCHED_IOU}; true objects at {_FOUND_IOU}: {shares['grid']:.1%} "
        f"and {shares['adaptive']:.1%}"
    )
    per_image = {kind: round(value / images, 2) for kind, value in seconds.items()}
    return {
        "images": images, "points_per_side": points_per_side, "prompts": prompts,
        "grid_masks": len(best_of_grid), "matched": matched, "objects_found": shares,
        "cpu_seconds_an_image": per_image,
    }  # fmt: skip
