"""Segment everything with SAM 2.1 against a plain loop over `Sam2Model`: masks first, then speed.

    python -m bench.sam2 --rounds 3

Both run in this process with the same weights, grid, thresholds and threads, in turns. No released
weights are at hand: the model has the shape of SAM 2.1 tiny with random ones, of whose masks the
surer half passes and none suppresses another. The loop is what people write with transformers: its
model, 64 points at once, masks enlarged, RLEs by segment-anything's own code; and tuned, with as
many points at once as were fastest here. Its frames are resized as ours are: random weights make
other masks of what transformers' processor makes of an image, which is a level off in some pixels.
No speed is told unless 99% of the masks have their match both ways at an IoU of 0.99, also with
other weights.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from segment_anything.utils.amg import build_point_grid, coco_encode_rle, mask_to_rle_pytorch
from torch import Tensor
from torch.nn.functional import interpolate
from transformers.models.sam2.configuration_sam2 import Sam2Config
from transformers.models.sam2.modeling_sam2 import Sam2Model

from bench.clock import Clock, TimedPrompter
from bench.parity import OURS_OFF, Parity, parity
from bench.segment import drawn_image
from schemas.images import UInt8Image
from schemas.masks import CocoRle
from schemas.options import SegmenterOptions
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.parameters import POINTS_ON_A_CPU
from workers.segmenters.sam2_prompter import MEAN, STD, Sam2Prompter

_SIDE_PX = 1024
_USUAL_BATCH = 64
_BATCHES = (1, 2, 4, 8)
_MIN_MATCHED = 0.99
_TRIAL_POINTS = 3  # a side
_SIZES = (480, 640), (600, 450)
_PARTS: dict[str, Callable[[Clock], float]] = {
    "after the encoder": lambda clock: clock.after_encoder,
    "with the encoder": lambda clock: clock.spent["all"],
    "with the encoder, wall time": lambda clock: clock.spent["all_wall"],
}


def draw_model(seed: int) -> Any:
    """A `Sam2Model` of SAM 2.1 tiny's shape, whose random weights tell prompts apart."""
    torch.manual_seed(seed)
    model: Any = Sam2Model(Sam2Config())
    for name, weights in model.named_parameters():
        if name.startswith("vision_encoder") or "norm" in name:
            continue
        fan_in = weights[0].numel() if weights.ndim > 1 else 100
        weights.data.normal_(0, fan_in**-0.5)
    return model.eval().requires_grad_(False)


def draw_frame(image: UInt8Image) -> Tensor:
    """float32 (1, 3, side, side): stretched to a square, to whole levels, and normalised."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    square = interpolate(pixels, (_SIDE_PX, _SIDE_PX), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, STD))
    return (square.round().clamp(0, 255) / 255 - mean) / std


@dataclass(frozen=True)
class Loop:
    """The plain loop: every mask of a grid of points whose predicted IoU is above a bound."""

    model: Any
    clock: Clock

    @torch.inference_mode()
    def find(self, image: UInt8Image, side: int, least_iou: float, batch: int) -> list[CocoRle]:
        with self.clock.of("all"):
            rles = []
            for masks, iou in self.answers(image, side, batch):
                kept = masks[iou > least_iou]
                large = interpolate(kept[None], image.shape[:2], mode="bilinear")[0] > 0
                rles += [coco_encode_rle(rle) for rle in mask_to_rle_pytorch(large)]
        found = (CocoRle(image.shape[:2], rle["counts"]) for rle in rles)
        return [rle for rle in found if rle.area_px]

    @torch.inference_mode()
    def answers(self, image: UInt8Image, side: int, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits (n, 3, 256, 256) and predicted IoU (n, 3) of so many points at once."""
        with self.clock.of("encode"):
            frame = draw_frame(image)
            embeddings = self.model.get_image_embeddings(frame)
        grid = torch.tensor(build_point_grid(side) * frame.shape[-1], dtype=torch.float32)
        for points in grid.split(batch):
            with self.clock.of("decode"):
                outputs = self.model(
                    image_embeddings=embeddings,
                    input_points=points[None, :, None],
                    input_labels=torch.ones((1, len(points), 1), dtype=torch.int64),
                    multimask_output=True,
                )
            yield outputs.pred_masks[0], outputs.iou_scores[0]


