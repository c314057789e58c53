"""`objseek status`: what an index holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.cli.console import err, out, user_errors
from pipeline.cli.options import Load, with_settings

if TYPE_CHECKING:
    from pipeline.manifest.coverage import Coverage
    from pipeline.manifest.manifest import Manifest
    from schemas.options import IndexOptions
    from schemas.pipelines import Pipeline
    from schemas.points import IndexInfo

By = Literal["prefix", "day", "both"]

_HELP = """Tell what an index holds: images by state, objects, models, size on disk.

Below it stands how many images are done, rejected, failed and gone, by
prefix and by day (UTC), and which pipelines live side by side. With sources,
those are told as well that wait for an ingest: new images, and changed ones,
which also count as what their earlier version is.

While an ingest is at work on it, what its manifest knows so far is told.

Examples:

    objseek status --index objseek-index

    objseek status s3://photos/2026/ --index photos-index --depth 2

    objseek status --index http://localhost:6333/photos --json
"""


def register(app: typer.Typer) -> None:
    """Add `status` to the command line."""
    app.command("status", help=_HELP)(with_settings(status, models=False))


@user_errors
def status(
    load: Load,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE...]", help="What is to be ingested: tells what is waiting."
        ),
    ] = None,
    by: Annotated[
        By | None, typer.Option(help="Which images are told together.", show_default="both")
    ] = None,
    depth: Annotated[
        int,
        typer.Option(min=1, max=100, help="Levels of prefixes, below the folder that all are in."),
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, all of it.")] = False,
) -> None:
    """The command; its help stands above."""
    from pipeline.cli.progress_bars import show_progress
    from pipeline.index_home import IndexHome, list_generations
    from pipeline.ingestion.listing import ignore_skipped, list_images
    from pipeline.manifest.coverage import measure_coverage
    from pipeline.progress import Progress

    settings = load()
    home = IndexHome.current(settings)
    info, note = _opened(home.index, home.manifest)
    listed = list_images(sources, home.store, ignore_skipped) if sources else None
    with show_progress(err()) if sources else Progress() as progress:
        progress.note("listing images, to find those that are waiting")
        coverage = measure_coverage(home.manifest, listed, depth)
    told = _report(settings.index.location, coverage, info, note)
    told["kept"] = [asdict(one) for one in list_generations(settings)]
    models = {
        one.fingerprint: home.pipelines.look_up(one.fingerprint) for one in coverage.pipelines()
    }
    if as_json:
        typer.echo(json.dumps(told | _groups(coverage, models), indent=2))
        return
    _print(told)
    from pipeline.cli.status_tables import print_coverage

    print_coverage(out(), coverage, by, models)


def _opened(options: IndexOptions, manifest: Manifest) -> tuple[IndexInfo | None, str]:
    """What the index tells of itself, or a note why only its manifest is told.

    Raises IndexMissingError where there is neither.
    """
    from schemas.errors import IndexBusyError, IndexMissingError
    from workers.indexes.open import open_index

    try:
        with closing(open_index(options, None)) as index:
            return index.info(), ""
    except IndexBusyError:
        return None, "in use by another process; this is what its manifest knows"
    except IndexMissingError:
        if not manifest.has_parts():
            raise
        return None, "nothing has been indexed yet; this is what its manifest knows"


def _report(location: str, coverage: Coverage, info: IndexInfo | None, note: str) -> dict[str, Any]:
    return {
        "index": location,
        "note": note,
        "images": coverage.images(),
        "objects": info.objects if info else coverage.objects(),
        "generations": info.pipelines if info else len(coverage.pipelines()),
        "segmenters": list(info.segmenters) if info else None,
        "embedders": {one.embedder: one.points for one in info.embedders} if info else None,
        "dim": info.dim if info else None,
        "points": info.points if info else None,
        "size_bytes": info.size_bytes if info else None,
        "waiting": coverage.waiting,
    }


def _groups(coverage: Coverage, models: Mapping[str, Pipeline | None]) -> dict[str, Any]:
    """What JSON has of every group, of which a person sees the largest."""

    def named(fingerprint: str) -> dict[str, str | None]:
        made_of = models[fingerprint]
        return {
            "segmenter": made_of.segmenter if made_of else None,
            "embedder": made_of.embedder if made_of else None,
        }

    return {
        "prefixes": coverage.prefixes().to_pylist(),
        "days": coverage.days().to_pylist(),
        "pipelines": [asdict(one) | named(one.fingerprint) for one in coverage.pipelines()],
    }


def _print(told: dict[str, Any]) -> None:
    states = [f"{count:,} {state}" for state, count in told["images"].items() if count]
    if told["waiting"] is not None:
        states.append(f"{told['waiting']:,} waiting")
    lines = {
        "index": told["index"],
        "note": told["note"],
        "images": ", ".join(states) or "none",
        "objects": f"{told['objects']:,}",
        "pipelines": f"{told['generations']:,}",
    }
    if told["dim"] is not None:
        embedders = [f"{name} ({points:,} points)" for name, points in told["embedders"].items()]
        lines |= {
            "segmenter": ", ".join(told["segmenters"]),
            "embedder": ", ".join(embedders),
            "vectors": f"{told['points']:,} of {told['dim']} numbers",
        }
    if len(told["kept"]) > 1:
        kept = (one["name"] + " (in use)" * one["current"] for one in told["kept"])
        lines["kept"] = ", ".join(kept)
    if told["size_bytes"] is not None:
        lines["size"] = f"{told['size_bytes'] / 1e6:,.1f} MB on disk"
    console = out()
    for name, value in lines.items():
        if value:
            console.print(f"{name + ':':<13}{value}", markup=False, soft_wrap=True)
