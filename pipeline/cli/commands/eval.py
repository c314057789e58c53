"""`objseek eval`: score an index against ground truth."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.commands.demo import Runner, Scenes, Seed, Workers
from pipeline.cli.console import err, out, user_errors
from workers.durable_files import check_output_file

if TYPE_CHECKING:
    from pipeline.evaluation.scores import Scores
    from pipeline.settings import Settings

_HELP = """Score an index against ground truth: are the objects found, and does search find them?

`eval demo` composes a validation set of drawings that no training has seen and ingests it first.
With --truth, any index of labelled images is scored; the file is in COCO's instances format.

Examples:

    objseek eval demo --scenes 200 --json scores.json

    objseek eval --truth annotations.json --index objseek-index
"""
_ROWS = {
    "object_recall_50": "objects found at IoU >= 0.5",
    "object_recall_75": "objects found at IoU >= 0.75",
    "mean_iou": "mean IoU of the found",
    "label_r1": "label to object, first hit",
    "label_r10": "label to object, first 10",
    "keyword_r1": "keyword to object, first hit",
    "keyword_r10": "keyword to object, first 10",
    "hybrid_label_r1": "label to object with words, first hit",
    "hybrid_label_r10": "label to object with words, first 10",
    "hybrid_keyword_r1": "keyword to object with words, first hit",
    "hybrid_keyword_r10": "keyword to object with words, first 10",
    "present_weak": "what is there is called weak",
    "absent_weak": "what is not there is called weak",
    "similar_r10": "object to object of another style, first 10",
}


def register(app: typer.Typer) -> None:
    """Add `eval` to the command line."""
    app.command("eval", help=_HELP)(evaluate)


@user_errors
def evaluate(
    what: Annotated[
        Literal["demo"] | None, typer.Argument(help="demo: a fresh validation set.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="Ground truth in COCO format.")] = None,
    index: Annotated[
        str | None, typer.Option(help="A folder, or http(s)://host:6333/collection.")
    ] = None,
    scenes: Scenes = 200,
    seed: Seed = 2024,
    workers: Workers = 2,
    runner: Runner = "ray",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file, TOML.")] = None,
) -> None:
    """The command; its help stands above."""
    import time

    from pipeline.settings import load_settings
    from schemas.errors import UsageError

    if (what is None) == (truth is None):
        raise UsageError("expected either `eval demo` or `eval --truth FILE --index INDEX`")
    if json_file is not None:
        check_output_file(json_file, "the figures")
    started = time.monotonic()
    if truth is not None:
        settings = load_settings(config, {"index": {"location": index}})
        scores = _score(truth, settings)
    else:
        from pipeline.demo.run import CHUNK_IMAGES

        parts = {"name": runner, "workers": workers, "batch_size": CHUNK_IMAGES}
        overrides = {"runner": parts}
        scores = _demo(scenes, seed, load_settings(config, overrides))
    seconds = time.monotonic() - started
    _print(scores, seconds)
    if json_file is not None:
        figures = {**asdict(scores), "seconds": round(seconds, 1)}
        try:
            json_file.write_text(json.dumps(figures, indent=1) + "\n")
        except OSError as exc:
            raise UsageError(
                f"the figures cannot be written to {json_file}: {exc.strerror}"
            ) from exc


def _score(truth: Path, settings: Settings) -> Scores:
    from pipeline.evaluation.scores import score
    from pipeline.search.searcher import Searcher
    from schemas.coco import load_truth
    from workers.registry import build_text_embedder

    loaded = load_truth(truth)
    with Searcher.open(settings) as searcher:
        options = settings.embedder.model_copy(update={"name": searcher.embedder_name})
        return score(
            loaded, searcher.index, build_text_embedder(options).embed_texts, searcher.embedder_name
        )


def _demo(scenes: int, seed: int, settings: Settings) -> Scores:
    from tempfile import TemporaryDirectory

    from pipeline.cli.progress_bars import show_progress
    from pipeline.demo.bucket import TRUTH_FILE, write_bucket
    from pipeline.jobs.ingest import ingest

    with TemporaryDirectory(prefix="objseek-eval-") as name:
        folder = Path(name)
        progress = show_progress(err())
        progress.note(f"composing {scenes} scenes")
        write_bucket(folder, scenes, seed)
        index = settings.index.model_copy(update={"location": str(folder / "index")})
        settings = settings.model_copy(update={"index": index})
        ingest([str(folder / "scenes")], settings, progress)
        return _score(folder / TRUTH_FILE, settings)


def _print(scores: Scores, seconds: float) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("figure")
    table.add_column("score", justify="right")
    figures = asdict(scores)
    for key, name in _ROWS.items():
        value = figures[key]
        table.add_row(name, "n/a" if value is None else f"{value:.3f}")
    console = out()
    console.print(table)
    console.print(
        f"{scores.objects:,} objects that count in {scores.images:,} images, {seconds:.0f} s"
    )
