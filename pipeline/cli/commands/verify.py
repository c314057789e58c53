"""`objseek verify`: hold manifest, index and source against each other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import EXIT_FAILED, err, out, user_errors
from pipeline.cli.options import Load, MaxDelete, with_settings
from pipeline.cli.tables import print_rows
from pipeline.messages import quantify

if TYPE_CHECKING:
    from pipeline.manifest.audit import Finding, Report

_HELP = """Tell, image by image, where an index is not what was written, or not what its source has.

Every point is read: missing, extra, stale and altered ones are found, and vectors that are none.
With sources, images are also told that are new, changed or gone there. The exit code is 0 only if
nothing is found.

--repair deletes the points that no image should have, and queues the damaged images: the next
ingest or retry embeds them again. If more than --max-delete of all points would go, nothing is
done. New and changed images want an ingest, those that are gone a sync.

Examples:

    objseek verify --index photos-index

    objseek verify s3://photos/2026/ --index photos-index --json

    objseek verify --index photos-index --repair
"""
_SHOWN = 50


def register(app: typer.Typer) -> None:
    """Add `verify` to the command line."""
    app.command("verify", help=_HELP)(with_settings(verify_command, models=False))


@user_errors
def verify_command(
    load: Load,
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE...]", help="What was ingested, to be listed as well."),
    ] = None,
    repairing: Annotated[
        bool, typer.Option("--repair", help="Delete stray points, queue damaged images.")
    ] = False,
    max_delete: MaxDelete = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, all of it.")] = False,
) -> None:
    """The command; its help stands above."""
    from pipeline.cli.progress_bars import show_progress
    from pipeline.jobs.sync import MAX_DELETE
    from pipeline.jobs.verify import verify

    settings, most = load(), MAX_DELETE if max_delete is None else max_delete
    with show_progress(err()) as progress:
        report = verify(settings, sources or (), progress, repairing=repairing, max_delete=most)
    if as_json:
        typer.echo(json.dumps(_fields(report, repaired=repairing), indent=2))
    else:
        _print(report)
    if repairing and (report.stray or report.queued):
        deleted, damaged = (
            quantify(len(report.stray), "point"),
            quantify(len(report.queued), "image"),
        )
        typer.echo(
            f"Deleted {deleted}; {damaged} will be done again by the next ingest or retry.",
            err=True,
        )
    if report.findings:
        raise typer.Exit(EXIT_FAILED)


def _print(report: Report) -> None:
    if report.findings:
        rows = [(one.fault.value, _points(one), one.uri) for one in report.findings[:_SHOWN]]
        print_rows(("fault", "points", "image"), rows)
        if len(report.findings) > _SHOWN:
            typer.echo(f"and {len(report.findings) - _SHOWN:,} more: --json lists them all")
    states = [f"{count:,} {state}" for state, count in report.images.items() if count]
    out().print(
        f"{quantify(report.points, 'point')} and {', '.join(states) or 'no'} images compared: "
        f"{_told(report.findings)}",
        soft_wrap=True,
    )


def _points(finding: Finding) -> str:
    return f"{finding.points:,}" if finding.points else ""


def _told(findings: Sequence[Finding]) -> str:
    if not findings:
        return "nothing is wrong"
    counts = Counter(finding.fault for finding in findings)
    return ", ".join(f"{count:,} {fault.value}" for fault, count in sorted(counts.items()))


def _fields(report: Report, *, repaired: bool) -> dict[str, object]:
    return {
        "images": {state.value: count for state, count in report.images.items()},
        "points": report.points,
        "findings": [
            {"fault": one.fault.value, "uri": one.uri, "points": one.points}
            for one in report.findings
        ],
        "stray_points": len(report.stray),
        "damaged_images": len(report.queued),
        "repaired": repaired,
    }
