"""Trains the heads of `maskrcnn_demo` on frames whose embeddings are kept.

python -m pipeline.training.train_maskrcnn frames --checkpoint maskrcnn.pt --steps 2000
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import masks_to_boxes

from pipeline.demo.groups import GROUPS
from pipeline.training.kind_head import fit_kinds, look_at_boxes
from pipeline.training.loop import Ema, MuonAdamW, Training, make_parser, resume, run_steps
from workers.models import catalog
from workers.models.clip_demo_architecture import ARCHITECTURE
from workers.models.maskrcnn_demo_architecture import MEAN, STD, TRUNK, build_maskrcnn_demo
from workers.models.sam_demo_architecture import IMG_SIZE
from workers.models.weights import read_weights

_EMA_DECAY = 0.998
_REPORT_EVERY = 20
_MAX_GRADIENT = 5.0


class Frames:
    """Frames in random order: embeddings and targets."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._pixels = np.load(folder / "frames.npy", mmap_mode="r")
        self._ids = np.load(folder / "ids.npy", mmap_mode="r")
        self._embeddings = np.load(folder / "embeddings.npy", mmap_mode="r")
        self._groups = np.load(folder / "groups.npy")
        self._rows = np.flatnonzero((self._groups > 0).any(axis=1))
        self._rng = np.random.default_rng(seed)

    def draw(self, count: int) -> tuple[Tensor, Tensor, list[dict[str, Tensor]]]:
        """Embeddings float32 (count, 96, 56, 56), frames float32 (count, 3, 448, 448), normalised,
        and torchvision's targets: boxes, labels, masks."""
        rows = np.sort(self._rng.choice(self._rows, count, replace=False))
        embeddings = torch.from_numpy(self._embeddings[rows]).float()
        return embeddings, self._read(rows), [self._target(row) for row in rows.tolist()]

    def list_boxes(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Every frame, float32 (3, 448, 448), normalised, with its boxes and labels."""
        for row in self._rows.tolist():
            target = self._target(row)
            yield self._read(np.array([row]))[0], target["boxes"], target["labels"]

    def _read(self, rows: np.ndarray) -> Tensor:
        mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (MEAN, STD))
        pixels = torch.from_numpy(self._pixels[rows]).permute(0, 3, 1, 2) / 255
        return (pixels - mean) / std

    def _target(self, row: int) -> dict[str, Tensor]:
        groups = self._groups[row]
        numbers = np.flatnonzero(groups)
        masks = torch.from_numpy(self._ids[row][None] == numbers[:, None, None])
        boxes = masks_to_boxes(masks)
        boxes[:, 2:] += 1  # the last pixel is inside
        return {
            "boxes": boxes,
            "labels": torch.from_numpy(groups[numbers].astype(np.int64)),
            "masks": masks.to(torch.uint8),
        }


def compute_losses(
    model: GeneralizedRCNN, embeddings: Tensor, pixels: Tensor, targets: list[dict[str, Tensor]]
) -> dict[str, Tensor]:
    """torchvision's losses of a batch of `Frames`."""
    features = model.backbone.spread(embeddings, pixels)
    sizes = [(IMG_SIZE, IMG_SIZE)] * len(targets)
    images = ImageList(pixels, sizes)
    proposals, of_rpn = model.rpn(images, features, targets)
    _, of_heads = model.roi_heads(features, proposals, sizes, targets)
    return {**of_rpn, **of_heads}


def build_model() -> GeneralizedRCNN:
    """The model without its encoder, whose outputs are kept, and with `clip_demo`'s tower."""
    model = build_maskrcnn_demo(1 + len(GROUPS))
    model.backbone.encoder = nn.Identity()
    path = catalog.bundled_file(catalog.find(ARCHITECTURE).file_name)
    trunk = {
        name.removeprefix(TRUNK): value
        for name, value in read_weights(path).items()
        if name.startswith(TRUNK)
    }
    model.roi_heads.box_head.tower.load_state_dict(trunk)
    for part in (model.rpn.head, model.roi_heads.box_predictor):
        # bfloat16 would round boxes to 4 pixels.
        part.bbox_pred.register_forward_hook(lambda module, args, moves: moves.float())
    model.train()
    model.roi_heads.box_head.tower.eval().requires_grad_(False)
    return model


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__, steps=2000, peak=1e-3)
    parser.add_argument("frames", type=Path)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--fit-kinds", action="store_true", help="first tell groups by true boxes")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = build_model()
    heads = model.roi_heads
    by_muon = model.backbone, model.rpn.head.conv, heads.box_head.place, heads.mask_head
    optimizer = MuonAdamW(model, by_muon, args.peak, 0.02, args.bf16)
    ema = Ema(model, _EMA_DECAY)
    first = resume(args.checkpoint, model, optimizer, ema)
    frames = Frames(args.frames, seed=first)
    if args.fit_kinds:
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            boxes = look_at_boxes(model, frames.list_boxes())
        print(f"knows {fit_kinds(model, *boxes):.3f} of the boxes", flush=True)
        ema = Ema(model, _EMA_DECAY)

    def compute() -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            losses = compute_losses(model, *frames.draw(args.images))
        figures = {name.removeprefix("loss_"): loss for name, loss in losses.items()}
        return torch.stack(list(losses.values())).sum(), figures

    training = Training(model, optimizer, ema, args.checkpoint, args.peak, _MAX_GRADIENT)
    run_steps(training, range(first, args.steps), _REPORT_EVERY, compute)


if __name__ == "__main__":
    main()
