"""`objseek verify`: compare manifest, index and source."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from pipeline.cli.console import EXIT_FAILED, err, out, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import MAX_DELETE, PLACE_OPTIONS, MaxDelete
from pipeline.cli.output_options import AsJson
from pipeline.cli.shared_options import Load, add_options
from pipeline.cli.tables import print_rows
from pipeline.messages import quantify

with lazy_imports():
    from pipeline.cli import progress_bars
    from pipeline.jobs import verify
    from pipeline.manifest import audit

_HELP = """Report, image by image, where an index differs from what was written or from its source.

Every point is read: missing, extra, stale and altered points are found, masks and boxes that do not
fit their image, and invalid vectors. With
sources, images that are new, changed or gone there are reported too. The exit code is 0 only if
nothing is found.

--repair deletes the points that no image should have, and queues the damaged images: the next
ingest or retry embeds them again. If more than --max-delete of all points would be deleted, nothing
is done. New and changed images need an ingest, those that are gone a sync.

Examples:

    objseek verify --index photos-index

    objseek verify s3://photos/2026/ --index photos-index --json

    objseek verify --index photos-index --repair
"""
_MOST_ROWS = 50


def register(app: typer.Typer) -> None:
    """Add `verify` to the command line."""
    app.command("verify", help=_HELP)(verify_command)


@add_options(*PLACE_OPTIONS)
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
    max_delete: MaxDelete = MAX_DELETE,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    settings = load()
    with progress_bars.show_progress(err()) as progress:
        report = verify.verify(
            settings, sources or (), progress, repairing=repairing, max_delete=max_delete
        )
    if as_json:
        typer.echo(json.dumps(_fields(report, repaired=repairing), indent=2))
    else:
        _print_report(report)
    if repairing and (report.stray or report.queued):
        deleted = quantify(len(report.stray), "point")
        damaged = quantify(len(report.queued), "image")
        typer.echo(
            f"Deleted {deleted}; {damaged} will be done again by the next ingest or retry.",
            err=True,
        )
    if report.findings:
        raise typer.Exit(EXIT_FAILED)


def _print_report(report: audit.Report) -> None:
    if report.findings:
        rows = [
            (finding.fault.value, f"{finding.points:,}" if finding.points else "", finding.uri)
            for finding in report.findings[:_MOST_ROWS]
        ]
        print_rows(("fault", "points", "image"), rows)
        if len(report.findings) > _MOST_ROWS:
            typer.echo(f"and {len(report.findings) - _MOST_ROWS:,} more: --json lists them all")
    states = [f"{count:,} {state}" for state, count in report.images.items() if count]
    out().print(
        f"{quantify(report.points, 'point')} and {', '.join(states) or 'no'} images compared: "
        f"{_count_faults(report.findings)}",
        soft_wrap=True,
    )


def _count_faults(findings: Sequence[audit.Finding]) -> str:
    if not findings:
        return "nothing is wrong"
    counts = Counter(finding.fault for finding in findings)
    return ", ".join(f"{count:,} {fault.value}" for fault, count in sorted(counts.items()))


def _fields(report: audit.Report, *, repaired: bool) -> dict[str, object]:
    return {
        "images": {state.value: count for state, count in report.images.items()},
        "points": report.points,
        "findings": [
            {
                "fault": finding.fault.value,
                "uri": finding.uri,
                "points": finding.points,
                "point_ids": finding.point_ids,
            }
            for finding in report.findings
        ],
        "stray_points": len(report.stray),
        "damaged_images": len(report.queued),
        "repaired": repaired,
    }
