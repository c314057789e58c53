"""What refiners make of masks, held against the truth of drawn scenes.

    python -m bench.refine --scenes 60 --chains "edges;sam;sam,edges" --panels panels.webp

Of every object that `objseek eval demo` counts its best mask is refined by each chain; what is
"found" counts all of these, everything else those with an IoU of 0.5 or more at first. Scenes are
those of `objseek eval demo`, or, with `--scale`, the same ones
composed so many times as large; no training has seen their drawings.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from bench.contours import measure_distance_px
from bench.refined_panels import Change, compose_panels
from pipeline.demo.bucket import draw_scene
from pipeline.demo.scenes import SceneObject
from pipeline.demo.sprites import bundled_sprites
from pipeline.evaluation.masks.boundary import find_boundary_width, measure_boundary_iou
from pipeline.evaluation.matching import is_seen
from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.options import SegmenterOptions
from schemas.overlaps import mask_iou
from workers.refiners.chain import RefiningChain, build_refiners
from workers.registry import build_segmenter
from workers.segmenter_protocols import Refiner
from workers.segmenters.refining_sam import load_sam

_FOUND_IOU, _NO_CHANGE = 0.5, 0.005
_WIDE, _NARROW = 0.02, 0.005  # of the diagonal
_BEFORE = "-"


@dataclass(frozen=True, slots=True)
class Score:
    """A mask held against the truth: distance between contours in pixels, CPU ms of refining."""

    iou: float
    wide: float
    narrow: float
    distance_px: float
    ms: float


@dataclass(frozen=True, slots=True)
class DrawnScene:
    """A scene as it is read from its JPEG, and the objects in it that count."""

    image: UInt8Image
    true: tuple[CocoRle, ...]


def list_scenes(seed: int, first: int, count: int, scale: int) -> Iterator[DrawnScene]:
    """So many scenes of a seed, from the number `first` on."""
    sprites = bundled_sprites()
    for number in range(first, first + count):
        scene, content = draw_scene(seed, number, sprites, scale)
        image = np.asarray(Image.open(io.BytesIO(content)))
        true = (CocoRle.from_mask(item.mask) for item in scene.objects if _counts(item))
        yield DrawnScene(image, tuple(true))


def _counts(item: SceneObject) -> bool:
    x0, y0, x1, y1 = CocoRle.from_mask(item.mask).bbox_xyxy
    height, width = item.mask.shape
    return is_seen(item.visible_fraction, max(x1 - x0, y1 - y0), (height, width))


def pair_best(masks: Sequence[ObjectMask], true: Sequence[CocoRle]) -> Iterator[tuple[int, int]]:
    """The best mask of each object, as far as any touches it, and the object, by their numbers."""
    iou = mask_iou([mask.rle for mask in masks], true)
    for column in range(len(true)):
        row = int(iou[:, column].argmax()) if masks else -1
        if masks and iou[row, column] > 0:
            yield row, column


def score(mask: CocoRle, true: CocoRle, ms: float) -> Score:
    wide, narrow = (find_boundary_width(true.size_hw, share) for share in (_WIDE, _NARROW))
    return Score(
        float(mask_iou([mask], [true])[0, 0]),
        measure_boundary_iou(mask, true, wide),
        measure_boundary_iou(mask, true, narrow),
        measure_distance_px(mask, true),
        ms,
    )


class Contest:
    """The scores of every chain on the same masks, and what an image costs it by itself."""

    def __init__(self, chains: dict[str, tuple[Refiner, ...]]) -> None:
        self.chains = chains
        self.scores: dict[str, list[Score]] = defaultdict(list)
        self.image_ms: dict[str, list[float]] = defaultdict(list)
        self.changes: list[Change] = []
        """What the last chain has done."""
        self.objects = 0

    def play(self, scene: DrawnScene, masks: Sequence[ObjectMask]) -> None:
        """Refine the best masks of a scene. What they share is made by one more, before them."""
        self.objects += len(scene.true)
        pairs = list(pair_best(masks, scene.true))
        last: list[CocoRle] = []
        for name, refiners in self.chains.items():
            chain = RefiningChain.open_image(scene.image, refiners)
            if pairs:
                self.image_ms[name].append(_time(chain, masks[pairs[0][0]])[1])
            last = []
            for row, column in pairs:
                after, ms = _time(chain, masks[row])
                self.scores[name].append(score(after.rle, scene.true[column], ms))
                last.append(after.rle)
        for (row, column), after_rle in zip(pairs, last, strict=True):
            before = score(masks[row].rle, scene.true[column], 0.0)
            self.scores[_BEFORE].append(before)
            gain = float(mask_iou([after_rle], [scene.true[column]])[0, 0]) - before.iou
            self.changes.append(Change(scene.image, masks[row].rle, after_rle, gain))

    def report(self, console: Console) -> dict[str, dict[str, float]]:
        """Print all chains; their figures by name."""
        figures = {name: self._sum_up(name) for name in (_BEFORE, *self.chains)}
        table = Table("", *figures[_BEFORE], box=None)
        for name, values in figures.items():
            table.add_row(name, *(f"{value:.3f}" for value in values.values()))
        console.print(table)
        return figures

    def _sum_up(self, name: str) -> dict[str, float]:
        every = np.array([astuple(each) for each in self.scores[name]])
        before = np.array([each.iou for each in self.scores[_BEFORE]])
        rows = every[before >= _FOUND_IOU]
        gain = rows[:, 0] - before[before >= _FOUND_IOU]
        figures = {
            "IoU": rows[:, 0].mean(),
            "BIoU 2%": rows[:, 1].mean(),
            "BIoU 0.5%": rows[:, 2].mean(),
            "contours px": np.median(rows[:, 3]),
            "better": (gain > _NO_CHANGE).mean(),
            "worse": (gain < -_NO_CHANGE).mean(),
            "found 0.5": (every[:, 0] >= _FOUND_IOU).sum() / self.objects,
            "found 0.75": (every[:, 0] >= 0.75).sum() / self.objects,
            "ms a mask": rows[:, 4].mean(),
            "ms, median": np.median(rows[:, 4]),
            "ms an image": np.median(self.image_ms[name] or [0.0]),
        }
        return {what: round(float(value), 4) for what, value in figures.items()}


def _time(chain: RefiningChain, mask: ObjectMask) -> tuple[ObjectMask, float]:
    started = time.process_time()
    (refined,) = chain.refine([mask])
    return refined, 1000 * (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--first", type=int, default=1, help="number of the first scene")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--segmenter", default="sam_demo")
    parser.add_argument("--chains", default="edges", help="refiners,in,order;another")
    parser.add_argument("--min-iou", type=float, help="of sam; else its default")
    parser.add_argument("--panels", type=Path, help="draw what the last chain does to some masks")
    parser.add_argument("--results", type=Path)
    args = parser.parse_args()

    torch.set_num_threads(1)
    sam = {} if args.min_iou is None else {"min_iou": args.min_iou}
    options = SegmenterOptions.model_validate(
        {"name": args.segmenter, "device": "cpu", "precision": "fp32", "refine": ["sam"],
         "refiners": {"sam": sam}}
    )  # fmt: skip
    segmenter = build_segmenter(options.model_copy(update={"refine": ()}))
    chains = {
        spec: build_refiners(
            spec.split(","), options.refiners, lambda: load_sam(options, segmenter)
        )
        for spec in args.chains.split(";")
    }
    for scene in list_scenes(args.seed + 1, 1, 1, 1):  # compiling is none of what is measured
        Contest(chains).play(scene, segmenter.segment([scene.image])[0])
    contest = Contest(chains)
    for scene in list_scenes(args.seed, args.first, args.scenes, args.scale):
        contest.play(scene, segmenter.segment([scene.image])[0])
    console = Console(width=200)
    figures = contest.report(console)
    console.print(
        f"{len(contest.scores[_BEFORE])} masks of {contest.objects} objects in {args.scenes} scenes"
    )
    if args.panels:
        compose_panels(contest.changes).save(args.panels, quality=80, method=6)
    if args.results:
        made_of = {
            name: vars(args)[name] for name in ("first", "scenes", "seed", "scale", "segmenter")
        }
        args.results.write_text(json.dumps({**made_of, "chains": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
