"""Trains `sam_demo` on cached scenes with segment-anything's point and box prompting.

    python -m pipeline.training.train_sam scenes --checkpoint sam.pt --steps 4000
    torchrun --nproc-per-node 2 -m pipeline.training.train_sam scenes \\
        --checkpoint sam.pt --threads 1

Resumes from the checkpoint if it exists. Under `torchrun` every process computes a batch of its
own, and all learn from the mean of their gradients. Losses: focal (weight 20) and dice, mostly of
the best of the three masks, squared error of the predicted IoU (0 for points on the background),
and, for the encoder only, per-pixel foreground, borders, boxes and codes that tell the objects of a
scene apart.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import cast

import torch
from segment_anything.modeling import MaskDecoder
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader

from pipeline.training.loop import (
    BF16_HELP,
    Ema,
    MuonAdamW,
    learning_rate,
    resume,
    save_checkpoint,
    start_from,
)
from pipeline.training.sam_losses import DenseHead, mask_losses, masks_at
from pipeline.training.sam_samples import Samples
from workers.models.sam_demo_architecture import build_sam_demo


def initialize_lookup(decoder: MaskDecoder) -> None:
    """Initialize the decoder's cross-attention as a look-up by position and code.

    With equal query and key projections the scores begin as similarities, and with an output
    projection that is the transpose of the values', values pass unchanged. Random projections take
    some hundred steps until a point attends to where it lies.
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

    def __init__(self, compiled: bool, bf16: bool = False) -> None:
        super().__init__()
        self.bf16 = bf16
        self.sam = build_sam_demo()
        initialize_lookup(self.sam.mask_decoder)
        self.sam.image_encoder.to(memory_format=torch.channels_last)
        self.dense = DenseHead()
        self.encode, self.decode = self._encode, self._decode
        if compiled:
            self.encode = torch.compile(self.encode, dynamic=False)
            self.decode = torch.compile(self._decode, dynamic=False)

    def _encode(self, pixels: Tensor) -> Tensor:
        with self._autocast():
            embedding: Tensor = self.sam.image_encoder(pixels)
        return embedding.float()

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bf16)

    def _decode(
        self, image: Tensor, position: Tensor, sparse: Tensor, cells: Tensor,
        target: Tensor, weights: Tensor, on_object: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        decoder = self.sam.mask_decoder
        with self._autocast():
            logits, predicted = masks_at(decoder, image, position, sparse, cells)
        return mask_losses(logits.float(), predicted.float(), target, weights, on_object)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        pixels = (batch["image"].float() - self.sam.pixel_mean) / self.sam.pixel_std
        embedding = self.encode(pixels)
        dense_loss = self.dense.loss(embedding, batch)
        encoder = self.sam.prompt_encoder
        position = encoder.get_dense_pe().flatten(2)[0].T.contiguous()
        images = (embedding.flatten(2).mT + encoder.no_mask_embed.weight).contiguous()
        losses, ious = [], []
        for row in range(len(batch["as_box"])):
            if batch["as_box"][row]:
                sparse, _ = encoder(points=None, boxes=batch["boxes"][row], masks=None)
            else:
                points = batch["points"][row][:, None]
                labels = torch.ones(len(points), 1)
                sparse, _ = encoder(points=(points, labels), boxes=None, masks=None)
            loss, iou = self.decode(
                images[row], position, sparse, batch["scored_cells"][row],
                batch["masks"][row], batch["weights"][row], batch["on_object"][row],
            )  # fmt: skip
            losses.append(loss)
            ious.append(iou)
        return torch.stack(losses).mean() + dense_loss, torch.stack(ious).mean(dim=0)


def join_batches(prompts: dict[str, Tensor], dense: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """Append more images to a batch, which count by their dense targets alone."""
    if dense is None:
        return prompts
    return prompts | {key: torch.cat([prompts[key], more]) for key, more in dense.items()}


def average_gradients(model: nn.Module) -> None:
    """Replace each process' gradients by the mean over all processes."""
    for parameter in model.parameters():
        if parameter.grad is None:  # as when one of the processes had no box as a prompt
            parameter.grad = torch.zeros_like(parameter)
    gradients = [cast(Tensor, parameter.grad) for parameter in model.parameters()]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    means = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))


def load_batches(
    args: argparse.Namespace, images: int, prompts: int, seed: tuple[int, ...]
) -> Iterator[dict[str, Tensor]]:
    """Endless batches of `images` images with `prompts` prompts each."""
    samples = Samples(args.scenes, prompts, (*seed, prompts))
    return iter(DataLoader(samples, batch_size=images, num_workers=1, prefetch_factor=3))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("scenes", type=Path, nargs="+", help="folders of cached scenes")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--images", type=int, default=8, help="images of a step with prompts")
    parser.add_argument("--dense", type=int, default=0, help="more images, for the encoder alone")
    parser.add_argument("--prompts", type=int, default=6, help="prompts of an image")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--peak", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights-from", type=Path, help="exported weights to train further")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--bf16", action="store_true", help=BF16_HELP)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    is_distributed = distributed.is_torchelastic_launched()
    if is_distributed:
        distributed.init_process_group("gloo")
    rank = distributed.get_rank() if is_distributed else 0
    trainer = Trainer(args.compile, args.bf16)
    by_muon = trainer.sam.image_encoder, trainer.sam.mask_decoder
    optimizer = MuonAdamW(trainer, by_muon, args.peak, 0.01, args.bf16)
    if args.weights_from:
        start_from(trainer.sam, args.weights_from)
    ema = Ema(trainer.sam, 0.99)
    start = resume(args.checkpoint, trainer, optimizer, ema)

    seed = args.seed, start, rank
    batches = load_batches(args, args.images, args.prompts, seed)
    more = load_batches(args, args.dense, 0, seed) if args.dense else repeat(None)
    started, smooth = time.monotonic(), None
    trainer.train()
    for step in range(start, args.steps):
        loss, ious = trainer(join_batches(next(batches), next(more)))
        optimizer.zero_grad()
        loss.backward()
        if is_distributed:
            average_gradients(trainer)
        nn.utils.clip_grad_norm_(trainer.parameters(), 1.0)
        optimizer.step(learning_rate(step, args.steps, args.peak))
        ema.update(trainer.sam)
        smooth = ious if smooth is None else smooth.lerp(ious, 0.02)
        if rank:
            continue
        if step % 25 == 0:
            rate = (time.monotonic() - started) / (step - start + 1)
            chosen, best = smooth.tolist()
            figures = f"loss {loss.item():.3f} IoU chosen {chosen:.3f} best {best:.3f}"
            print(f"{step} {figures} {rate:.2f} s/step", flush=True)
        if step % 100 == 99 or step == args.steps - 1:
            save_checkpoint(args.checkpoint, trainer, optimizer, ema, step + 1)


if __name__ == "__main__":
    main()
