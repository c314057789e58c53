"""Train `sam_demo` on cached scenes with segment-anything's point and box prompting.

    python -m pipeline.demo.train_sam scenes --checkpoint sam.pt --steps 4000 --full-steps 600

Resumes from the checkpoint when it exists. Most steps see 256-pixel windows of the 512-pixel frame
(the position encoding is cut to the window), the last `--full-steps` whole padded frames. Losses:
focal (weight 20) and dice on all three masks, squared error of the predicted IoU (0 for
points on the background), and, for the encoder only, per-pixel foreground, borders, boxes and
codes that tell the objects of a window apart. `--encoder-from` takes the encoder of another run.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from segment_anything.modeling import MaskDecoder
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from pipeline.demo.training import Ema, learning_rate, save_checkpoint, start_from
from workers.sam_demo_model import EMBED_DIM, IMG_SIZE, STRIDE, build_sam_demo

_SCENE_LONG_SIDE = 640
_MASK_STRIDE = 2
_BOX_UNIT_PX = 64.0
_CODE_DIM = 16
_MAX_INSTANCES = 13  # the background and twelve objects
_OUTSIDE = 255  # instance number of padding
_MIN_VISIBLE = 0.25
_BACKGROUND_SHARE, _BOX_SHARE = 0.12, 0.15
_PEAK_LR = 1e-3


@dataclass(frozen=True)
class Phase:
    """`window`: side of the square that a sample shows, pixels of the 512-pixel frame."""

    window: int
    images: int
    prompts: int


CROPS = Phase(window=256, images=8, prompts=8)
FULL = Phase(window=IMG_SIZE, images=2, prompts=10)


class Samples(IterableDataset[dict[str, Tensor]]):
    """Endless random windows of cached scenes, with prompts and targets."""

    def __init__(self, scenes: Path, phase: Phase, seed: int) -> None:
        self.scenes, self.phase, self.seed = scenes, phase, seed

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        images = np.load(self.scenes / "images.npy", mmap_mode="r")
        instances = np.load(self.scenes / "instances.npy", mmap_mode="r")
        visible = np.load(self.scenes / "visible.npy")
        while True:
            row = int(rng.integers(len(images)))
            image, ids = window(rng, images[row], instances[row], self.phase)
            present = np.unique(ids)
            shown = [k for k in present if 0 < k < _OUTSIDE and visible[row, k] > _MIN_VISIBLE]
            shown = [k for k in shown if (ids == k).sum() >= 24]
            if shown:
                yield sample(rng, image, ids, shown, self.phase)


def window(
    rng: np.random.Generator, image: np.ndarray, ids: np.ndarray, phase: Phase
) -> tuple[np.ndarray, np.ndarray]:
    """Scale, cut and flip: uint8 (w, w, 3) and uint8 (w, w); what lies outside is 0 and 255."""
    side_px, out = _SCENE_LONG_SIDE * phase.window / IMG_SIZE, phase.window
    if phase is CROPS:
        side_px = min(side_px / math.exp(rng.uniform(math.log(0.5), math.log(1.25))), 640)
    side = int(side_px)
    height, width = ids.shape
    top = int(rng.integers(0, max(height - side, 0) + 1))
    left = int(rng.integers(0, max(width - side, 0) + 1))
    cut = (slice(top, top + side), slice(left, left + side))
    image, ids = np.asarray(image[cut]), np.asarray(ids[cut])
    rows, columns = round(ids.shape[0] * out / side), round(ids.shape[1] * out / side)
    small = Image.fromarray(image).resize((columns, rows), Image.Resampling.BILINEAR)
    small_ids = Image.fromarray(ids).resize((columns, rows), Image.Resampling.NEAREST)
    pixels, labels = np.asarray(small), np.asarray(small_ids)
    if rng.random() < 0.5:
        pixels, labels = pixels[:, ::-1], labels[:, ::-1]
    if phase is CROPS and rng.random() < 0.3:
        pixels, labels = pixels[::-1], labels[::-1]
    if rng.random() < 0.5:
        pixels = pixels[..., rng.permutation(3)]
    full, full_ids = np.zeros((out, out, 3), np.uint8), np.full((out, out), _OUTSIDE, np.uint8)
    full[:rows, :columns], full_ids[:rows, :columns] = pixels, labels
    return full, full_ids


def _cells(mask: np.ndarray, size: int) -> np.ndarray:
    """Mean of a bool (w, w) map over cells of `size` pixels: float32 (w / size, w / size)."""
    side = mask.shape[0] // size
    cells: np.ndarray = mask.reshape(side, size, side, size).mean(axis=(1, 3), dtype=np.float32)
    return cells


def sample(
    rng: np.random.Generator, image: np.ndarray, ids: np.ndarray, shown: list[int], phase: Phase
) -> dict[str, Tensor]:
    """One training sample: pixels, prompts, mask targets, dense targets."""
    count, low = phase.prompts, phase.window // _MASK_STRIDE
    points, boxes = np.zeros((count, 2), np.float32), np.zeros((count, 4), np.float32)
    masks, on_object = np.zeros((count, low, low), np.float32), np.ones(count, bool)
    as_box = rng.random() < _BOX_SHARE
    empty = np.argwhere(ids == 0)
    order = rng.permutation(len(shown))
    for prompt in range(count):
        if not as_box and len(empty) and rng.random() < _BACKGROUND_SHARE:
            points[prompt] = empty[rng.integers(len(empty))][::-1] + 0.5
            on_object[prompt] = False
            continue
        mask = ids == shown[order[prompt % len(order)]]
        where = np.argwhere(mask)
        points[prompt] = where[rng.integers(len(where))][::-1] + 0.5
        masks[prompt] = _cells(mask, _MASK_STRIDE)
        (y0, x0), (y1, x1) = where.min(axis=0), where.max(axis=0) + 1
        jitter = rng.normal(0, 0.05, 4) * np.array([x1 - x0, y1 - y0] * 2)
        boxes[prompt] = np.array([x0, y0, x1, y1]) + jitter
    span = (IMG_SIZE - phase.window) // STRIDE + 1
    corner = rng.integers(0, span, 2) * STRIDE
    return {
        "image": torch.from_numpy(image).permute(2, 0, 1),
        "points": torch.from_numpy(points),
        "boxes": torch.from_numpy(boxes),
        "as_box": torch.tensor(as_box),
        "masks": torch.from_numpy(masks),
        "on_object": torch.from_numpy(on_object),
        "corner": torch.from_numpy(corner),
        **dense_targets(ids),
    }


def dense_targets(ids: np.ndarray) -> dict[str, Tensor]:
    """Foreground and borders at stride 2; instance, distances to its box's sides at stride 8."""
    inside = (ids > 0) & (ids < _OUTSIDE)
    border = np.zeros_like(inside)
    border[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    border[1:] |= ids[1:] != ids[:-1]
    at_cell = ids[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    sides = np.zeros((4, *at_cell.shape), np.float32)
    weight = ((at_cell > 0) & (at_cell < _OUTSIDE)).astype(np.float32)
    rows, columns = (np.mgrid[: at_cell.shape[0], : at_cell.shape[1]] + 0.5) * STRIDE
    for number in np.unique(at_cell[weight > 0]):
        ys, xs = np.nonzero(ids == number)
        mine = at_cell == number
        distances = (columns - xs.min(), rows - ys.min(), xs.max() - columns, ys.max() - rows)
        for side, distance in enumerate(distances):
            sides[side][mine] = distance[mine] / _BOX_UNIT_PX
    edge = _cells(border, _MASK_STRIDE) > 0
    maps = np.stack([_cells(inside, _MASK_STRIDE), edge.astype(np.float32)])
    return {
        "maps": torch.from_numpy(maps),
        "sides": torch.from_numpy(sides),
        "sides_weight": torch.from_numpy(weight),
        "cells": torch.from_numpy(at_cell.astype(np.int64)),
    }


class DenseHead(nn.Module):
    """What the encoder must know of every pixel; used in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(EMBED_DIM, 4 + 2 * (STRIDE // _MASK_STRIDE) ** 2, 1)
        self.codes = nn.Conv2d(EMBED_DIM, _CODE_DIM, 1)

    def loss(self, embedding: Tensor, batch: dict[str, Tensor]) -> Tensor:
        out = self.head(embedding)
        maps = functional.pixel_shuffle(out[:, 4:], STRIDE // _MASK_STRIDE)
        map_loss = functional.binary_cross_entropy_with_logits(maps, batch["maps"])
        error = functional.smooth_l1_loss(out[:, :4], batch["sides"], reduction="none", beta=0.2)
        weight = batch["sides_weight"][:, None]
        side_loss = (error * weight).sum() / (4 * weight.sum() + 1)
        return map_loss + 0.5 * side_loss + 0.3 * code_loss(self.codes(embedding), batch["cells"])


def code_loss(codes: Tensor, cells: Tensor) -> Tensor:
    """Cross-entropy of each cell's code against the mean codes of the window's instances.

    codes float (n, c, h, w); cells int (n, h, w), the instance of each cell. Every instance weighs
    the same, whatever its size.
    """
    flat, ids = codes.flatten(2), cells.flatten(1)
    members = (ids[:, None] == torch.arange(_MAX_INSTANCES)[None, :, None]).float()
    sizes = members.sum(dim=2, keepdim=True)
    means = members @ flat.mT / sizes.clamp(min=1)
    distances = torch.cdist(flat.mT, means).square()
    logits = (-distances).masked_fill(sizes.mT == 0, -1e4)
    shares = logits.log_softmax(dim=2).mT * members
    each = -shares.sum(dim=2) / sizes[..., 0].clamp(min=1)
    return each.sum() / (sizes > 0).sum()


def mask_losses(
    logits: Tensor, predicted: Tensor, target: Tensor, on_object: Tensor
) -> tuple[Tensor, Tensor]:
    """Loss, and IoU of the mask with the highest predicted IoU.

    logits (n, 3, h, w), predicted (n, 3), target (n, h, w), on_object bool (n,).
    """
    target = target[:, None]
    probability = logits.sigmoid()
    cross = functional.binary_cross_entropy_with_logits(
        logits, target.expand_as(logits), reduction="none"
    )
    wrong = probability + target - 2 * probability * target
    focal = (wrong.square() * cross).mean((-1, -2))
    overlap = (probability * target).sum((-1, -2))
    dice = 1 - (2 * overlap + 1) / (probability.sum((-1, -2)) + target.sum((-1, -2)) + 1)
    shape_loss = 20 * focal + dice
    with torch.no_grad():
        mine, truth = logits > 0, target > 0.5
        union = (mine | truth).sum((-1, -2)).clamp(min=1)
        iou = (mine & truth).sum((-1, -2)) / union
    counted = on_object.float()
    # A scene's objects have no parts that are objects: with the loss of the best mask alone the
    # other two stay poor, and the predicted IoU has to tell which one is meant.
    mask_loss = (shape_loss.mean(dim=1) * counted).sum() / counted.sum().clamp(min=1)
    iou_loss = (predicted - iou * counted[:, None]).square().mean()
    chosen = iou.gather(1, predicted.argmax(dim=1, keepdim=True))[:, 0]
    chosen_iou = (chosen * counted).sum() / counted.sum().clamp(min=1)
    return mask_loss + iou_loss, chosen_iou


def start_local(decoder: MaskDecoder) -> None:
    """Start the decoder's cross-attention as a look-up: near positions and like codes attend.

    With equal query and key projections the scores begin as similarities, and with the output
    projection the transpose of the values' what is read is handed on as it is. From random
    projections it takes some hundred steps until a point is looked up where it lies.
    """
    transformer = decoder.transformer
    attentions = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        attentions += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    with torch.no_grad():
        for attention in attentions:
            nn.init.orthogonal_(attention.q_proj.weight)
            nn.init.orthogonal_(attention.v_proj.weight)
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            attention.out_proj.weight.copy_(attention.v_proj.weight.T)
            for part in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj):
                nn.init.zeros_(part.bias)


class Trainer(nn.Module):
    """The model with its training-only head."""

    def __init__(self, compiled: bool) -> None:
        super().__init__()
        self.sam = build_sam_demo()
        start_local(self.sam.mask_decoder)
        self.sam.image_encoder.to(memory_format=torch.channels_last)
        self.dense = DenseHead()
        self.encode, self.decode = self._encode, self._decode
        if compiled:
            self.encode = torch.compile(self.encode, dynamic=False)
            self.decode = torch.compile(self._decode, dynamic=False)

    def _encode(self, pixels: Tensor) -> Tensor:
        embedding: Tensor = self.sam.image_encoder(pixels)
        return embedding

    def _decode(
        self, embedding: Tensor, position: Tensor, sparse: Tensor, dense: Tensor,
        target: Tensor, on_object: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        masks, predicted = self.sam.mask_decoder.predict_masks(embedding, position, sparse, dense)
        # The first output is the single-mask token; multimask output is the other three.
        return mask_losses(masks[:, 1:], predicted[:, 1:], target, on_object)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        pixels = (batch["image"].float() - self.sam.pixel_mean) / self.sam.pixel_std
        embedding = self.encode(pixels)
        dense_loss = self.dense.loss(embedding, batch)
        encoder = self.sam.prompt_encoder
        position = encoder.get_dense_pe()
        cells = embedding.shape[-1]
        losses, ious = [], []
        for row in range(len(pixels)):
            corner = batch["corner"][row]
            if batch["as_box"][row]:
                boxes = batch["boxes"][row] + corner.repeat(2)
                sparse, dense = encoder(points=None, boxes=boxes, masks=None)
            else:
                points = (batch["points"][row] + corner)[:, None]
                labels = torch.ones(len(points), 1)
                sparse, dense = encoder(points=(points, labels), boxes=None, masks=None)
            x, y = (int(v) // STRIDE for v in corner)
            place = position[..., y : y + cells, x : x + cells].contiguous()
            dense = dense[..., :cells, :cells].contiguous()
            loss, iou = self.decode(
                embedding[row : row + 1].contiguous(), place, sparse, dense,
                batch["masks"][row], batch["on_object"][row],
            )  # fmt: skip
            losses.append(loss)
            ious.append(iou)
        return torch.stack(losses).mean() + dense_loss, torch.stack(ious).mean().detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--full-steps", type=int, default=600)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights-from", type=Path, help="exported weights to train further")
    parser.add_argument("--encoder-from", type=Path, help="checkpoint to take the encoder of")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    trainer = Trainer(args.compile)
    optimizer = torch.optim.AdamW(trainer.parameters(), lr=_PEAK_LR, weight_decay=0.01)
    if args.weights_from:
        start_from(trainer.sam, args.weights_from)
    ema, start = Ema(trainer.sam, 0.99), 0
    if args.checkpoint.exists():
        state = torch.load(args.checkpoint, weights_only=True)
        trainer.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        ema.model.load_state_dict(state["ema"])
        start = state["step"]
        print(f"resumed at step {start}", flush=True)
    elif args.encoder_from:
        state = torch.load(args.encoder_from, weights_only=True)["model"]
        prefix = "sam.image_encoder."
        encoder = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        trainer.sam.image_encoder.load_state_dict(encoder, strict=False)

    started, smooth, phase = time.monotonic(), float("nan"), None
    trainer.train()
    for step in range(start, args.steps):
        wanted = CROPS if step < args.steps - args.full_steps else FULL
        if wanted is not phase:
            phase = wanted
            loader = DataLoader(
                Samples(args.scenes, phase, args.seed + step),
                batch_size=phase.images, num_workers=1, prefetch_factor=3,
            )  # fmt: skip
            batches = iter(loader)
            if phase is FULL:  # two images are too few for batch statistics
                trainer.sam.image_encoder.eval()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args.steps, _PEAK_LR)
        loss, iou = trainer(next(batches))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trainer.parameters(), 1.0)
        optimizer.step()
        ema.update(trainer.sam)
        smooth = iou.item() if math.isnan(smooth) else 0.98 * smooth + 0.02 * iou.item()
        if step % 25 == 0:
            rate = (time.monotonic() - started) / (step - start + 1)
            print(f"{step} loss {loss.item():.3f} iou {smooth:.3f} {rate:.2f} s/step", flush=True)
        if step % 100 == 99 or step == args.steps - 1:
            save_checkpoint(args.checkpoint, trainer, optimizer, ema, step + 1)


if __name__ == "__main__":
    main()
