"""`objseek eval prompts`: what a segmenter answers to clicks and boxes on a fresh set of scenes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict

from pipeline.cli.console import out
from pipeline.cli.figures_file import FiguresTarget, write_figures
from pipeline.cli.fresh_scenes import compose_scenes
from pipeline.cli.tables import print_rows
from pipeline.evaluation.prompts import CORRECTIONS, GENERATED, PromptScore, score_prompts
from pipeline.settings import Settings
from schemas.errors import UsageError
from workers.registry import build_segmenter
from workers.segmenter_protocols import PromptableSegmenter

_COLUMNS = ("prompt", "IoU >= 0.5", "IoU >= 0.8", "mean IoU")
_CLICKS = {
    "click": "one click at the innermost point",
    **{
        f"corrected_{number}": f"corrective clicks after it: {number}"
        for number in range(1, CORRECTIONS + 1)
    },
}
_BOXES = {
    "tight_box": "tight box",
    "box_25": "box wider by 25% at each side",
    "box_50": "box wider by 50% at each side",
}
ROWS = {
    **_CLICKS,
    **_BOXES,
    **{name + GENERATED: f"{text}, best mask found" for name, text in _BOXES.items()},
}


def measure(scenes: int, seed: int, settings: Settings, target: FiguresTarget) -> None:
    """Print the table, and write its figures to a file. Raises UsageError, ModelError."""
    started = time.monotonic()
    segmenter = build_segmenter(settings.segmenter, settings.cache_dir)
    if not isinstance(segmenter, PromptableSegmenter):
        raise UsageError(f"expected a segmenter that takes clicks and boxes, got {segmenter.name}")
    with compose_scenes(scenes, seed) as composed:
        scores = score_prompts(composed.truth, composed.read, segmenter, segmenter, composed.count)
    seconds = time.monotonic() - started
    _print_scores(scores, scenes, seconds)
    figures = {name: asdict(score) for name, score in scores.items()}
    write_figures({"prompts": figures}, seconds, target)


def _print_scores(scores: Mapping[str, PromptScore], scenes: int, seconds: float) -> None:
    rows = [
        (
            text,
            _show_share(score.share_50, score.interval_50),
            _show_share(score.share_80, score.interval_80),
            f"{score.mean_iou:.3f}",
        )
        for name, text in ROWS.items()
        if (score := scores.get(name)) is not None
    ]
    print_rows(_COLUMNS, rows)
    objects = max((score.objects for score in scores.values()), default=0)
    out().print(f"{objects:,} objects prompted in {scenes:,} images, {seconds:.0f} s")


def _show_share(share: float, interval: tuple[float, float]) -> str:
    return f"{share:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"
