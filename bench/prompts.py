"""Adaptive prompts against the whole grid: prompts an image, masks that are lost, seconds.

    python -m bench.prompts --scenes 40 --package 3 --dense 2

Both segment the same drawn scenes in this process, in turns, with the same weights and threads.
Scenes are those of `objseek eval demo`, from drawings that no training has seen. On the first
`--package` of them segment-anything's own generator has its turn as well, with its defaults for
what is done at once, and our whole grid with its parameters, whose masks are held against its own.
`--dense`: on so many scenes a SAM of ViT-B's shape (see `dense_prompts`).
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from bench.clock import Clock, TimedPrompter
from bench.dense_prompts import measure_dense
from bench.device.sides import PACKAGE_BATCH
from bench.parity import MIN_IOU, Parity, parity
from bench.segment import Case, Contest, contest_of_demo
from pipeline.demo.bucket import write_bucket
from pipeline.evaluation.matching import must_be_found
from schemas.coco import CocoTruth
from schemas.images import UInt8Image
from schemas.masks import CocoRle
from schemas.options import PromptsName, SegmenterOptions
from schemas.overlaps import best_iou
from workers.models.precision import resolve_precision
from workers.registry import build_segmenter
from workers.segmenters.counting_prompter import CountingPrompter
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.sam_demo import DEFAULTS
from workers.segmenters.sam_prompter import Float64s

_RESULTS = Path(__file__).parent / "results" / "prompts.json"
_SIDES: tuple[PromptsName, ...] = ("grid", "adaptive")
_MATCHED_IOU = 0.9


@dataclass
class Tally:
    """Of one side: prompts of all images, its clock, masks, the IoU with every true object."""

    prompts: int = 0
    masks: int = 0
    clock: Clock = field(default_factory=Clock)
    best_iou: list[float] = field(default_factory=list)


@dataclass
class PackageTally:
    """Of the package's generator: its clock and adaptive's on the same scenes, and agreement."""

    contest: Contest = field(default_factory=contest_of_demo)
    clock: Clock = field(default_factory=Clock)
    adaptive: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    agreement: Parity = field(default_factory=Parity)
    best_iou: list[float] = field(default_factory=list)
    scenes: int = 0

    def play(self, image: UInt8Image, true: Sequence[CocoRle], spent: dict[str, float]) -> None:
        """One scene, for which adaptive `spent` so much of each part."""
        case = Case("", image, None, int(DEFAULTS["points_per_side"]))
        run = partial(self.contest.reference, case, PACKAGE_BATCH)
        found = self.contest.timed(run, self.clock)
        self.agreement += parity(found, self.contest.ours(case, "fp32"))
        self.best_iou += best_iou(found, true).tolist()
        for part, seconds in spent.items():
            self.adaptive[part] += seconds
        self.scenes += 1

    def report(self, console: Console) -> dict[str, object]:
        """Print the ratio and how far both agree; the figures by name. Raises SystemExit if not."""
        seen = self.agreement
        if seen.matched_share < 1:
            raise SystemExit(f"the masks do not agree, no speed is told: {seen}")
        ratios = {
            part: round(self.clock.spent[part] / self.adaptive[part], 1)
            for part in ("all", "all_wall")
        }
        ious = np.array(self.best_iou)
        found = {iou: round(float((ious >= iou).mean()), 4) for iou in (0.5, 0.75)}
        console.print(
            f"the package's generator, {self.scenes} scenes with the encoder: "
            f"{self.clock.spent['all'] / self.scenes:.1f} s of CPU an image, adaptive is "
            f"{ratios['all']} times as fast by CPU time, {ratios['all_wall']} by the wall; of its "
            f"{seen.theirs} masks and our whole grid's {seen.matched_share:.2%} matched both ways "
            f"at an IoU of {MIN_IOU}, {seen.identical_share:.2%} the same to the byte; objects at "
            f"0.5 / 0.75: {found[0.5]:.3f} / {found[0.75]:.3f}"
        )
        return {
            "scenes": self.scenes, "ratios": ratios, "masks": seen.theirs,
            "matched": seen.matched_share, "identical": round(seen.identical_share, 4),
            "objects_found": found,
            "cpu_seconds_an_image": round(self.clock.spent["all"] / self.scenes, 2),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Side:
    """A segmenter, and what counts the points that its model is asked."""

    segmenter: GridSegmenter
    prompter: CountingPrompter

    @classmethod
    def build(cls, options: SegmenterOptions, clock: Clock) -> Side:
        """One whose encoding takes time of a clock."""
        segmenter = build_segmenter(options)
        assert isinstance(segmenter, GridSegmenter)
        prompter = CountingPrompter(TimedPrompter(segmenter.prompter, clock))
        segmenter._prompter = prompter
        return cls(segmenter, prompter)

    def segment(self, pixels: UInt8Image, tally: Tally) -> list[CocoRle]:
        self.prompter.forget()
        before = self.prompter.prompts
        with tally.clock.of("all"):
            masks = self.segmenter.segment([pixels])[0]
        tally.prompts += self.prompter.prompts - before
        tally.masks += len(masks)
        return [mask.rle for mask in masks]


def play(
    truth: CocoTruth, folder: Path, sides: dict[PromptsName, Side],
    tallies: dict[PromptsName, Tally], package: PackageTally | None = None, package_scenes: int = 0,
) -> list[float]:  # fmt: skip
    """Segment every image both ways: the IoU of adaptive's best mask with each of the grid's.

    The first `package_scenes` the package's way as well.
    """
    kept: list[float] = []
    for number, image in enumerate(truth.images):
        pixels = np.asarray(Image.open(folder / image.file_name))
        true = [
            annotation.to_rle(image.size_hw)
            for annotation in truth.annotations
            if annotation.image_id == image.id and must_be_found(annotation, image)
        ]
        found: dict[PromptsName, list[CocoRle]] = {}
        before = dict(tallies["adaptive"].clock.spent)
        for side in _SIDES[:: 1 if number % 2 else -1]:
            tally = tallies[side]
            found[side] = sides[side].segment(pixels, tally)
            tally.best_iou += best_iou(found[side], true).tolist()
        kept += best_iou(found["adaptive"], found["grid"]).tolist()
        if package is not None and number < package_scenes:
            spent = tallies["adaptive"].clock.spent
            parts = {part: spent[part] - before.get(part, 0.0) for part in ("all", "all_wall")}
            package.play(pixels, true, parts)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--package", type=int, default=3, help="scenes for the package's generator")
    parser.add_argument("--dense", type=int, default=2, help="scenes for ViT-B's shape")
    parser.add_argument("--dense-points", type=int, default=32, help="points a side for it")
    parser.add_argument("--results", type=Path, default=_RESULTS)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    precision = resolve_precision("auto", args.device)
    tallies: dict[PromptsName, Tally] = {side: Tally() for side in _SIDES}
    sides = {
        side: Side.build(SegmenterOptions(device=args.device, prompts=side), tallies[side].clock)
        for side in _SIDES
    }
    with TemporaryDirectory(prefix="objseek-prompts-") as name:
        warm_up = write_bucket(Path(name) / "warm", 1, args.seed + 1)
        play(warm_up, Path(name) / "warm", sides, {side: Tally() for side in _SIDES})
        for tally in tallies.values():  # compiling is none of what is measured
            tally.clock.spent.clear()
        truth = write_bucket(Path(name), args.scenes, args.seed)
        package = PackageTally()
        kept = np.array(play(truth, Path(name), sides, tallies, package, args.package))
    console = Console()
    figures = report(console, tallies, kept, args.scenes)
    if package.scenes:
        figures["package"] = package.report(console)
    if args.dense:
        figures["dense_vit_b"] = measure_dense(console, args.dense, args.dense_points)
    figures |= {"device": args.device, "precision": str(precision), "threads": args.threads}
    args.results.write_text(json.dumps(figures, indent=1) + "\n")


def report(
    console: Console, tallies: dict[PromptsName, Tally], kept: Float64s, scenes: int
) -> dict[str, object]:
    """Print both sides and their ratios; the figures by name."""
    table = Table("", *_SIDES, box=None)
    figures: dict[str, object] = {"scenes": scenes, "objects": len(tallies["grid"].best_iou)}
    ious = {side: np.array(tally.best_iou) for side, tally in tallies.items()}

    def tell(what: str, values: dict[PromptsName, float], digits: int) -> None:
        table.add_row(what, *(f"{values[side]:,.{digits}f}" for side in _SIDES))
        figures[what] = {side: round(value, digits) for side, value in values.items()}

    tell("prompts an image", {k: t.prompts / scenes for k, t in tallies.items()}, 1)
    tell("masks an image", {k: t.masks / scenes for k, t in tallies.items()}, 2)
    for iou in (0.5, 0.75):
        tell(f"objects found at IoU {iou}", {k: (v >= iou).mean() for k, v in ious.items()}, 4)
    for part, name in (("all", "CPU"), ("all_wall", "wall"), ("encode", "encoder's CPU")):
        spent = {k: t.clock.spent[part] / scenes for k, t in tallies.items()}
        tell(f"{name} seconds an image", spent, 3)
    console.print(table)
    clocks = {side: tally.clock.spent for side, tally in tallies.items()}
    figures["matched"] = round(float((kept >= _MATCHED_IOU).mean()), 4)
    for part in ("all", "all_wall"):
        figures[f"ratio_{part}"] = round(clocks["grid"][part] / clocks["adaptive"][part], 2)
    console.print(
        f"of the grid's masks {figures['matched']:.2%} matched at an IoU of {_MATCHED_IOU}; "
        f"{figures['ratio_all']} times as fast by CPU time, {figures['ratio_all_wall']} by the wall"
    )
    return figures


if __name__ == "__main__":
    main()
