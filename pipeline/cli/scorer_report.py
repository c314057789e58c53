"""Shows how a scorer of points did that was fitted to a segmenter."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pipeline.cli.console import out, print_line
from pipeline.cli.tables import print_rows
from pipeline.jobs.tune import TunedScorer
from pipeline.messages import quantify

_COLUMNS = ("least score", "prompts an image", "of the grid's", "masks an image", "masks lost")
_FEW_MASKS = 100  # of which one is a share of 1%


def describe_scorer(tuned: TunedScorer) -> dict[str, Any]:
    """The report as JSON has it."""
    trials = tuned.trials
    return {
        "name": tuned.name,
        "path": str(tuned.path),
        "sha256": tuned.sha256,
        **asdict(tuned.origin),
        "images": {
            "fitted": tuned.fitted_images,
            "held_out": trials.images,
            "unreadable": tuned.unreadable,
        },
        "points": tuned.points,
        "yielding_share": round(tuned.yielding_share, 4),
        "grid": {"prompts": trials.grid_prompts, "masks": trials.grid_masks},
        "trials": [
            {**asdict(trial), "lost_share": round(trial.lost_share, 4)} for trial in trials.trials
        ],
        "least_score": tuned.chosen.least_score,
        "seconds": round(tuned.seconds, 1),
    }


def print_scorer(tuned: TunedScorer, max_lost: float) -> None:
    """Print the trials as a table, and notes on them; at most `max_lost` was to be lost."""
    trials, chosen = tuned.trials, tuned.chosen
    images = trials.images
    rows = [("whole grid", f"{trials.grid_prompts / images:,.0f}", "100%",
             f"{trials.grid_masks / images:.1f}", "")]  # fmt: skip
    for trial in trials.trials:
        bound = "no scorer" if trial.least_score is None else f"{trial.least_score:g}"
        rows.append(
            (
                bound + (" (taken)" if trial == chosen else ""),
                f"{trial.prompts / images:,.0f}",
                f"{trial.prompts / trials.grid_prompts:.0%}",
                f"{trial.masks / images:.1f}",
                f"{trial.lost_share:.1%}",
            )
        )
    print_rows(_COLUMNS, rows)
    for line in _list_notes(tuned, max_lost):
        print_line(out(), line)


def _list_notes(tuned: TunedScorer, max_lost: float) -> list[str]:
    trials, chosen = tuned.trials, tuned.chosen
    notes = [
        f"{quantify(tuned.fitted_images, 'image')} fitted to, at {tuned.points:,} points of which "
        f"{tuned.yielding_share:.0%} gave a mask; {trials.images:,} held out, from which the table "
        f"is; {tuned.seconds:.0f} s"
    ]
    if tuned.unreadable:
        notes.append(f"note: {quantify(tuned.unreadable, 'image')} could not be read")
    if trials.grid_masks < _FEW_MASKS:
        notes.append(
            f"note: the images held out show only {quantify(trials.grid_masks, 'mask')}: more "
            "--images would tell the shares better"
        )
    if chosen.lost_share > max_lost:
        notes.append(
            f"note: no bound loses as little as {max_lost:.1%} of the masks; the one that loses "
            "least is taken"
        )
    plain = trials.trials[0]
    if plain.prompts <= chosen.prompts and plain.lost <= chosen.lost:
        notes.append("note: without a scorer --prompts adaptive does as well on these images")
    notes.append(f"scorer  {tuned.name} (sha256 {tuned.sha256[:16]}…), in {tuned.path}")
    notes.append(f"use it  --segmenter {tuned.origin.segmenter} --scorer {tuned.name}")
    return notes
