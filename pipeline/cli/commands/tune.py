"""`objseek tune`: fit to a segmenter which points it need not be asked, or a calibration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

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
    INDEX,
    INDEX_EMBEDDER,
    PRECISION,
    PRESET,
    PROFILE,
    REQUESTER_PAYS,
    SEGMENTER,
    Strict,
)
from pipeline.cli.output_options import AsJson
from pipeline.cli.shared_options import Load, add_options
from schemas.errors import UsageError

with lazy_imports():
    import pipeline.settings
    from pipeline.cli import calibration_report, progress_bars, run_job, scorer_report
    from pipeline.cli.transfer_output import print_left_out
    from pipeline.evaluation import calibration_tuning
    from pipeline.jobs import tune
    from pipeline.search import searcher as searchers
    from schemas import coco_reader

_HELP = """Fit a scorer of points to a segmenter, or with --truth a calibration to an embedder.

With a SOURCE: where would the segmenter find nothing? It is asked at every point of its grid on a
sample of a source's images. From its own answers, without labels, a small network learns where in
an image nothing would be found, so that adaptive prompts leave out more. It is tried on a fifth of
the images, to which it was not fitted: the table says how many prompts it leaves and how many of
the whole grid's masks are lost, without a scorer and with it at several bounds. Of the bounds that
lose at most --max-lost the one with the fewest prompts is taken. It holds for this segmenter, with
these weights, and for thresholds that are no lower than those it was fitted with.

With --truth: how likely is a hit right? The index holds labelled images; the file has their objects
in COCO's instances format, as for `objseek eval --truth`. Fitted are how likely hits of texts,
labels and similar objects are right, from when on they are called likely, and the weights by which
objects rank for a text. Each third of the images is held out of a fit to the other two: the table
says how search does on them, before and after. 30 images with objects of 10 names are the least;
hundreds tell it well. It holds for this embedder, with these weights.

Both are kept under a name beside the weights (the setting cache_dir).

Examples:

    objseek tune ~/Pictures --segmenter sam_vit_b

    objseek tune s3://photos/2026/ --segmenter sam_vit_h --device cuda --images 300 --name photos

    objseek ingest s3://photos/2026/ --segmenter sam_vit_h --scorer photos

    objseek tune --truth annotations.json --index photos-index --name photos

    objseek search "a red apple" --index photos-index --calibration photos
"""
_OPTIONS = (
    CONFIG, INDEX, INDEX_EMBEDDER, SEGMENTER, DEVICE, PRESET, PRECISION,
    ENDPOINT_URL, PROFILE, ANONYMOUS, REQUESTER_PAYS, INCLUDE, EXCLUDE,
)  # fmt: skip

_OF_SCORERS = (
    "images", "max_lost", "segmenter", "preset", "precision", "include", "exclude", "endpoint_url",
    "profile", "anonymous", "requester_pays",
)  # fmt: skip
_OF_CALIBRATIONS = ("index", "embedder", "strict")


def register(app: typer.Typer) -> None:
    """Add `tune` to the command line."""
    app.command("tune", help=_HELP)(tune_command)


@add_options(*_OPTIONS)
@user_errors
def tune_command(
    load: Load,
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE", help="s3://bucket/prefix, a folder or a glob, to fit a scorer."
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Ground truth in COCO format of an --index, to fit a calibration."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="What it is kept as.", show_default="after the model and the source or file"
        ),
    ] = None,
    # As pipeline.jobs.tune has them, which takes seconds to import; a test holds them equal.
    images: Annotated[int, typer.Option(min=5, help="Of a scorer: how many images to ask.")] = 100,
    max_lost: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Of a scorer: the share of the grid's masks that may be lost."
        ),
    ] = 0.05,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    if (source is None) == (truth is None):
        raise UsageError(
            "expected either `tune SOURCE` for a scorer or `tune --truth FILE --index INDEX` for a "
            "calibration"
        )
    if truth is not None:
        _refuse(context, "--truth", _OF_SCORERS)
        _tune_calibration(truth, load(), name, strict=strict, as_json=as_json)
        return
    _refuse(context, "SOURCE", _OF_CALIBRATIONS)
    settings = load()
    run_job.prepare_models(settings)
    options = tune.TuneOptions(name, images, max_lost)
    tuned = tune.tune_scorer(source or "", settings, options, progress_bars.show_progress(err()))
    if as_json:
        described = scorer_report.describe_scorer(tuned)
        print_line(out(), json.dumps({"scorer": described}, indent=1))
    else:
        scorer_report.print_scorer(tuned, max_lost)


def _refuse(context: typer.Context, beside: str, names: Sequence[str]) -> None:
    """Raise UsageError for an option that was given and is of the other kind of fit."""
    for name in names:
        given = context.get_parameter_source(name)
        if given is not None and given.name == "COMMANDLINE":
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"expected no {flag} beside {beside}, which has no use for it")


def _tune_calibration(
    truth: Path,
    settings: pipeline.settings.Settings,
    name: str | None,
    *,
    strict: bool,
    as_json: bool,
) -> None:
    loaded = coco_reader.load_truth(truth, strict=strict)
    print_left_out(loaded.left_out)
    report = calibration_tuning.tune_calibration(
        loaded, settings, name or _name_calibration(truth, settings),
        progress_bars.show_progress(err()),
    )  # fmt: skip
    if as_json:
        described = calibration_report.describe_calibration(report)
        print_line(out(), json.dumps({"calibration": described}, indent=1))
    else:
        calibration_report.print_calibration(report, settings.index.location)


def _name_calibration(truth: Path, settings: pipeline.settings.Settings) -> str:
    with searchers.Searcher.open(settings) as searcher:
        return calibration_tuning.name_calibration(searcher.embedder_name, truth)
