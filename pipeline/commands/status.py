"""`objseek status`: what an index holds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.commands.options import Config, Index, StatePlace
from pipeline.console import out, user_errors

if TYPE_CHECKING:
    from schemas.manifest import ManifestRow
    from schemas.search import IndexInfo

_HELP = """Tell what an index holds: images by state, objects, models, size on disk.

While an ingest is at work on it, what its manifest knows so far is told.

Examples:

    objseek status --index objseek-index

    objseek status --index http://localhost:6333/photos --json
"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a manifest knows: images by state, and the objects of those that are done."""

    done: int = 0
    rejected: int = 0
    failed: int = 0
    gone: int = 0
    objects: int = 0
    generations: int = 0


def register(app: typer.Typer) -> None:
    """Add `status` to the command line."""
    app.command("status", help=_HELP)(status)


@user_errors
def status(
    index: Index = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    state: StatePlace = None,
    config: Config = None,
) -> None:
    """The command; its help stands above."""
    from pipeline.generations import at_current
    from pipeline.manifest import open_manifest
    from pipeline.settings import load_settings
    from schemas.errors import IndexBusyError, IndexMissingError
    from workers.indexes import open_index

    settings = load_settings(config, {"index": {"location": index, "state": state}})
    options = at_current(settings).index
    recorded = recorded_in(open_manifest(options, settings.store).latest())
    info, note = None, ""
    try:
        opened = open_index(options, None)
        try:
            info = opened.info()
        finally:
            opened.close()
    except IndexBusyError:
        note = "in use by another process; this is what its manifest knows"
    except IndexMissingError:
        if recorded == Recorded():
            raise
        note = "nothing has been indexed yet; this is what its manifest knows"
    told = _report(settings.index.location, recorded, info, note)
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        _print(told)


def recorded_in(rows: Iterable[ManifestRow]) -> Recorded:
    """Counts over the last attempt at each image."""
    states = {"done": 0, "rejected": 0, "failed": 0, "gone": 0}
    objects, fingerprints = 0, set()
    for row in rows:
        states[row.state.value] += 1
        objects += row.objects
        if row.state.value == "done":
            fingerprints.add(row.fingerprint)
    return Recorded(**states, objects=objects, generations=len(fingerprints))


def _report(location: str, recorded: Recorded, info: IndexInfo | None, note: str) -> dict[str, Any]:
    states = asdict(recorded)
    objects, generations = states.pop("objects"), states.pop("generations")
    return {
        "index": location,
        "note": note,
        "images": states,
        "objects": info.objects if info else objects,
        "generations": info.generations if info else generations,
        "segmenters": list(info.segmenters) if info else None,
        "embedders": {one.embedder: one.points for one in info.embedders} if info else None,
        "dim": info.dim if info else None,
        "points": info.points if info else None,
        "size_bytes": info.size_bytes if info else None,
    }


def _print(told: dict[str, Any]) -> None:
    states = [f"{count:,} {state}" for state, count in told["images"].items() if count]
    lines = {
        "index": told["index"],
        "note": told["note"],
        "images": ", ".join(states) or "none",
        "objects": f"{told['objects']:,}",
        "generations": f"{told['generations']:,}",
    }
    if told["dim"] is not None:
        embedders = [f"{name} ({points:,} points)" for name, points in told["embedders"].items()]
        lines |= {
            "segmenter": ", ".join(told["segmenters"]),
            "embedder": ", ".join(embedders),
            "vectors": f"{told['points']:,} of {told['dim']} numbers",
        }
    if told["size_bytes"] is not None:
        lines["size"] = f"{told['size_bytes'] / 1e6:,.1f} MB on disk"
    console = out()
    for name, value in lines.items():
        if value:
            console.print(f"{name + ':':<13}{value}", markup=False, soft_wrap=True)
