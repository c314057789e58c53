"""Segment everything against the unmodified SamAutomaticMaskGenerator: masks first, then speed.

    python -m bench.segment --rounds 5

Both run in this process with the same weights, parameters and threads, in turns, on images drawn at
run time. No trained weights of the released models are at hand, so the decoder at its true size
perturbs a bank of drawn masks (see `bench.mask_bank`); `sam_demo` finds real masks beside. The
masks of every timed run are compared. No speed is told unless, in float32, all have their match
both ways at an IoU of 0.99 and 99% are the same to the byte, and, in bfloat16, where this CPU is
faster in it, 99% have their match. The reference computes in float32, as it does. The tuned
reference is the package with the `points_per_batch` that was fastest here.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam
from torch import Tensor

from bench.bundled import bundled_sam
from bench.clock import Clock, Timed, TimedPredictor, TimedPrompter
from bench.mask_bank import BankDecoder, BankPrompter, Blend, MaskBank, draw_bank, wide_sam
from bench.parity import OURS_OFF, Parity, parity
from pipeline.demo.scenes import compose
from pipeline.demo.sprites import bundled_sprites
from schemas.images import UInt8Image
from schemas.masks import CocoRle
from schemas.options import SegmenterOptions
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.parameters import POINTS_ON_A_CPU
from workers.segmenters.sam_demo import DEFAULTS
from workers.segmenters.sam_prompter import SamPrompter

_RESULTS = Path(__file__).parent / "results" / "segment.json"
_BATCHES = (1, 2, 4, 8, 16, 32, 64)
_MIN_IDENTICAL = 0.99
_LEAST_MATCHED = {"fp32": 1.0, "bf16": 0.99}
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_TRIAL_POINTS = 8  # a side: for the canary and the search for the best batch
_DEMO_POINTS = 10  # what the package takes for more of them, with the demo's crops, is minutes
_PARTS: dict[tuple[str, str], Callable[[Clock], float]] = {
    ("", "decode + post-processing"): lambda clock: clock.after_encoder,
    ("whole_", "with the encoder"): lambda clock: clock.spent["all"],
    ("wall_", "with the encoder, wall time"): lambda clock: clock.spent["all_wall"],
}


@dataclass(frozen=True, slots=True)
class Case:
    """An image, what is asked of it, and for the true-size decoder its bank."""

    name: str
    image: UInt8Image
    bank: MaskBank | None
    points_per_side: int


@dataclass
class Result:
    """Of one round: by precision the masks of both sides, and each side's clock."""

    parities: dict[str, Parity] = field(default_factory=lambda: defaultdict(Parity))
    clocks: dict[str, Clock] = field(default_factory=lambda: defaultdict(Clock))


class Contest:
    """One model, both ways: the package in float32, ours in each of `dtypes`."""

    def __init__(self, model: Sam, parameters: dict[str, float], dtypes: Sequence[str]) -> None:
        self.clock, self.parameters, self.dtypes = Clock(), parameters, dtypes
        self.bank_decoder = BankDecoder(model.mask_decoder)
        decoder = Timed(self.bank_decoder, self.clock, "decode")
        self.theirs = Sam(model.image_encoder, model.prompt_encoder, decoder).eval()
        self.model = model
        self.take_weights()

    def take_weights(self) -> None:
        """Give our side the weights that the model has now."""
        self.prompters = {}
        for name in self.dtypes:
            ours = SamPrompter(copy.deepcopy(self.model), "cpu", _DTYPES[name])
            self.prompters[name] = BankPrompter(ours)

    def prepare(self, case: Case) -> None:
        """Take up the bank of a case."""
        blend = self._calibrated(case) if case.bank is not None else None
        self.bank_decoder.blend = blend
        for prompter in self.prompters.values():
            prompter.blend = blend

    @torch.inference_mode()
    def _calibrated(self, case: Case) -> Blend:
        assert case.bank is not None
        seen: list[tuple[Tensor, Tensor]] = []
        hook = self.bank_decoder.decoder.register_forward_hook(lambda *call: seen.append(call[2]))
        self.bank_decoder.blend = None
        self._generator(case, 64, points_per_side=8).generate(case.image)
        hook.remove()
        return Blend.calibrated(case.bank, *seen[0])

    def _generator(self, case: Case, batch: int, **changes: Any) -> SamAutomaticMaskGenerator:
        parameters = {"points_per_side": case.points_per_side, **self.parameters, **changes}
        generator = SamAutomaticMaskGenerator(
            self.theirs, output_mode="coco_rle", points_per_batch=batch, **parameters
        )
        generator.predictor = TimedPredictor(self.theirs, self.clock)
        return generator

    def reference(self, case: Case, batch: int) -> list[CocoRle]:
        generator = self._generator(case, batch)
        self.bank_decoder.at = 0
        with self.clock.of("all"):
            notes = generator.generate(case.image)
        return [
            CocoRle(case.image.shape[:2], note["segmentation"]["counts"])
            for note in notes
            if note["area"]
        ]

    def ours(self, case: Case, dtype: str) -> list[CocoRle]:
        parameters = {"points_per_side": case.points_per_side, **self.parameters, **OURS_OFF}
        options = SegmenterOptions(device="cpu", **parameters)
        segmenter = GridSegmenter(
            TimedPrompter(self.prompters[dtype], self.clock),
            weights_sha256="0" * 64,
            options=options,
            defaults={"points_per_batch": POINTS_ON_A_CPU},
        )
        with self.clock.of("all"):
            return [mask.rle for mask in segmenter.segment([case.image])[0]]

    def timed(self, run: Callable[[], list[CocoRle]], clock: Clock) -> list[CocoRle]:
        """The masks of a run; its seconds are added to `clock`."""
        self.clock.spent.clear()
        found = run()
        for part, seconds in self.clock.spent.items():
            clock.spent[part] += seconds
        return found


