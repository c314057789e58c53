"""`objseek tune`: fit what makes adaptive prompts cheaper to a segmenter and one's own images."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.console import err, out, print_line, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import (
    ANONYMOUS,
    CONFIG,
    DEVICE,
    ENDPOINT_URL,
    EXCLUDE,
    INCLUDE,
    PRECISION,
    PRESET,
    PROFILE,
    REQUESTER_PAYS,
    SEGMENTER,
    AsJson,
    Load,
    add_options,
)
from pipeline.cli.tables import print_rows
from pipeline.messages import quantify

if TYPE_CHECKING:
    import pipeline.jobs.tune

with lazy_imports():
    from pipeline.cli import progress_bars, run_job
    from pipeline.jobs import tune

_HELP = """Fit a scorer of points to a segmenter, so that adaptive prompts leave out more.

The segmenter is asked at every point of its grid on a sample of a source's images. From its own
answers, without labels, a small network learns where in an image nothing would be found. It is
tried on a fifth of the images, to which it was not fitted: the table says how many prompts it
leaves and how many of the whole grid's masks are lost, without a scorer and with it at several
bounds. Of the bounds that lose at most --max-lost the one with the fewest prompts is taken.

The scorer is kept beside the weights (the setting cache_dir). It holds for this segmenter, with
these weights, and for thresholds that are no lower than those it was fitted with.

Examples:

    objseek tune ~/Pictures --segmenter sam_vit_b

    objseek tune s3://photos/2026/ --segmenter sam_vit_h --device cuda --images 300 --name photos

    objseek ingest s3://photos/2026/ --segmenter sam_vit_h --scorer photos
"""
_COLUMNS = ("least score", "prompts an image", "of the grid's", "masks an image", "masks lost")
_FEW_MASKS = 100  # of which one is a share of 1%
_OPTIONS = (
    CONFIG, SEGMENTER, DEVICE, PRESET, PRECISION,
    ENDPOINT_URL, PROFILE, ANONYMOUS, REQUESTER_PAYS, INCLUDE, EXCLUDE,
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `tune` to the command line."""
    app.command("tune", help=_HELP)(tune_command)


@add_options(*_OPTIONS)
@user_errors
def tune_command(
    load: Load,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="s3://bucket/prefix, a folder or a glob.")
    ],
    name: Annotated[
        str | None,
        typer.Option(
            help="What the scorer is kept as.", show_default="after the segmenter and the source"
        ),
    ] = None,
    # As pipeline.jobs.tune has them, which takes seconds to import; a test holds them equal.
    images: Annotated[int, typer.Option(min=5, help="How many images to ask.")] = 100,
    max_lost: Annotated[
        float,
        typer.Option(min=0, max=1, help="The share of the grid's masks that may be lost."),
    ] = 0.05,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    settings = load()
    run_job.prepare_models(settings)
    options = tune.TuneOptions(name, images, max_lost)
    tuned = tune.tune_scorer(source, settings, options, progress_bars.show_progress(err()))
    if as_json:
        print_line(out(), json.dumps({"scorer": _describe(tuned)}, indent=1))
    else:
        _print_report(tuned, max_lost)


def _describe(tuned: pipeline.jobs.tune.TunedScorer) -> dict[str, Any]:
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


def _print_report(tuned: pipeline.jobs.tune.TunedScorer, max_lost: float) -> None:
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


def _list_notes(tuned: pipeline.jobs.tune.TunedScorer, max_lost: float) -> list[str]:
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