class Contest:
    """One model, both ways."""

    def __init__(self, model: Any) -> None:
        self.clock = Clock()
        self.loop = Loop(model, self.clock)
        ours = Sam2Prompter(copy.deepcopy(model), "cpu")
        self.prompter = TimedPrompter(ours, self.clock)

    def choose_bound(self, image: UInt8Image) -> float:
        """The predicted IoU that the surer half of the masks has; it is a probability."""
        iou = torch.cat([iou for _, iou in self.loop.answers(image, _TRIAL_POINTS, _USUAL_BATCH)])
        return float(iou.median())

    def find(self, image: UInt8Image, side: int, least_iou: float) -> list[CocoRle]:
        options = SegmenterOptions(
            name="sam2.1_t",
            device="cpu",
            prompts="grid",
            points_per_side=side,
            pred_iou_thresh=least_iou,
            stability_score_thresh=0.0,
            box_nms_thresh=1.0,
            **OURS_OFF,
        )
        segmenter = GridSegmenter(
            self.prompter,
            weights_sha256="0" * 64,
            options=options,
            defaults={"points_per_batch": POINTS_ON_A_CPU},
        )
        with self.clock.of("all"):
            return [mask.rle for mask in segmenter.segment([image])[0]]

    def time(self, run: Callable[[], list[CocoRle]], clock: Clock) -> list[CocoRle]:
        """The masks of a run; its seconds are added to `clock`."""
        self.clock.spent.clear()
        found = run()
        for part, seconds in self.clock.spent.items():
            clock.spent[part] += seconds
        return found


def check_other_weights(contest: Contest, seed: int) -> None:
    """Both sides must notice other weights, and agree on them. Raises SystemExit."""
    image = drawn_image(_SIZES[0], seed)
    other = Contest(draw_model(seed))
    bound = other.choose_bound(image)
    theirs = other.loop.find(image, _TRIAL_POINTS, bound, _USUAL_BATCH)
    ours = other.find(image, _TRIAL_POINTS, bound)
    if set(ours) == set(contest.find(image, _TRIAL_POINTS, bound)):
        raise SystemExit("other weights give the same masks: nothing is told")
    check(parity(theirs, ours))


def check(seen: Parity) -> None:
    """Raises SystemExit where the masks do not agree."""
    if not seen.ours or seen.matched_share < _MIN_MATCHED:
        raise SystemExit(f"the masks do not agree, no speed is told: {seen}")


def find_best_batch(contest: Contest, image: UInt8Image, bound: float) -> int:
    """The loop's fastest number of points at once, by a few of them."""
    spent = {}
    for batch in _BATCHES:
        clock = Clock()
        contest.time(partial(contest.loop.find, image, _TRIAL_POINTS, bound, batch), clock)
        spent[batch] = clock.after_encoder
    return min(spent, key=lambda batch: spent[batch])


def play(
    contest: Contest, images: Sequence[UInt8Image], side: int, bounds: Sequence[float], batch: int
) -> tuple[Parity, dict[str, Clock]]:
    """One round: the loop, ours and the tuned loop on every image."""
    clocks = {name: Clock() for name in ("loop", "ours", "tuned loop")}
    seen = Parity()
    for image, bound in zip(images, bounds, strict=True):
        plain = partial(contest.loop.find, image, side, bound)
        theirs = contest.time(partial(plain, _USUAL_BATCH), clocks["loop"])
        ours = contest.time(partial(contest.find, image, side, bound), clocks["ours"])
        tuned = contest.time(partial(plain, batch), clocks["tuned loop"])
        check(parity(theirs, tuned))
        seen += parity(theirs, ours)
    check(seen)
    return seen, clocks


def report(console: Console, rounds: Sequence[tuple[Parity, dict[str, Clock]]], batch: int) -> None:
    """Print the ratios, median and least."""
    seen = sum((of_round for of_round, _ in rounds), Parity())
    console.print(
        f"{rounds[0][0].ours} masks, {seen.matched_share:.2%} matched both ways at an IoU of "
        f"0.99, {seen.identical_share:.2%} the same to the byte"
    )
    table = Table(f"CPU time (tuned: {batch} at once)", "median", "least", box=None)
    for side in ("loop", "tuned loop"):
        for what, part in _PARTS.items():
            ratios = [part(clocks[side]) / part(clocks["ours"]) for _, clocks in rounds]
            middle, least = f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}"
            table.add_row(f"{side} / ours: {what}", middle, least)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--points-per-side", type=int, default=8)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    console = Console()
    contest = Contest(draw_model(seed=1))
    check_other_weights(contest, seed=2)
    images = [drawn_image(size_hw, seed) for seed, size_hw in enumerate(_SIZES)]
    bounds = [contest.choose_bound(image) for image in images]
    batch = find_best_batch(contest, images[0], bounds[0])
    rounds = []
    for number in range(args.rounds):
        rounds.append(play(contest, images, args.points_per_side, bounds, batch))
        clocks = rounds[-1][1]
        parts = ", ".join(f"{side} {clock.spent['all']:.1f} s" for side, clock in clocks.items())
        console.print(f"round {number + 1} of {args.rounds}: {parts}")
    report(console, rounds, batch)
    console.print(
        f"{args.threads} thread(s); {platform.machine()}, torch {torch.__version__}, "
        f"transformers {version('transformers')}"
    )


if __name__ == "__main__":
    main()