def best_batch(contest: Contest, case: Case) -> int:
    """The reference's fastest `points_per_batch`, by a part of a case's points."""
    part = replace(case, points_per_side=_TRIAL_POINTS)
    contest.prepare(part)
    spent = {}
    for batch in _BATCHES:
        clock = Clock()
        contest.timed(partial(contest.reference, part, batch), clock)
        spent[batch] = clock.after_encoder
    return min(spent, key=lambda batch: spent[batch])


def canary(contest: Contest, case: Case) -> None:
    """Both sides must notice when the decoder's weights change. Raises SystemExit."""
    case = replace(case, points_per_side=_TRIAL_POINTS)

    def masks() -> dict[str, list[CocoRle]]:
        contest.take_weights()
        contest.prepare(case)
        ours = {dtype: contest.ours(case, dtype) for dtype in contest.dtypes}
        return {"the reference": contest.reference(case, 64), **ours}

    before = masks()
    kept = copy.deepcopy(contest.model.mask_decoder.state_dict())
    with torch.no_grad():
        for name, weights in contest.model.mask_decoder.named_parameters():
            if "hypernetworks" in name:
                weights *= 1.5
    after = masks()
    contest.model.mask_decoder.load_state_dict(kept)
    contest.take_weights()
    for side, found in after.items():
        if set(found) == set(before[side]):
            raise SystemExit(f"{side} finds the same masks with other weights: nothing is told")
    for dtype in contest.dtypes:
        seen = parity(after["the reference"], after[dtype])
        if seen.matched_share < _LEAST_MATCHED[dtype]:
            raise SystemExit(f"with other weights the masks of {dtype} differ: nothing is told")


def play(contest: Contest, cases: Sequence[Case], batch: int) -> Result:
    """One round: reference, ours in each precision and the tuned reference on every case."""
    result = Result()
    for case in cases:
        contest.prepare(case)
        clocks = result.clocks
        wanted = contest.timed(partial(contest.reference, case, 64), clocks["reference"])
        for dtype in contest.dtypes:
            found = contest.timed(partial(contest.ours, case, dtype), clocks[dtype])
            result.parities[dtype] += parity(wanted, found)
        tuned = contest.timed(partial(contest.reference, case, batch), clocks["tuned"])
        if parity(wanted, tuned).matched_share < 1:
            raise SystemExit(f"{case.name}: the reference does not agree with itself")
    return result


def drawn_image(size_hw: tuple[int, int], seed: int) -> UInt8Image:
    return compose(np.random.default_rng(seed), bundled_sprites(), size_hw).image


