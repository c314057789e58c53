"""Prints what a run would do (--dry-run): counts, how long, and that nothing was done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import typer

from pipeline.cli.console import out, print_line
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.plan_report import format_duration, format_size
from pipeline.cli.transfer_output import print_left_out

with lazy_imports():
    from pipeline import kept_paces
    from pipeline.jobs import forecast, reembed_forecast
    from pipeline.kept_paces import KeptPace
    from pipeline.transfer import forecast as transfer_forecast
    from pipeline.transfer import import_coco

_NOTHING = "Nothing was done (--dry-run)."


def print_ingest(found: forecast.IngestForecast, *, as_json: bool) -> None:
    """Print what an ingest or a sync would do."""
    rows: dict[str, Any] = {
        "listed": found.listed,
        "unchanged": found.unchanged,
        "to do": found.work,
        "of them new": found.new,
        "of them again": found.again,
    }
    if found.videos:
        rows["of them videos"] = found.videos
    if found.removed is not None:
        rows["to be removed"] = found.removed
    rows |= {f"skipped: {reason}": number for reason, number in sorted(found.skipped.items())}
    if as_json:
        fields = {
            "listed": found.listed,
            "unchanged": found.unchanged,
            "new": found.new,
            "again": found.again,
            "videos": found.videos,
            "removed": found.removed,
            "skipped": dict(found.skipped),
            "settings_known": found.is_known,
            "images_per_s": found.pace.images_per_s if found.pace else None,
            "seconds": found.seconds,
        }
        _print_json(fields)
        return
    _print_rows(rows)
    if not found.is_known and found.again:
        print_line(
            out(),
            "These settings have not run on this index: whether its images are of the same models "
            "shows once they are loaded, and all are counted as to be done again.",
        )
    print_line(out(), _describe_time(found))
    print_line(out(), _NOTHING)


def print_reembed(found: reembed_forecast.ReembedForecast, *, as_json: bool) -> None:
    """Print what embedding an index again would do."""
    if as_json:
        _print_json(
            {
                "images": found.images,
                "unchanged": found.unchanged,
                "to_embed": found.work,
                "objects": found.objects,
                "videos": found.videos,
                "before": found.before,
                "generation": found.generation,
                **_pace_fields(found.objects, _pace_of(found)),
            }
        )
        return
    rows = {
        "images": found.images,
        "in the new one": found.unchanged,
        "to do": found.work,
        "their objects": found.objects,
    }
    _print_rows(rows)
    name = found.generation or "a new one, which its models name"
    print_line(out(), f"Generation in use: {found.before}; then {name}.")
    print_line(out(), _describe_pace(found.objects, _pace_of(found), "objects"))
    print_line(out(), _NOTHING)


def print_transfer(found: transfer_forecast.TransferForecast, *, as_json: bool) -> None:
    """Print what an import of an export, a restore or a migration would do."""
    if as_json:
        fields = {
            "images": found.images,
            "points": found.points,
            "size_bytes": found.size_bytes,
            "source": found.source,
            "target": found.target,
            **_pace_fields(found.points, found.pace),
        }
        _print_json(fields)
        return
    _print_rows({"images": found.images, "points": found.points})
    size = f", {format_size(found.size_bytes)}" if found.size_bytes is not None else ""
    print_line(out(), f"From {found.source}{size}, to {found.target}.")
    print_line(out(), _describe_pace(found.points, found.pace, "points"))
    print_line(out(), _NOTHING)


def print_coco_import(found: import_coco.CocoForecast) -> None:
    """Print what an import of a COCO file would do."""
    print_left_out(found.left_out)
    _print_rows({"images": found.images, "masks": found.masks})
    print_line(out(), _describe_pace(found.masks, found.pace, "objects"))
    print_line(out(), _NOTHING)


def _pace_of(found: reembed_forecast.ReembedForecast) -> KeptPace | None:
    """None where there are videos, of which frames are embedded, not objects."""
    return None if found.videos else found.pace


def _pace_fields(points: int, pace: KeptPace | None) -> dict[str, float | None]:
    return {
        "points_per_s": pace.points_per_s if pace else None,
        "seconds": pace.foretell_s(points) if pace else None,
    }


def _describe_pace(points: int, pace: KeptPace | None, things: str) -> str:
    if not points:
        return "There is nothing to write."
    if pace is None:
        return (
            "How long that takes is not known: no such run of "
            f"{kept_paces.LEAST_POINTS} {things} or more has ended on this machine."
        )
    rate = f"{pace.points_per_s:,.0f}" if pace.points_per_s >= 10 else f"{pace.points_per_s:.2f}"
    return (
        f"That takes about {format_duration(pace.foretell_s(points))}, at the {rate} {things}/s "
        f"of the run of {pace.ended_at:%Y-%m-%d}."
    )


def _describe_time(found: forecast.IngestForecast) -> str:
    if found.seconds is None:
        why = "videos are as long as they are" if found.pace else "no earlier run tells"
        return f"How long that takes: {why}; `objseek plan` measures it."
    if not found.work or found.pace is None:
        return "There is nothing to embed."
    pace = f"{found.pace.images_per_s:.2f} images/s of the run of {found.pace.ended_at:%Y-%m-%d}"
    return f"That takes about {format_duration(found.seconds)}, at the {pace}."


def _print_rows(rows: Mapping[str, int]) -> None:
    width = max(map(len, rows))
    for name, number in rows.items():
        print_line(out(), f"{name:<{width}}  {number:,}")


def _print_json(fields: Mapping[str, Any]) -> None:
    typer.echo(json.dumps({"dry_run": True, **fields}, indent=2))
