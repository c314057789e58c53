"""`objseek eval masks`: how good found masks are, in the field's figures."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from pipeline.cli.console import out
from pipeline.cli.figures_file import FiguresTarget, write_figures
from pipeline.cli.mask_reading import follow, read_masks, read_truth
from pipeline.cli.reports.figure_cells import show_figure
from pipeline.cli.reports.mask_figures import ROWS
from pipeline.cli.reports.mask_report import build_mask_report
from pipeline.cli.tables import print_rows
from pipeline.drawing.report.report_file import write_report
from pipeline.evaluation.masks.evaluation import MaskScores
from pipeline.evaluation.masks.processes import count_images
from pipeline.evaluation.resampling import SAMPLES
from pipeline.messages import quantify
from pipeline.settings import Settings

_MOST_CLASSES, _MOST_CONFUSIONS = 20, 10


def measure(
    truth_file: Path,
    found: str,
    settings: Settings,
    target: FiguresTarget,
    report: Path | None,
    *,
    strict: bool,
) -> None:
    """Print the tables, and write their figures to a file and a report.

    `found` is a COCO file, or where an index lies. Raises DatasetError, UsageError, and what
    opening an index does.
    """
    started = time.monotonic()
    truth = read_truth(truth_file, strict=strict)
    masks = read_masks(found, truth, settings, strict=strict)
    with follow(len(truth.images), "measured {} of {} images") as note:
        evaluation = count_images(masks.pair(truth), note)
    with follow(SAMPLES, "drew the images anew {} of {} times") as note:
        scores = evaluation.measure(note=note)
    names = {category.id: category.name for category in truth.categories}
    _print_scores(scores, names, time.monotonic() - started)
    write_figures(_describe(scores, names), time.monotonic() - started, target)
    if report is not None:
        write_report(report, build_mask_report(scores, names, str(truth_file), found))


def _print_scores(scores: MaskScores, names: dict[int, str], seconds: float) -> None:
    rows = [
        (text, show_figure(scores.figures[name]))
        for name, text in ROWS.items()
        if name in scores.figures
    ]
    print_rows(("figure", "value (95% of resamples)"), rows)
    _print_classes(scores, names)
    _print_confusions(scores, names)
    out().print(
        f"{quantify(scores.found, 'mask')} found, {scores.true:,} true, in "
        f"{quantify(scores.images, 'image')}, {seconds:.0f} s"
    )


def _print_classes(scores: MaskScores, names: dict[int, str]) -> None:
    """The classes with the most true pixels; the background apart, as it would drown the rest."""
    if "miou" not in scores.figures:
        return
    classes = sorted(scores.pixels.classes, key=lambda one: -one.true_px)
    true_px = sum(one.true_px for one in classes)
    rows = [
        (names[one.category], f"{one.iou:.3f}", f"{one.true_px / max(true_px, 1):.1%}")
        for one in classes[:_MOST_CLASSES]
        if one.true_px
    ]
    if rows:
        rows.append(("(background)", f"{scores.pixels.background.iou:.3f}", ""))
        print_rows(("class", "IoU", "of all objects' pixels"), rows)


def _print_confusions(scores: MaskScores, names: dict[int, str]) -> None:
    wrong = [
        (true, found, count)
        for (true, found), count in scores.confusion.pairs.most_common()
        if true is not None and found is not None and true != found
    ]
    if "miou" in scores.figures and wrong:
        rows = [
            (names[true], names.get(found, "(another)"), f"{count:,}")
            for true, found, count in wrong[:_MOST_CONFUSIONS]
        ]
        print_rows(("class", "taken for", "times"), rows)


def _describe(scores: MaskScores, names: dict[int, str]) -> dict[str, object]:
    return {
        "images": scores.images,
        "true": scores.true,
        "found": scores.found,
        "masks": {name: asdict(figure) for name, figure in scores.figures.items()},
        "classes": {
            names[one.category]: {"iou": one.iou, **asdict(one)}
            for one in scores.pixels.classes
            if one.category in names
        },
        "class_accuracy": scores.confusion.class_accuracy,
        "confusion": [
            {"true": _name(true, names), "found": _name(found, names), "times": count}
            for (true, found), count in scores.confusion.pairs.most_common()
        ],
    }


def _name(category: int | None, names: dict[int, str]) -> str | None:
    return None if category is None else names.get(category)
