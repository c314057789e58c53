"""`objseek eval compare`: what differs between two runs, and whether by more than noise."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.cli.console import out, print_line
from pipeline.cli.figures_file import FiguresTarget, write_figures
from pipeline.cli.mask_reading import follow, read_masks, read_truth
from pipeline.cli.reports.change_pictures import draw_changes
from pipeline.cli.reports.comparison_report import (
    build_comparison_report,
    count_changes,
    say_changes,
    say_outcomes,
)
from pipeline.cli.reports.figure_cells import OUTCOMES, show_difference, show_figure
from pipeline.cli.reports.mask_figures import ROWS
from pipeline.cli.reports.source_pictures import SourcePictures, check_images_place
from pipeline.cli.tables import print_rows
from pipeline.drawing.report.pictures import MOST_PICTURES
from pipeline.drawing.report.report_file import write_report
from pipeline.evaluation.masks.changes import ObjectChange
from pipeline.evaluation.masks.comparison import MaskComparison, compare_masks
from pipeline.evaluation.paired import Comparison
from pipeline.evaluation.resampling import SAMPLES
from pipeline.messages import quantify
from pipeline.settings import Settings

_MOST_SHOWN = 5  # of the largest changes, in the terminal


@dataclass(frozen=True, slots=True)
class ComparedRuns:
    """Two COCO files or indexes, the truth, and where its images are."""

    first: str
    second: str
    truth: Path
    images: str | None


def measure(
    runs: ComparedRuns,
    settings: Settings,
    target: FiguresTarget,
    report: Path | None,
    *,
    strict: bool,
) -> None:
    """Print the tables, and write their figures to a file and a report.

    Raises DatasetError, UsageError, and what opening an index does.
    """
    started = time.monotonic()
    if runs.images is not None:
        check_images_place(runs.images, settings)
    truth = read_truth(runs.truth, strict=strict)
    first = read_masks(runs.first, truth, settings, strict=strict)
    second = read_masks(runs.second, truth, settings, strict=strict)
    with (
        follow(len(truth.images), "measured {} of {} images") as note_image,
        follow(2 * SAMPLES, "drew the images anew {} of {} times") as note_sample,
    ):
        compared = compare_masks(
            truth, (first, second), MOST_PICTURES // 2, note_image, note_sample
        )
    names = {category.id: category.name for category in truth.categories}
    _print_comparison(compared, names, time.monotonic() - started)
    write_figures(_describe(compared, runs, names), time.monotonic() - started, target)
    if report is None:
        return
    pictures = SourcePictures(runs.images, (first.refs, second.refs), settings)
    lists = {
        "Largest gains": compared.changes.gains,
        "Largest losses": compared.changes.losses,
    }
    with follow(sum(map(len, lists.values())), "drew {} of {} pictures") as note_picture:
        galleries = draw_changes(lists, names, pictures, note_picture)
    places = (runs.first, runs.second, str(runs.truth))
    write_report(report, build_comparison_report(compared, places, names, galleries))


def _print_comparison(compared: MaskComparison, names: Mapping[int, str], seconds: float) -> None:
    rows = [
        (text, *show_row(compared.figures[name]))
        for name, text in ROWS.items()
        if name in compared.figures
    ]
    columns = ("figure", "B is", "B less A (95% of resamples)", "A", "B")
    print_rows(columns, rows, stacked=2)
    for title, changes in (
        ("largest gains", compared.changes.gains),
        ("largest losses", compared.changes.losses),
    ):
        if changes:
            shown = [_show_change(change, names) for change in changes[:_MOST_SHOWN]]
            print_rows((title, "IoU in A", "in B", "image"), shown)
    print_line(out(), say_outcomes(compared.figures))
    print_line(out(), say_changes(compared.changes.join()))
    first, second = compared.scores
    out().print(
        f"{quantify(first.found, 'mask')} in A, {second.found:,} in B, {first.true:,} true, in "
        f"{quantify(first.images, 'image')}, {seconds:.0f} s"
    )


def show_row(comparison: Comparison) -> tuple[str, str, str, str]:
    """Whether B is better, the difference, and A and B."""
    outcome = comparison.outcome
    return (
        "" if outcome is None else OUTCOMES[outcome],
        show_difference(comparison),
        f"A {show_figure(comparison.first)}",
        f"B {show_figure(comparison.second)}",
    )


def _show_change(change: ObjectChange, names: Mapping[int, str]) -> tuple[str, str, str, str]:
    first, second = (f"{iou:.3f}" for iou in change.ious)
    return names.get(change.category, ""), first, second, change.image.file_name


def _describe(
    compared: MaskComparison, runs: ComparedRuns, names: Mapping[int, str]
) -> dict[str, object]:
    first, second = compared.scores
    return {
        "first": runs.first,
        "second": runs.second,
        "images": first.images,
        "true": first.true,
        "found": [first.found, second.found],
        "masks": {name: describe_figure(each) for name, each in compared.figures.items()},
        "class_ap": {
            names[number]: describe_figure(each) for number, each in compared.classes.items()
        },
        "objects": asdict(count_changes(compared.changes.join())),
        "gains": _describe_changes(compared.changes.gains, names),
        "losses": _describe_changes(compared.changes.losses, names),
    }


def describe_figure(comparison: Comparison) -> dict[str, object]:
    """A figure of both, as JSON."""
    return {
        "first": asdict(comparison.first),
        "second": asdict(comparison.second),
        "difference": asdict(comparison.difference),
        "outcome": comparison.outcome,
    }


def _describe_changes(
    changes: Sequence[ObjectChange], names: Mapping[int, str]
) -> list[dict[str, object]]:
    return [
        {
            "image": change.image.file_name,
            "class": names.get(change.category),
            "bbox_xyxy": change.true.bbox_xyxy,
            "iou": change.ious,
        }
        for change in changes
    ]
