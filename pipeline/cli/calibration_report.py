"""Shows how a calibration did that was fitted to an index of labelled images."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pipeline.cli.console import out, print_line
from pipeline.cli.tables import print_rows
from pipeline.evaluation.calibration_fit import Figures
from pipeline.evaluation.calibration_tuning import CalibrationReport
from pipeline.messages import quantify

_COLUMNS = ("on images held out", "by cosine", "before", "after")
_ROWS = {
    "label_first": "label right first",
    "keyword_first": "keyword right first",
    "present_weak": "there, and called weak",
    "absent_weak": "not there, and called weak",
    "calibration_error": "calibration error of all hits",
    "first_calibration_error": "calibration error of first hits",
}


def describe_calibration(report: CalibrationReport) -> dict[str, Any]:
    """The report as JSON has it."""
    tuned = report.tuned
    return {
        "name": tuned.name,
        "path": str(report.path),
        "sha256": tuned.sha256,
        **asdict(tuned.origin),
        "images": report.images,
        "objects": report.objects,
        "names": report.names,
        "held_out": {
            "by_cosine": _round(report.nearest),
            "before": _round(report.before),
            "after": _round(report.after),
        },
        "calibration": asdict(tuned.calibration),
        "unchanged": list(report.unchanged),
        "seconds": round(report.seconds, 1),
    }


def _round(figures: Figures) -> dict[str, float | None]:
    return {
        name: None if value is None else round(value, 4) for name, value in asdict(figures).items()
    }


def print_calibration(report: CalibrationReport, index: str) -> None:
    """Print the figures as a table, and notes on them; `index` is where it was fitted."""
    nearest, before, after = map(asdict, (report.nearest, report.before, report.after))
    rows = [
        (name, _show(nearest[key], ""), _show(before[key], "n/a"), _show(after[key], "n/a"))
        for key, name in _ROWS.items()
    ]
    print_rows(_COLUMNS, rows)
    for line in _list_notes(report, index):
        print_line(out(), line)


def _show(figure: float | None, unknown: str) -> str:
    return unknown if figure is None else f"{figure:.3f}"


def _list_notes(report: CalibrationReport, index: str) -> list[str]:
    tuned, before, after = report.tuned, report.before, report.after
    notes = [
        f"{quantify(report.images, 'image')} with {quantify(report.objects, 'object')} and "
        f"{quantify(report.names, 'name')}; each third was held out once; {report.seconds:.0f} s"
    ]
    notes += [
        f"note: too few {what} are right, or wrong, to fit: what is told of them stays as it was"
        for what in report.unchanged
        if what != "order"
    ]
    if "order" in report.unchanged:
        notes.append("note: hits keep their order: that fitted to other images did no better")
    if tuned.origin.embedding is None:
        notes.append(
            f"note: the index does not know what made its vectors, so the calibration is taken for "
            f"{tuned.origin.embedder} of any weights"
        )
    if (after.label_first or 0) < (before.label_first or 0):
        notes.append("note: fewer labels are right first than before: more images may tell better")
    notes.append(f"calibration  {tuned.name} (sha256 {tuned.sha256[:16]}…), in {report.path}")
    notes.append(f"use it       objseek search TEXT --index {index} --calibration {tuned.name}")
    return notes
