"""Trains a decoder for prompts, beside `sam_demo`'s own, by segment-anything's protocol.

    python -m pipeline.training.train_prompts scenes --checkpoint prompts.pt --steps 2000

The encoder is the bundled one and stays as it is. Rounds begin with a box or a click; each
further one adds a click where the last mask is most wrong, and feeds its logits back. Of single
clicks three masks are learnt, the best of them most, of all prompts one more: the mask of prompts
that leave no doubt. Resumes from the checkpoint if it exists. Losses are those of `train_sam`.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from pipeline.training.loop import (
    Ema,
    MuonAdamW,
    learning_rate,
    make_parser,
    resume,
    save_checkpoint,
)
from pipeline.training.prompt_decoder import decode, embed_mask, embed_points
from pipeline.training.prompt_samples import TOP_LEFT, PromptSamples, sample_correction
from pipeline.training.sam_losses import mask_losses
from pipeline.training.sam_samples import MASK_STRIDE
from workers.models import catalog
from workers.models.sam_demo_architecture import build_sam_demo
from workers.models.weights import fill, read_weights
from workers.segmenters.prompt_parts import MASK_CHANNELS
from workers.segmenters.sam_prompter import SamPrompter

_DROPPED_SHARE = 0.2  # of the masks that would be fed back: all clicks may be made at once
_BEST_OUTPUT = 2  # of the bundled decoder, whose first one is noise
_AMBIGUOUS, _SURE = slice(1, 4), slice(0, 1)  # outputs of the decoder


class PromptParts(nn.Module):
    """What is trained; it starts as the bundled `sam_demo`'s."""

    def __init__(self) -> None:
        super().__init__()
        sam = build_sam_demo(MASK_CHANNELS)
        bundled = read_weights(catalog.bundled_file(catalog.find("sam_demo").file_name))
        kept = {k: v for k, v in bundled.items() if ".mask_downscaling." not in k}
        sam.load_state_dict(kept, strict=False)
        self.prompt_encoder: PromptEncoder = sam.prompt_encoder
        self.mask_decoder: MaskDecoder = sam.mask_decoder
        with torch.no_grad():
            self._begin_mask_prompts()
            self._begin_sure_output()

    def _begin_mask_prompts(self) -> None:
        """Let a mask that is fed back say at first what no mask says."""
        last = self.prompt_encoder.mask_downscaling[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        last.weight.zero_()
        last.bias.copy_(self.prompt_encoder.no_mask_embed.weight[0])

    def _begin_sure_output(self) -> None:
        """Exchange the output that was never trained for the best single one of the others.

        The tokens attend to each other, so that one that was there twice would upset all.
        """
        decoder = self.mask_decoder
        networks, order = decoder.output_hypernetworks_mlps, torch.arange(decoder.num_mask_tokens)
        order[0], order[_BEST_OUTPUT] = _BEST_OUTPUT, 0
        states = [copy.deepcopy(networks[old].state_dict()) for old in order.tolist()]
        for network, state in zip(networks, states, strict=True):
            network.load_state_dict(state)
        head = decoder.iou_prediction_head.layers[-1]
        for weight in (decoder.mask_tokens.weight, head.weight, head.bias):
            weight.copy_(weight[order])
        head.weight[_BEST_OUTPUT], head.bias[_BEST_OUTPUT] = 0, 0


class Trainer:
    """Takes the rounds of a frame's prompts; gradients of each are added up."""

    def __init__(self, parts: PromptParts, rng: np.random.Generator, bf16: bool) -> None:
        self._parts, self._rng, self._bf16 = parts, rng, bf16
        sam = build_sam_demo()
        bundled = catalog.bundled_file(catalog.find("sam_demo").file_name)
        fill(sam, read_weights(bundled), "sam_demo")
        self._encode = SamPrompter(sam, "cpu").encoder
        self._mean, self._std = sam.pixel_mean, sam.pixel_std

    @torch.inference_mode()
    def embed(self, images: Tensor) -> Tensor:
        """The encoder's tokens of uint8 (n, 3, s, s): (n, h * w, c)."""
        with self._autocast():
            embedding = self._encode((images.float() - self._mean) / self._std)
        tokens: Tensor = embedding.float().flatten(2).mT.contiguous()
        return tokens

    def _autocast(self) -> torch.autocast | nullcontext[None]:
        return torch.autocast("cpu", torch.bfloat16) if self._bf16 else nullcontext()

    def learn(self, image: Tensor, sample: dict[str, Tensor], rounds: int, share: float) -> Tensor:
        """Add the gradients of a frame's prompts, times `share`. Returns IoU by rounds."""
        truth = sample["ids"] == sample["targets"][:, None, None]
        target = functional.avg_pool2d(truth.float(), MASK_STRIDE)
        coordinates, kinds = sample["coordinates"], sample["kinds"]
        fed_back: Tensor | None = None
        ious = []
        for number in range(rounds):
            encoder = self._parts.prompt_encoder
            sparse = embed_points(encoder, coordinates, kinds)
            dense = embed_mask(encoder, fed_back)
            outputs = slice(0, 4) if number == 0 else _SURE
            logits, sureness = decode(
                self._parts.mask_decoder, encoder, image, sparse, dense, outputs
            )
            loss, iou = self._loss(logits, sureness, target, kinds)
            torch.autograd.backward(loss * share / rounds)
            ious.append(iou)
            if number + 1 < rounds:
                shown = self._choose(logits.detach(), sureness.detach(), kinds)
                coordinates, kinds = self._correct(shown, target, coordinates, kinds)
                fed_back = None if self._rng.random() < _DROPPED_SHARE else shown[:, None]
        return torch.stack(ious)

    def _loss(
        self, logits: Tensor, sureness: Tensor, target: Tensor, kinds: Tensor
    ) -> tuple[Tensor, Tensor]:
        count = len(target)
        target, weights = target[:, None], torch.ones(count, 1)
        everything = torch.ones(count, dtype=torch.bool)
        loss, ious = mask_losses(
            logits[:, _SURE, None], sureness[:, _SURE], target, weights, everything
        )
        is_click = kinds[:, 0] != TOP_LEFT
        if logits.shape[1] > 1 and is_click.any():
            several, _ = mask_losses(
                logits[:, _AMBIGUOUS, None], sureness[:, _AMBIGUOUS], target, weights, is_click
            )
            loss = loss + several
        return loss, ious[0]

    def _choose(self, logits: Tensor, sureness: Tensor, kinds: Tensor) -> Tensor:
        """The logits of the mask that the user is shown: (n, h, w)."""
        if logits.shape[1] == 1 or self._rng.random() < 0.5:
            return logits[:, 0]
        surest = 1 + sureness[:, _AMBIGUOUS].argmax(dim=1)
        surest[kinds[:, 0] == TOP_LEFT] = 0
        return logits[torch.arange(len(logits)), surest]

    def _correct(
        self, shown: Tensor, target: Tensor, coordinates: Tensor, kinds: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The prompts with a click more each."""
        # Of an object so thin that it covers half of no pixel, all that it touches.
        least = (target.amax(dim=(1, 2), keepdim=True) / 2).clamp(max=0.5)
        masks, truths = (shown > 0).numpy(), (target > least).numpy()
        points, labels = [], []
        for mask, truth in zip(masks, truths, strict=True):
            point, kind = sample_correction(self._rng, mask, truth, MASK_STRIDE)
            points.append(point)
            labels.append(kind)
        more = torch.tensor(points, dtype=torch.float32)[:, None]
        return (
            torch.cat([more, coordinates], dim=1),
            torch.cat([torch.tensor(labels)[:, None], kinds], dim=1),
        )


def load_samples(args: argparse.Namespace, start: int) -> Iterator[dict[str, Tensor]]:
    """Endless batches; a run that goes on at another step has others."""
    samples = PromptSamples(args.scenes, args.prompts, (args.seed, start))
    return iter(DataLoader(samples, batch_size=args.images, num_workers=1, prefetch_factor=3))


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__, steps=2000, peak=5e-4)
    parser.add_argument("scenes", type=Path, nargs="+", help="folders of cached scenes")
    parser.add_argument("--images", type=int, default=3, help="images of a step")
    parser.add_argument("--prompts", type=int, default=5, help="prompts of an image")
    parser.add_argument("--rounds", type=int, default=3, help="the first prompt, then corrections")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    parts = PromptParts()
    optimizer = MuonAdamW(parts, (parts.mask_decoder,), args.peak, 0.01)
    ema = Ema(parts, 0.99)
    start = resume(args.checkpoint, parts, optimizer, ema)
    trainer = Trainer(parts, np.random.default_rng([args.seed, start]), args.bf16)
    samples = load_samples(args, start)
    began, smooth = time.monotonic(), None
    for step in range(start, args.steps):
        batch = next(samples)
        optimizer.zero_grad()
        ious = []
        for row, image in enumerate(trainer.embed(batch["image"])):
            sample = {key: value[row] for key, value in batch.items() if key != "image"}
            ious.append(trainer.learn(image.clone(), sample, args.rounds, 1 / args.images))
        nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
        optimizer.step(learning_rate(step, args.steps, args.peak))
        ema.update(parts)
        mean = torch.stack(ious).mean(dim=0)
        smooth = mean if smooth is None else smooth.lerp(mean, 0.03)
        if step % 10 == 0:
            rate = (time.monotonic() - began) / (step - start + 1)
            figures = " ".join(f"{iou:.3f}" for iou in smooth.tolist())
            print(f"{step} IoU by rounds {figures} {rate:.2f} s/step", flush=True)
        if step % 50 == 49 or step == args.steps - 1:
            save_checkpoint(args.checkpoint, parts, optimizer, ema, step + 1)


if __name__ == "__main__":
    main()
