"""Trains `segformer_demo`: on windows full of sprites, then on cached scenes.

    python -m pipeline.training.train_segformer --sprites sprites.npz --checkpoint windows.pt
    python -m pipeline.training.train_segformer --scenes grouped varied --weights-from windows.pt \\
        --checkpoint segformer.pt --steps 1500 --images 8 --peak 1e-3

With sprites and scenes, on either in turn. By cross entropy and dice of the pixels' groups, and by
what instances show: their concept, and what clip_demo says of their drawing. Resumes from the
checkpoint if it exists.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.training.group_windows import Windows, list_groups
from pipeline.training.loop import Ema, MuonAdamW, Training, make_parser, resume, run_steps
from pipeline.training.scene_cache import load_art
from pipeline.training.scene_crops import SceneCrops
from pipeline.training.segformer_learner import Learner, compute_losses

_EMA_DECAY = 0.998
_REPORT_EVERY = 25
_MAX_GRADIENT = 1.0
_WEIGHTS_HELP = "a checkpoint to start from, or several: their mean"
_IMAGES_HELP = "windows or crops a step; of both, in turn: crops, then windows"


def list_muon_modules(learner: Learner) -> list[nn.Module]:
    """Linear layers and kernels that mix channels."""
    return [
        module
        for module in learner.model.modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
        and getattr(module, "groups", 1) == 1
        and module is not learner.model.decode_head.classifier
    ]


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__, steps=2000, peak=2.5e-3)
    parser.add_argument("--sprites", type=Path, help="what rasterize_icons wrote")
    parser.add_argument("--scenes", type=Path, nargs="+", help="what scene_cache wrote")
    parser.add_argument("--weights-from", type=Path, nargs="+", help=_WEIGHTS_HELP)
    parser.add_argument("--images", type=int, nargs="+", default=[64], help=_IMAGES_HELP)
    parser.add_argument("--height", type=int, default=192, help="of a crop of a scene")
    parser.add_argument("--scales", type=float, nargs=2, default=(0.4, 0.8), help="of its pixels")
    args = parser.parse_args()
    if not (args.sprites or args.scenes) or not (args.sprites or args.weights_from):
        parser.error("expected --sprites, or --scenes and --weights-from, or all of them")
    return args


def prepare(args: argparse.Namespace) -> tuple[Learner, list[Windows | SceneCrops]]:
    """What learns, and what draws the batches that it learns from, in turn."""
    sources: list[Windows | SceneCrops] = []
    if args.scenes:
        sources.append(SceneCrops(args.scenes, args.height, args.scales))
    if not args.sprites:
        return Learner.load(args.weights_from), sources
    art = load_art(args.sprites)
    windows = Windows(art)
    sources.append(windows)
    if args.weights_from:
        return Learner.load(args.weights_from), sources
    return Learner(windows.teaching.concepts, list_groups(art)), sources


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    learner, sources = prepare(args)
    learner.model.to(memory_format=torch.channels_last)
    optimizer = MuonAdamW(learner, list_muon_modules(learner), args.peak, 0.02, args.bf16)
    ema = Ema(learner, _EMA_DECAY)
    first = resume(args.checkpoint, learner, optimizer, ema)
    for source in sources:
        source.reseed(first)
    turns = itertools.cycle(zip(sources, args.images, strict=True))
    learner.train()

    def compute() -> tuple[Tensor, dict[str, Tensor]]:
        source, count = next(turns)
        return compute_losses(learner, source.draw(count), args.bf16)

    training = Training(learner, optimizer, ema, args.checkpoint, args.peak, _MAX_GRADIENT)
    run_steps(training, range(first, args.steps), _REPORT_EVERY, compute)


if __name__ == "__main__":
    main()
