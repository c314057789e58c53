"""`objseek demo`: the whole job on a bucket that it makes itself."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.console import EXIT_FAILED, err, out, user_errors
from pipeline.cli.tables import print_rows

if TYPE_CHECKING:
    from pipeline.demo.run import DemoSummary
    from pipeline.settings import Settings

_HELP = """Compose a bucket of scenes, ingest it with the bundled models, and search it.

The scenes are served over S3 on loopback when moto is installed, else read from their folder.
Running it again embeds nothing anew, so that more texts are answered, with pictures, in seconds.

Examples:

    objseek demo

    objseek demo "a house" "something to eat"

    objseek demo --serve

    objseek demo --out /tmp/demo --scenes 12 --runner local
"""
_FOLDER, _SCENES, _SEED = Path("demo"), 60, 11
Scenes = Annotated[int, typer.Option(min=1, help="How many images to compose.")]
Seed = Annotated[int, typer.Option(help="Another seed composes other scenes.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that run the models.")]
Runner = Annotated[Literal["ray", "local"], typer.Option(help="local: all in one process.")]


def register(app: typer.Typer) -> None:
    """Add `demo` to the command line."""
    app.command("demo", help=_HELP)(demo)


@user_errors
def demo(
    texts: Annotated[
        list[str] | None, typer.Argument(help="What to look for, instead of the demo's own.")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Where everything is written.")] = _FOLDER,
    scenes: Scenes = _SCENES,
    seed: Seed = _SEED,
    workers: Workers = 2,
    runner: Runner = "ray",
    serving: Annotated[
        bool, typer.Option("--serve", help="Then search it from a browser, until Ctrl-C.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="With --serve: the port; 0: a free one.")
    ] = 8765,
) -> None:
    """The command; its help stands above."""
    from pipeline.cli.progress_bars import show_progress
    from pipeline.demo.run import DemoOptions, run_demo

    def then(summary: DemoSummary, settings: Settings) -> None:
        _print(summary)
        if serving:
            _serve(settings, port)

    progress = show_progress(err())
    demo = DemoOptions(folder, scenes, seed, runner, workers, texts or ())
    summary = run_demo(demo, progress, then)
    given = (("--out", folder, _FOLDER), ("--scenes", scenes, _SCENES), ("--seed", seed, _SEED))
    options = [f" {name} {value}" for name, value, default in given if value != default]
    again = f'{_program()} demo "a house"{"".join(options)}'
    out().print(f"Ask more, with pictures: {again}", soft_wrap=True)
    if not serving:
        out().print(f"In a browser: {_program()} demo --serve{''.join(options)}", soft_wrap=True)
    if summary.ingest.counts.failed:
        raise typer.Exit(EXIT_FAILED)


def _serve(settings: Settings, port: int) -> None:
    from pipeline.cli.commands.serve import announced
    from pipeline.service.server import serve

    options = settings.serve.model_copy(update={"port": port})
    settings = settings.model_copy(update={"serve": options})
    serve(settings, listening=announced(settings))


def _program() -> str:
    """How the user can call objseek here: by its name, or by the path of a `make demo`."""
    if shutil.which("objseek"):
        return "objseek"
    return os.path.relpath(sys.argv[0])


def _print(summary: DemoSummary) -> None:
    console, counts = out(), summary.ingest.counts
    if counts.handled:
        console.print(
            f"{counts.done:,} images with {counts.objects:,} objects in "
            f"{summary.ingest.seconds:.0f} s ({summary.ingest.images_per_s:.2f} images/s)"
        )
    else:
        console.print(f"{counts.unchanged:,} images were ingested before: nothing to do")
    rows = [
        (
            f"{answer.hits}",
            f"{answer.best_score:.3f}",
            f"{answer.seconds * 1000:.0f}",
            answer.query,
            str(answer.sheet),
        )
        for answer in summary.answers
    ]
    print_rows(("hits", "best score", "ms", "query", "contact sheet"), rows, right=3)
    places = {"images": summary.bucket, "index": summary.index, "contact sheets": summary.sheets}
    for name, place in places.items():
        console.print(f"{name + ':':<16}{place}", soft_wrap=True)
    console.print("The demo models know emoji scenes only; `objseek models` lists the real ones.")
