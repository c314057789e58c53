"""Trains `segformer_demo` on crops of cached scenes: the group of every pixel.

    python -m pipeline.training.train_segformer scenes --checkpoint segformer.pt --steps 4000

From random weights, by cross entropy and dice. Resumes from the checkpoint if it exists.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import SegformerForSemanticSegmentation

from pipeline.training.loop import Ema, MuonAdamW, Training, make_parser, resume, run_steps
from pipeline.training.segformer_shape import MEAN, STD, make_config

CROP_HW = (256, 320)
_SCALES = (0.6, 1.1)  # of the scene's pixels
_EMA_DECAY = 0.997
_REPORT_EVERY = 25
_MAX_GRADIENT = 1.0


class Crops:
    """Random windows of cached scenes, at random scales, each flipped half of the time."""

    def __init__(self, cache: Path, seed: int) -> None:
        self._images = np.load(cache / "images.npy", mmap_mode="r")
        self._instances = np.load(cache / "instances.npy", mmap_mode="r")
        self._groups = np.load(cache / "groups.npy")
        self._rng = np.random.default_rng(seed)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Pixels float32 (count, 3, height, width), normalised, and groups int64 (count, ...)."""
        drawn = [self._draw_one() for _ in range(count)]
        pixels = torch.from_numpy(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2)
        mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, STD))
        groups = torch.from_numpy(np.stack([groups for _, groups in drawn])).long()
        return (pixels.float() / 255 - mean) / std, groups

    def _draw_one(self) -> tuple[np.ndarray, np.ndarray]:
        row = self._rng.integers(len(self._images))
        low, high = (math.log(scale) for scale in _SCALES)
        scale = math.exp(self._rng.uniform(low, high))
        height, width = (round(side / scale) for side in CROP_HW)
        scene_h, scene_w = self._instances.shape[1:]
        top = self._rng.integers(scene_h - height + 1)
        left = self._rng.integers(scene_w - width + 1)
        inside = slice(top, top + height), slice(left, left + width)
        groups = self._groups[row][self._instances[row][inside]]
        size = CROP_HW[::-1]
        image = Image.fromarray(self._images[row][inside]).resize(size, Image.Resampling.BILINEAR)
        small = Image.fromarray(groups).resize(size, Image.Resampling.NEAREST)
        step = 1 if self._rng.random() < 0.5 else -1
        return np.asarray(image)[:, ::step], np.asarray(small)[:, ::step]


def compute_loss(logits: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy and dice of every other pixel each way, and the share of those that are right.

    logits float (n, classes, h, w), groups int64 (n, height, width), larger than the logits.
    """
    groups = groups[:, ::2, ::2]
    large = functional.interpolate(logits.float(), groups.shape[1:], mode="bilinear")
    entropy = functional.cross_entropy(large, groups)
    shares = large.softmax(1)
    true = functional.one_hot(groups, large.shape[1]).permute(0, 3, 1, 2).float()
    both = (shares * true).sum((0, 2, 3))
    sizes = shares.sum((0, 2, 3)) + true.sum((0, 2, 3))
    dice = 1 - (2 * both + 1) / (sizes + 1)
    return entropy + dice.mean(), (large.argmax(1) == groups).float().mean()


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__, steps=4000, peak=1e-3)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--images", type=int, default=8)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = SegformerForSemanticSegmentation(make_config())
    optimizer = MuonAdamW(
        model, (model.segformer, model.decode_head.linear_fuse), args.peak, 0.01, args.bf16
    )
    ema = Ema(model, _EMA_DECAY)
    first = resume(args.checkpoint, model, optimizer, ema)
    crops = Crops(args.scenes, seed=first)
    model.train()

    def compute() -> tuple[Tensor, dict[str, Tensor]]:
        pixels, groups = crops.draw(args.images)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            logits = model(pixel_values=pixels).logits
        loss, right = compute_loss(logits, groups)
        return loss, {"loss": loss, "pixels right": right}

    training = Training(model, optimizer, ema, args.checkpoint, args.peak, _MAX_GRADIENT)
    run_steps(training, range(first, args.steps), _REPORT_EVERY, compute)


if __name__ == "__main__":
    main()