def wide_cases(points: int) -> list[Case]:
    """Landscape at the defaults; smaller grids on the others, for time's sake."""
    sizes = {
        "landscape": ((480, 640), points),
        "portrait": ((1000, 750), points // 4),
        "odd": ((431, 577), points // 4),
        "long side 1024": ((683, 1024), points // 4),
        "tiny": ((24, 40), points // 4),
        "nothing sure": ((300, 400), points // 4),
    }
    cases = []
    for seed, (name, (size_hw, side)) in enumerate(sizes.items()):
        bank = draw_bank(size_hw, side, seed)
        bank = bank.none_sure() if name == "nothing sure" else bank
        cases.append(Case(name, drawn_image(size_hw, seed), bank, side))
    return cases


def demo_cases() -> list[Case]:
    sizes = (480, 640), (640, 480), (333, 501)
    return [
        Case(f"scene {n}", drawn_image(hw, n), None, _DEMO_POINTS) for n, hw in enumerate(sizes)
    ]


def checked(result: Result, name: str) -> None:
    """Raises SystemExit where the masks do not agree."""
    for dtype, seen in result.parities.items():
        exact = dtype == "fp32"
        if seen.matched_share < _LEAST_MATCHED[dtype] or (
            exact and seen.identical_share < _MIN_IDENTICAL
        ):
            raise SystemExit(f"{name}, {dtype}: the masks do not agree, no speed is told: {seen}")


def contest_of_demo() -> Contest:
    own = ("points_per_side", *OURS_OFF)
    return Contest(bundled_sam(), {k: v for k, v in DEFAULTS.items() if k not in own}, ["fp32"])


def report(console: Console, results: Sequence[Result], name: str) -> dict[str, Any]:
    """Print the ratios of a contest; the figures by name."""
    figures: dict[str, Any] = {}
    table = Table(name, "median", "least", box=None)

    def tell(key: str, what: str, side: str, dtype: str, part: Callable[[Clock], float]) -> None:
        values = [part(r.clocks[side]) / part(r.clocks[dtype]) for r in results]
        figures[f"{key}_ratio"] = round(statistics.median(values), 3)
        figures[f"{key}_ratio_min"] = round(min(values), 3)
        middle, least = f"{statistics.median(values):.2f}", f"{min(values):.2f}"
        table.add_row(f"{side} / {dtype}: {what}", middle, least)

    for dtype in results[0].parities:
        seen = sum((result.parities[dtype] for result in results), Parity())
        figures[f"{dtype}_masks"] = results[0].parities[dtype].ours
        figures[f"{dtype}_matched"] = round(seen.matched_share, 5)
        figures[f"{dtype}_identical"] = round(seen.identical_share, 5)
        for side, of_side in (("reference", ""), ("tuned", "tuned_")):
            for (of_part, what), part in _PARTS.items():
                tell(f"{of_side}{of_part}{dtype}", what, side, dtype, part)
        console.print(
            f"{name}, {dtype}: {results[0].parities[dtype].ours} masks, "
            f"{seen.matched_share:.2%} matched both ways at an IoU of 0.99, "
            f"{seen.identical_share:.2%} the same to the byte"
        )
    tell("post", "post-processing alone", "reference", "fp32", lambda clock: clock.post)
    console.print(table)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--bf16", action="store_true", help="in bfloat16 as well")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    console = Console()
    dtypes = ["fp32", "bf16"] if args.bf16 else ["fp32"]
    contests = {
        "": (
            "decoder of 256 on a mask bank",
            Contest(wide_sam(), {}, dtypes),
            wide_cases(args.points_per_side),
        ),
        "demo_": ("sam_demo", contest_of_demo(), demo_cases()),
    }
    figures: dict[str, Any] = {"rounds": args.rounds, "threads": args.threads}
    for key, (name, contest, cases) in contests.items():
        canary(contest, cases[0])
        batch = best_batch(contest, cases[0])
        figures[f"{key}tuned_batch"] = batch
        results = []
        for number in range(args.rounds):
            results.append(play(contest, cases, batch))
            checked(results[-1], name)
            spent = {side: c.after_encoder for side, c in results[-1].clocks.items()}
            parts = ", ".join(f"{side} {seconds:.1f} s" for side, seconds in spent.items())
            console.print(f"{name}, round {number + 1} of {args.rounds}: {parts}")
        seen = report(console, results, f"{name} (tuned: batches of {batch})")
        figures |= {f"{key}{figure}": value for figure, value in seen.items()}
    figures["machine"] = (
        f"{platform.machine()}, torch {torch.__version__}, "
        f"segment-anything {version('segment-anything')}"
    )
    console.print(f"{args.threads} thread(s); {figures['machine']}")
    _RESULTS.parent.mkdir(exist_ok=True)
    _RESULTS.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
