"""`objseek eval masks` against pycocotools: the same figures first, then time and memory.

    python -m bench.eval_masks --images 5000

Images are drawn, with a true mask for about seven objects each and a hundred found ones: most of
them a true one moved and bent, the rest of nothing. Each side is a process of its own that reads
the two files; ours measures everything it has, with intervals, pycocotools AP and AR of masks
alone. No speed is told unless these agree. Memory is what all processes of a side hold, each page
that they share counted once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from rich.table import Table

Floats = npt.NDArray[np.float64]
_RESULTS = Path(__file__).parent / "results" / "eval_masks.json"
_MIB_KIB = 1024
_LOOK_EVERY_S = 0.1
_SIZES_HW = (480, 640), (640, 480), (427, 640)
_CLASSES = 80
_TRUE_AN_IMAGE = 7.2
_FOUND_AN_IMAGE = 100
_INVENTED = 0.4
_RADII_PX = 6.0, 120.0
_CORNERS = 32
_AGREE = 1e-6
_FIGURES = {"ap": 0, "ap_50": 1, "ap_75": 2, "ap_small": 3, "ap_medium": 4, "ap_large": 5,
            "ar_100_by_class": 8}  # fmt: skip
"""Ours, and the place in `COCOeval.stats`."""


def draw_star(random: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    """The corners, float64 (corners, 2) in x and y, of something roundish in an image."""
    radius = np.exp(random.uniform(*np.log(_RADII_PX)))
    waves = random.normal(0, 0.12, 4)
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    radii = radius * (1 + sum(w * np.sin((k + 2) * angles) for k, w in enumerate(waves)))
    centre = random.uniform(0, 1, 2) * size_hw[::-1]
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None] + centre


def bend(random: np.random.Generator, star: Floats) -> Floats:
    """The same thing as a segmenter finds it: a little off, larger or smaller, and uneven."""
    centre = star.mean(axis=0)
    reach = np.linalg.norm(star - centre, axis=1).mean()
    off = random.exponential(0.12)
    moved = centre + random.normal(0, off * reach, 2)
    scales = np.exp(random.normal(0, off, 1)) * (1 + random.normal(0, off / 4, (len(star), 1)))
    return (star - centre) * scales + moved


def _encode(star: Floats, size_hw: tuple[int, int]) -> dict[str, Any]:
    rle = coco_mask.merge(coco_mask.frPyObjects([star.ravel().tolist()], *size_hw))
    return {"size": list(size_hw), "counts": rle["counts"].decode(), "area": coco_mask.area(rle)}


def draw(folder: Path, images: int) -> None:
    """Write `truth.json` and `found.json` into a folder, unless they are there."""
    truth_path, found_path = folder / "truth.json", folder / "found.json"
    if found_path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    truth: dict[str, list[dict[str, Any]]] = {
        "images": [],
        "categories": [{"id": number, "name": f"class {number}"} for number in range(_CLASSES)],
        "annotations": [],
    }
    found: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        size_hw = _SIZES_HW[image % len(_SIZES_HW)]
        height, width = size_hw
        truth["images"].append(
            {"id": image, "file_name": f"{image:06}.jpg", "height": height, "width": width}
        )
        stars = []
        for _ in range(max(1, random.poisson(_TRUE_AN_IMAGE))):
            star, category = draw_star(random, size_hw), int(random.integers(_CLASSES))
            mask = _encode(star, size_hw)
            area = int(mask.pop("area"))
            if area:
                stars.append((star, category))
                truth["annotations"].append(
                    {
                        "id": len(truth["annotations"]) + 1, "image_id": image,
                        "category_id": category, "segmentation": mask, "area": area,
                        "bbox": coco_mask.toBbox(mask).tolist(), "iscrowd": 0,
                    }
                )  # fmt: skip
        found += _find(random, image, size_hw, stars)
    truth_path.write_text(json.dumps(truth))
    found_path.write_text(json.dumps(found))


def _find(
    random: np.random.Generator,
    image: int,
    size_hw: tuple[int, int],
    stars: list[tuple[Floats, int]],
) -> list[dict[str, Any]]:
    """A hundred results of an image, surer where something is."""
    found: list[dict[str, Any]] = []
    while len(found) < _FOUND_AN_IMAGE:
        invented = not stars or random.random() < _INVENTED
        if invented:
            star, category = draw_star(random, size_hw), int(random.integers(_CLASSES))
        else:
            star, category = stars[random.integers(len(stars))]
            star = bend(random, star)
            if random.random() < 0.3:
                category = int(random.integers(_CLASSES))
        mask = _encode(star, size_hw)
        if mask.pop("area"):
            score = float(random.beta(2, 5) if invented else random.beta(4, 3))
            found.append(
                {"image_id": image, "category_id": category, "segmentation": mask, "score": score}
            )
    return found


def run_pycocotools(folder: Path) -> dict[str, float]:
    """AP and AR of pycocotools, in this process, by our names."""
    with contextlib.redirect_stdout(sys.stderr):
        truth = COCO(str(folder / "truth.json"))
        evaluation = COCOeval(truth, truth.loadRes(str(folder / "found.json")), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(evaluation.stats[place]) for name, place in _FIGURES.items()}


def run_side(command: list[str]) -> dict[str, float]:
    """Wall and CPU seconds and MiB of a process and its children."""
    before, started, most = os.times(), time.perf_counter(), 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        most = max(most, sum(map(_held_mib, _list_family(process.pid))))
        time.sleep(_LOOK_EVERY_S)
    seconds, after = time.perf_counter() - started, os.times()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return {"seconds": round(seconds, 1), "cpu_s": round(cpu, 1), "mib": round(most)}


def _list_family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _list_family(int(child))


def _held_mib(pid: int) -> float:
    """Its own pages, and its part of those that it shares; 0 once it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / _MIB_KIB
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/objseek-eval-masks"))
    parser.add_argument("--pycocotools", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    folder = args.folder / str(args.images)
    if args.pycocotools:
        args.pycocotools.write_text(json.dumps(run_pycocotools(folder)))
        return
    draw(folder, args.images)
    ours_path, theirs_path = folder / "ours.json", folder / "theirs.json"
    module = [sys.executable, "-m", "bench.eval_masks", "--images", str(args.images)]
    sides = {
        "objseek eval masks": [
            str(Path(sys.executable).with_name("objseek")), "eval", "masks",
            "--truth", str(folder / "truth.json"), "--pred", str(folder / "found.json"),
            "--json", str(ours_path),
        ],
        "pycocotools, AP and AR alone": [
            *module, "--folder", str(args.folder), "--pycocotools", str(theirs_path)
        ],
    }  # fmt: skip
    figures = {name: run_side(command) for name, command in sides.items()}
    ours, theirs = json.loads(ours_path.read_text()), json.loads(theirs_path.read_text())
    _refuse_others({name: ours["masks"][name]["value"] for name in theirs}, theirs)
    _print(figures, ours)
    _RESULTS.write_text(
        json.dumps({"cores": len(os.sched_getaffinity(0)), "images": args.images} | figures) + "\n"
    )


def _refuse_others(ours: dict[str, float], theirs: dict[str, float]) -> None:
    apart = {name: (ours[name], theirs[name]) for name in theirs}
    wrong = [name for name, (one, other) in apart.items() if abs(one - other) > _AGREE]
    if wrong:
        raise SystemExit(f"ours and theirs differ: { {name: apart[name] for name in wrong} }")


def _print(figures: dict[str, dict[str, float]], ours: dict[str, Any]) -> None:
    table = Table("", "seconds", "CPU s", "MiB")
    for name, figure in figures.items():
        table.add_row(name, *(f"{figure[each]:,}" for each in ("seconds", "cpu_s", "mib")))
    console = Console()
    console.print(table)
    mine, peer = figures.values()
    values = ", ".join(
        f"{name} {ours['masks'][name]['value']:.4f}" for name in ("ap", "boundary_ap", "pq")
    )
    console.print(
        f"{ours['images']:,} images, {ours['true']:,} true masks, {ours['found']:,} found; {values}"
        f"\npycocotools takes {peer['seconds'] / mine['seconds']:.2f} times as long for AP and AR "
        "as ours for everything"
    )


if __name__ == "__main__":
    main()
