"""`objseek eval masks`: how good found masks are, in the field's figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from pipeline.cli import progress_bars
from pipeline.cli.console import err, out
from pipeline.cli.figures_file import write_figures
from pipeline.cli.tables import print_rows
from pipeline.cli.transfer_output import print_left_out
from pipeline.evaluation.masks.evaluation import Figure, MaskEvaluation, MaskScores
from pipeline.evaluation.masks.found_masks import FoundMasks, read_found, read_indexed
from pipeline.index_home import IndexHome
from pipeline.messages import quantify
from pipeline.settings import Settings
from schemas.coco import CocoTruth, join_images
from schemas.coco_reader import load_truth

ROWS = {
    "ap": "AP",
    "ap_50": "AP at IoU 0.5",
    "ap_75": "AP at IoU 0.75",
    "ap_small": "AP, small (up to 32 x 32 px)",
    "ap_medium": "AP, medium",
    "ap_large": "AP, large (from 96 x 96 px)",
    "boundary_ap": "boundary AP",
    "ar_100_by_class": "AR, 100 masks of a class and image",
    "ap_any_class": "AP of any class",
    "ap_any_class_50": "the same at IoU 0.5",
    "ap_any_class_75": "the same at IoU 0.75",
    "ap_any_class_small": "the same, small",
    "ap_any_class_medium": "the same, medium",
    "ap_any_class_large": "the same, large",
    "boundary_ap_any_class": "boundary AP of any class",
    "ar_10": "AR of any class, 10 masks an image",
    "ar_100": "the same, 100 masks",
    "ar_1000": "the same, 1000 masks",
    "ar_1000_small": "the same, small",
    "ar_1000_medium": "the same, medium",
    "ar_1000_large": "the same, large",
    "mean_iou": "mean IoU of pairs",
    "mean_boundary_iou": "mean Boundary IoU of pairs",
    "contour_f": "mean F of pairs' contours",
    "pq": "PQ, mean over classes",
    "sq": "SQ, how well segments fit",
    "rq": "RQ, how many are right",
    "pq_any_class": "PQ of any class",
    "sq_any_class": "SQ of any class",
    "rq_any_class": "RQ of any class",
    "miou": "mIoU of classes, without background",
    "frequency_weighted_iou": "the same, weighted by pixels",
}
_MOST_CLASSES, _MOST_CONFUSIONS = 20, 10
_MOST_NOTES = 20  # each is a line where there is no terminal


def measure(
    truth_file: Path, found: str, settings: Settings, json_file: Path | None, *, strict: bool
) -> None:
    """Print the tables, and write their figures to a file.

    `found` is a COCO file, or where an index lies. Raises DatasetError, UsageError, and what
    opening an index does.
    """
    started = time.monotonic()
    truth = join_images(load_truth(truth_file, strict=strict), lambda image: image.file_name)
    print_left_out(truth.left_out)
    masks = _read(found, truth, settings, strict=strict)
    print_left_out(masks.left_out)
    evaluation = MaskEvaluation()
    with _follow(len(truth.images)) as note:
        for number, image in enumerate(masks.pair(truth), start=1):
            evaluation.add(image)
            note(number)
        scores = evaluation.measure()
    names = {category.id: category.name for category in truth.categories}
    _print_scores(scores, names, time.monotonic() - started)
    write_figures(_describe(scores, names), time.monotonic() - started, json_file)


def _read(found: str, truth: CocoTruth, settings: Settings, *, strict: bool) -> FoundMasks:
    path = Path(found)
    if path.is_file():
        return read_found(path, truth, strict=strict)
    index = settings.index.model_copy(update={"location": found})
    home = IndexHome.current(settings.model_copy(update={"index": index}))
    with home.points() as points:
        return read_indexed(points.scroll(), truth, points.note_broken)


@contextmanager
def _follow(images: int) -> Iterator[Callable[[int], None]]:
    with progress_bars.show_progress(err()) as progress:

        def note(number: int) -> None:
            if number % max(1, images // _MOST_NOTES) and number != images:
                return
            progress.note(f"measured {number:,} of {images:,} images")

        yield note


def _print_scores(scores: MaskScores, names: dict[int, str], seconds: float) -> None:
    rows = [
        (text, _show(scores.figures[name])) for name, text in ROWS.items() if name in scores.figures
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


def _show(figure: Figure) -> str:
    if figure.value is None:
        return "n/a"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


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
