"""`objseek demo`: the whole job on a bucket that it makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.commands.serve import announce_address
from pipeline.cli.console import EXIT_FAILED, err, user_errors
from pipeline.cli.demo_options import DemoRunner, DemoWorkers, Seed
from pipeline.cli.lazy_imports import lazy_imports
from schemas.errors import UsageError
from workers.indexes.location import PLACES

with lazy_imports():
    import pipeline.settings
    from pipeline.cli import demo_output, demo_service, progress_bars, search_examples
    from pipeline.demo import run as demo_run
    from pipeline.service import server

_HELP = """Compose a bucket of scenes, ingest it with the bundled models, and search it.

With --video it draws short clips instead, in which objects move, and finds when they are seen.

The scenes are served over S3 on loopback if moto is installed, else read from their folder.
Running it again embeds nothing anew, so more texts are answered, with pictures, in seconds.

Examples:

    objseek demo

    objseek demo "a house" "something to eat"

    objseek demo --video

    objseek demo --serve

    objseek demo --out /tmp/demo --scenes 12 --runner ray

    objseek demo --index lance+file:///tmp/demo-table
"""
_FOLDER, _SCENES, _SEED = Path("demo"), 60, 11
_VIDEO_FOLDER, _CLIPS = Path("demo-video"), 4


def register(app: typer.Typer) -> None:
    """Add `demo` to the command line."""
    app.command("demo", help=_HELP)(demo_command)


@user_errors
def demo_command(
    texts: Annotated[
        list[str] | None, typer.Argument(help="What to search for, instead of the demo's own.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Where everything is written.",
            show_default=f"{_FOLDER}, of clips {_VIDEO_FOLDER}",
        ),
    ] = None,
    scenes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many images, or clips, to compose.",
            show_default=f"{_SCENES}, of clips {_CLIPS}",
        ),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(
            "--index",
            "-i",
            help=f"Where the index is made: {PLACES}.",
            show_default="in the folder of --out",
        ),
    ] = None,
    video: Annotated[
        bool, typer.Option("--video", help="Draw clips of six seconds in place of images.")
    ] = False,
    seed: Seed = _SEED,
    workers: DemoWorkers = 2,
    runner: DemoRunner = "local",
    serving: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Serve it to a browser, until Ctrl-C: at once, with what is found so far.",
        ),
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="With --serve: the port; 0: a free one.")
    ] = 8765,
) -> None:
    """The command; its help stands above."""
    # It searches at its end: what cannot be searched for is told before.
    search_examples.parse_texts(texts)
    usual = _VIDEO_FOLDER if video else _FOLDER
    folder, count = folder or usual, scenes or (_CLIPS if video else _SCENES)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"expected a folder to write the demo to, got the file {folder}")

    def finish(summary: demo_run.DemoSummary, settings: pipeline.settings.Settings) -> None:
        demo_output.print_demo(summary)
        if serving:
            server.serve(
                _with_port(settings, port), listening=announce_address(settings.index.location)
            )

    progress = progress_bars.show_progress(err())
    options = demo_run.DemoOptions(folder, count, seed, runner, workers, texts or (), video, index)
    if serving and not texts:
        # The page shows what is found while it is found.
        with demo_run.open_bucket(options, progress) as opened:
            demo_service.serve_and_ingest(
                _with_port(opened.settings, port), opened.source, progress
            )
        return
    summary = demo_run.run_demo(options, progress, finish)
    given = (
        ("--out", folder, usual),
        ("--index", index, None),
        ("--scenes", scenes, None),
        ("--seed", seed, _SEED),
    )
    others = [f" {name} {value}" for name, value, default in given if value != default]
    others = [" --video", *others] if video else others
    demo_output.print_next_steps("".join(others), serving=serving)
    if summary.ingest.counts.failed:
        raise typer.Exit(EXIT_FAILED)


def _with_port(settings: pipeline.settings.Settings, port: int) -> pipeline.settings.Settings:
    options = settings.serve.model_copy(update={"port": port})
    return settings.model_copy(update={"serve": options})
