"""The script, a plain loop over our own workers and objseek on Ray, in turns on one bucket.

Unless all masks have their match at an IoU of 0.99 both ways and matched vectors agree to a cosine
of 0.99, no ratio is told. All sides compute in float32; where this CPU is faster in bfloat16,
objseek runs once more in that, and the share of masks with a match at 0.9 is printed beside it.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam

from bench.bucket import BUCKET, put_images, settings_for
from bench.bundled import bundled_clip, bundled_sam
from bench.parity import OURS_OFF, Parity, ious, parity
from bench.script import Found, Script
from pipeline.index_home import manifest_folder
from pipeline.ingestion.listing import ignore_skipped, list_chunks
from pipeline.ingestion.writer import Writer
from pipeline.jobs.ingest import ingest
from pipeline.manifest.manifest import Manifest
from pipeline.runners.model_worker import ModelWorker
from pipeline.runners.recipe import build_recipe
from pipeline.settings import Settings
from schemas.ids import revision_by
from schemas.options import IndexOptions
from schemas.work import only_final
from workers.indexes.open import open_index
from workers.segmenters.parameters import POINTS_ON_A_CPU
from workers.segmenters.sam_demo import DEFAULTS

_MIN_COSINE = 0.99
_ALIKE_IOU = 0.9
# The package is faster so on a CPU than in its own batches of 64.
_SMALL_BATCHES = {"points_per_batch": POINTS_ON_A_CPU}


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One segmenter on both sides: `sam` for the script, settings of `segmenter` for ours."""

    sam: Sam
    segmenter: Mapping[str, Any]
    parameters: Mapping[str, Any]  # of SamAutomaticMaskGenerator


def demo_case(points_per_side: int) -> Case:
    """The bundled model at its own settings but for the grid."""
    parameters = {**DEFAULTS, **_SMALL_BATCHES, "points_per_side": points_per_side}
    shared = {name: value for name, value in parameters.items() if name not in OURS_OFF}
    return Case(bundled_sam(), {"name": "sam_demo"}, shared)


def vit_b_case(points_per_side: int, folder: Path) -> Case:
    """Weights of `sam_vit_b`'s shape, drawn at random and put into a checkpoint in `folder`.

    Random weights find no objects; so that masks have areas and depend on the prompt, queries and
    keys are larger and the four pixels that upscaling makes of one are the same. Thresholds keep
    a few of them, and nothing is removed as a duplicate: nearly all boxes are the whole image.
    """
    torch.manual_seed(0)
    sam = sam_model_registry["vit_b"]()
    for name, weights in sam.mask_decoder.named_parameters():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            weights.data *= 2
        elif name in ("output_upscaling.0.weight", "output_upscaling.3.weight"):
            weights.data[:] = 2 * weights.data.mean((2, 3), keepdim=True)
    checkpoint = folder / "sam_vit_b.pth"
    torch.save(sam.state_dict(), checkpoint)
    parameters = {
        **_SMALL_BATCHES,
        "points_per_side": points_per_side,
        "pred_iou_thresh": 0.12,
        "stability_score_thresh": 0.0,
        "box_nms_thresh": 1.0,
    }
    return Case(sam.eval(), {"name": "sam_vit_b", "checkpoint": str(checkpoint)}, parameters)


