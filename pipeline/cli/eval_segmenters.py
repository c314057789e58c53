"""`objseek eval demo --segmenters`: what segmenters find on fresh scenes, side by side."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import asdict
from functools import partial

from pipeline.cli.console import out
from pipeline.cli.figures_file import FiguresTarget, write_figures
from pipeline.cli.fresh_scenes import FreshScenes, compose_scenes
from pipeline.cli.tables import print_rows
from pipeline.demo.groups import GROUPS, find_groups
from pipeline.evaluation.segmenter_scores import SegmenterScores, score_segmenter
from pipeline.settings import Settings
from schemas.coco import CocoAnnotation, CocoImage, CocoTruth
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from workers.models import catalog
from workers.registry import build_segmenter
from workers.segmenter_protocols import BoxSegmenter, Segmenter

ALL = "all"
SEGMENTERS = ("sam_demo", "sam_demo:grid", "maskrcnn_demo", "segformer_demo", "boxes", "grid")
"""Those of which a table makes sense without any download; after the colon: its prompts."""
_COLUMNS = (
    "segmenter",
    "AP of groups",
    "AP of masks",
    "objects found",
    "mean IoU",
    "group right",
    "masks",
    "seconds",
)


def list_segmenters(names: str) -> list[str]:
    """The names of a list with commas, or all. Raises UnknownModelError, UsageError."""
    wanted = list(SEGMENTERS) if names == ALL else [name.strip() for name in names.split(",")]
    for name in wanted:
        name, _, prompts = name.partition(":")
        catalog.find(name, "segmenter")
        if prompts not in ("", "grid", "adaptive"):
            raise UsageError(f"expected {name}:grid or {name}:adaptive, got {name}:{prompts}")
    return wanted


def measure(names: str, scenes: int, seed: int, settings: Settings, target: FiguresTarget) -> None:
    """Print the table, and write its figures to a file. Raises UsageError, ModelError."""
    started = time.monotonic()
    wanted = list_segmenters(names)
    scores: dict[str, SegmenterScores] = {}
    with compose_scenes(scenes, seed) as composed:
        group_of = _group_categories(composed.truth)
        for name in wanted:
            segmenter = _build(name, settings)
            _find(segmenter, composed.read(composed.truth.images[0]), [])  # what is compiled first
            find = partial(_find_timed, segmenter, composed)
            scores[name] = score_segmenter(composed.truth, find, group_of)
    seconds = time.monotonic() - started
    print_rows(_COLUMNS, [(name, *_show(score)) for name, score in scores.items()])
    objects = len(composed.truth.annotations)
    out().print(f"{objects:,} objects in {scenes:,} images, {seconds:.0f} s")
    figures = {name: asdict(score) for name, score in scores.items()}
    write_figures({"segmenters": figures}, seconds, target)


def _group_categories(truth: CocoTruth) -> dict[Hashable, str]:
    groups = find_groups([category.name for category in truth.categories])
    return {
        category.id: GROUPS[group] for category, group in zip(truth.categories, groups, strict=True)
    }


def _build(name: str, settings: Settings) -> Segmenter:
    name, _, prompts = name.partition(":")
    options = settings.segmenter.model_copy(update={"name": name, "prompts": prompts or None})
    return build_segmenter(options, settings.cache_dir)


def _find_timed(
    segmenter: Segmenter,
    scenes: FreshScenes,
    image: CocoImage,
    annotations: Sequence[CocoAnnotation],
) -> tuple[list[ObjectMask], float]:
    pixels = scenes.read(image)
    started = time.perf_counter()
    masks = _find(segmenter, pixels, annotations)
    return masks, time.perf_counter() - started


def _find(
    segmenter: Segmenter, pixels: UInt8Image, annotations: Sequence[CocoAnnotation]
) -> list[ObjectMask]:
    """Of `boxes`, which finds nothing by itself, the true boxes, filled."""
    if segmenter.name == "boxes":
        assert isinstance(segmenter, BoxSegmenter)
        corners = [(annotation.bbox[:2], annotation.bbox[2:]) for annotation in annotations]
        boxes = [(float(x), float(y), float(x + w), float(y + h)) for (x, y), (w, h) in corners]
        return segmenter.segment_with_boxes([pixels], [boxes])[0]
    return segmenter.segment([pixels])[0]


def _show(score: SegmenterScores) -> tuple[str, ...]:
    shares = (
        score.ap,
        score.ap_unlabelled,
        score.object_recall_50,
        score.mean_iou,
        score.class_accuracy,
    )
    shown = ("-" if share is None else f"{share:.3f}" for share in shares)
    return (*shown, f"{score.masks:.1f}", f"{score.seconds:.2f}")
