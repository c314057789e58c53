"""How much memory segmenting an image takes, and what it grows with.

    python -m bench.memory

sam_demo with all thresholds off, so that every prompt's masks are kept, on one scene: ours and
the reference at its defaults, a process each, for more and more points. What is told is the most
that a process held while it segmented, beyond what it held with its models loaded and an image
already segmented. The reference is left out where it would take minutes. Equal masks count once on
our side, three times a prompt on the other.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from segment_anything import SamAutomaticMaskGenerator

from bench.bundled import bundled_sam
from bench.parity import OURS_OFF
from pipeline.demo.scenes import SCENE_HW, compose
from pipeline.demo.sprites import bundled_sprites
from schemas.options import SegmenterOptions
from workers.registry import build_segmenter

_ALL = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
_OURS = (8, 16, 32)
_THEIRS = (8,)
_MIB = 2**20


def ours(points: int, image: np.ndarray) -> Callable[[], int]:
    segmenter = build_segmenter(
        SegmenterOptions(
            name="sam_demo", device="cpu", precision="fp32", points_per_side=points,
            crop_n_layers=0, **_ALL, **OURS_OFF,
        ),
        None,
    )  # fmt: skip
    return lambda: len(segmenter.segment([image])[0])


def theirs(points: int, image: np.ndarray) -> Callable[[], int]:
    generator = SamAutomaticMaskGenerator(
        bundled_sam(), output_mode="coco_rle", points_per_side=points, **_ALL
    )
    return lambda: len(generator.generate(image))


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def measure(side: str, points: int) -> dict[str, int]:
    """Masks found, and bytes held at most beyond what was held before."""
    torch.set_num_threads(1)
    image = compose(np.random.default_rng(3), bundled_sprites(), SCENE_HW).image
    build = ours if side == "ours" else theirs
    build(4, image)()
    segment = build(points, image)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    masks = segment()
    return {"masks": masks, "bytes": _status("VmHWM") - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--side", choices=("ours", "theirs"), help="measure in this process")
    parser.add_argument("--points", type=int, default=16, help="of that measurement, per side")
    args = parser.parse_args()
    if args.side:
        print(json.dumps(measure(args.side, args.points)))
        return
    table = Table("points per side", "ours, MiB (masks)", "reference, MiB (masks)", box=None)
    for points in _OURS:
        found: dict[str, Any] = {
            side: _elsewhere(side, points)
            for side, sizes in (("ours", _OURS), ("theirs", _THEIRS))
            if points in sizes
        }
        cells = [
            f"{result['bytes'] / _MIB:.0f} ({result['masks']:,})" if result else ""
            for result in (found.get("ours"), found.get("theirs"))
        ]
        table.add_row(str(points), *cells)
    Console().print(table)


def _elsewhere(side: str, points: int) -> dict[str, int]:
    command = [sys.executable, "-m", "bench.memory", "--side", side, "--points", str(points)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return measured


if __name__ == "__main__":
    main()