def against_the_script(
    console: Console,
    client: Any,
    case: Case,
    work: Path,
    *,
    images: int,
    rounds: int,
    cores: int,
    bf16: bool,
) -> dict[str, Any]:
    """Ratios, parity and what was counted; `bf16`: in bfloat16 as well."""
    work.mkdir()
    keys = put_images(client, work.name, images)
    source = f"s3://{BUCKET}/{work.name}/"
    script = Script(case.sam, bundled_clip(), case.parameters)
    grid = {"prompts": "grid", **case.segmenter, **case.parameters, **OURS_OFF}
    here, ray = {"name": "local"}, {"workers": cores}
    worker = ModelWorker(build_recipe(settings_for(work, here, grid, "fp32")))
    ratios: dict[str, list[float]] = defaultdict(list)
    match, alike = Parity(), Parity()
    for number in range(rounds):
        times: dict[str, float] = {}
        with _timed(times, "script"):
            theirs = script.run(client, BUCKET, keys)
        settings = settings_for(work / f"loop-{number}", here, grid, "fp32")
        with _timed(times, "loop"):
            _plain_loop(worker, settings, source)
        _checked(theirs, _indexed(settings.index))
        settings = settings_for(work / f"ray-{number}", ray, grid, "fp32")
        times["objseek"] = _seconds_of_ingest(source, settings)
        match += _checked(theirs, _indexed(settings.index))
        if bf16:
            settings = settings_for(work / f"bf16-{number}", ray, grid, "bf16")
            times["objseek in bf16"] = _seconds_of_ingest(source, settings)
            found = _indexed(settings.index)
            for key, wanted in theirs.items():
                alike += parity(list(wanted), list(found[key]), _ALIKE_IOU)
            ratios["script_ratio_bf16"].append(times["script"] / times["objseek in bf16"])
        ratios["script_ratio"].append(times["script"] / times["objseek"])
        ratios["loop_ratio"].append(times["loop"] / times["objseek"])
        summary = ", ".join(f"{side} {seconds:.1f} s" for side, seconds in times.items())
        console.print(f"round {number + 1} of {rounds}: {summary}")
    table = Table(f"{grid['name']}, objects a second", "median", "least", box=None)
    figures: dict[str, Any] = {}
    for name, values in ratios.items():
        figures[name] = round(statistics.median(values), 3)
        figures[f"{name}_min"] = round(min(values), 3)
        table.add_row(name, f"{figures[name]:.2f}", f"{figures[f'{name}_min']:.2f}")
    console.print(table)
    console.print(f"{match.ours // rounds} objects, {match.matched_share:.2%} matched both ways")
    if bf16:
        console.print(f"in bf16 {alike.matched_share:.2%} at an IoU of {_ALIKE_IOU}")
        figures["objects_alike_bf16"] = round(alike.matched_share, 5)
    return figures | {
        "objects_match": round(match.matched_share, 5),
        "objects": match.ours // rounds,
        "images": images,
        "points_per_side": grid["points_per_side"],
    }


@contextmanager
def _timed(times: dict[str, float], side: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    times[side] = time.perf_counter() - started


def _seconds_of_ingest(source: str, settings: Settings) -> float:
    """Beyond the fixed start, which is told apart."""
    summary = ingest([source], settings)
    return summary.counts.handled / summary.images_per_s


def _plain_loop(worker: ModelWorker, settings: Settings, source: str) -> None:
    """Our own workers, one image after the other, nothing beside them."""
    reader = build_recipe(settings).reader
    listed = list_chunks([source], settings.store, 1, None, ignore_skipped)
    manifest = Manifest(manifest_folder(settings.index.location))
    with (
        closing(open_index(settings.index, worker.info.dim, create=True)) as index,
        Writer(
            index,
            manifest,
            revision_by(worker.info.fingerprint),
            on_written=lambda results: None,
            run_started_at=datetime.now(UTC),
            new_index=True,
        ) as writer,
    ):
        for refs in listed:
            writer.add(only_final(worker.process(reader(refs))))


def _indexed(options: IndexOptions) -> Found:
    """What an ingest has written, as the script's result."""
    found: Found = {}
    with closing(open_index(options, None)) as index:
        for point in index.scroll():
            payload = point.parse_payload()
            vectors = found.setdefault(Path(payload.key).name, {})
            if payload.rle is not None:
                identity = uuid.UUID(point.id)
                vectors[payload.rle.to_rle()] = index.stored([identity])[identity].vector
    return found


def _checked(theirs: Found, ours: Found) -> Parity:
    """How many masks have their match. Raises SystemExit where the outputs do not agree."""
    if theirs.keys() != ours.keys():
        raise SystemExit("the images differ: no speed is told")
    total, least = Parity(), 1.0
    for name, wanted in theirs.items():
        got = ours[name]
        total += parity(list(wanted), list(got))
        vectors = list(got.values())
        for vector, near in zip(wanted.values(), ious(wanted, got), strict=True):
            if near.size and near.max() >= 0.99:
                least = min(least, float(vector @ vectors[near.argmax()]))
    if not total.ours or total.matched_share < 1 or least < _MIN_COSINE:
        raise SystemExit(f"the outputs do not agree, so no speed is told: {total}, {least:.4f}")
    return total
