"""Plots how found masks are spread behind their figures, of one run or of two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from pipeline.cli.reports.share_points import INTERVALS, make_points
from pipeline.drawing.report.contents import Axis, Plot, Series
from pipeline.evaluation.masks.average_precision import RECALLS
from pipeline.evaluation.masks.detections import Floats
from pipeline.evaluation.masks.matching import IOU_LEVELS
from pipeline.evaluation.masks.spread import MaskSpread
from pipeline.evaluation.shares import Share, bin_shares, measure_gap

Runs = Mapping[str, MaskSpread]
"""What is spread in each run, by what it is called."""
_EDGES = np.linspace(0, 1, 21)
_MOST_SIZES, _LEAST_OBJECTS = 8, 10
_MOST_SCORES, _LEAST_MASKS = 10, 20
_LEVELS = {
    "at IoU 0.5": [0],
    "at IoU 0.75": [5],
    "mean of IoU 0.5 to 0.95": [*range(len(IOU_LEVELS))],
}


def plot_masks(runs: Runs) -> list[Plot]:
    """All plots of which there is something."""
    return [
        *_plot_precision(runs),
        *_plot_pairs(runs),
        *_plot_sizes(runs),
        *_plot_scores(runs),
    ]


def _plot_precision(runs: Runs) -> Iterator[Plot]:
    by_class = {
        name: run.precision_by_class
        for name, run in runs.items()
        if run.precision_by_class is not None
    }
    for curves, whose in (
        (by_class, "mean over classes"),
        ({name: run.precision for name, run in runs.items()}, "any class"),
    ):
        if len(runs) == 1:
            lines = {
                level: _read_level(curve, level) for curve in curves.values() for level in _LEVELS
            }
            if lines:
                yield _make_precision_plot(f"Precision and recall, {whose}", lines)
            continue
        for level in _LEVELS if curves else ():
            lines = {name: _read_level(curve, level) for name, curve in curves.items()}
            yield _make_precision_plot(f"Precision and recall, {level}, {whose}", lines)


def _read_level(curve: Floats, level: str) -> Floats:
    chosen: Floats = curve[_LEVELS[level]].mean(axis=0)
    return chosen


def _make_precision_plot(title: str, lines: Mapping[str, Floats]) -> Plot:
    series = [Series(name, RECALLS.tolist(), line.tolist()) for name, line in lines.items()]
    means = ", ".join(f"{name} {line.mean():.3f}" for name, line in lines.items())
    x, y = Axis("recall", 0, 1), Axis("precision", 0, 1)
    return Plot(title, f"the area below the line is the AP: {means}", x, y, series)


def _plot_pairs(runs: Runs) -> Iterator[Plot]:
    parts = {
        "IoU": {name: run.pair_iou for name, run in runs.items()},
        "Boundary IoU": {name: run.pair_boundary_iou for name, run in runs.items()},
    }
    if len(runs) == 1:
        joined = {title: next(iter(values.values())) for title, values in parts.items()}
        yield from _make_histogram("IoU and Boundary IoU of pairs", joined)
        return
    for title, values in parts.items():
        yield from _make_histogram(f"{title} of pairs", values)


def _make_histogram(title: str, values: Mapping[str, Floats]) -> Iterator[Plot]:
    if not any(map(len, values.values())):
        return
    series, says = [], []
    for name, own in values.items():
        counts, _ = np.histogram(own, _EDGES)
        series.append(Series(name, _EDGES.tolist(), counts.tolist(), "bars"))
        says.append(f"{name}: {len(own):,} pairs, half of them above {_middle(own):.2f}")
    yield Plot(title, "; ".join(says), Axis("IoU", 0, 1), Axis("pairs"), series)


def _middle(values: Floats) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _plot_sizes(runs: Runs) -> Iterator[Plot]:
    if not any(len(run.areas_px) for run in runs.values()):
        return
    for level in (0.5, 0.75):
        shares = {
            name: bin_shares(run.areas_px, run.best_iou >= level, _MOST_SIZES, _LEAST_OBJECTS)
            for name, run in runs.items()
        }
        yield Plot(
            f"Size and recall at IoU {level:g}",
            _read_ends(shares, "the smallest objects", "the largest"),
            Axis("area of objects, pixels", is_logarithmic=True),
            Axis("share with such a mask", 0, 1),
            [make_points(name, own) for name, own in shares.items()],
            text=f"Groups of as many true objects each, by size. {INTERVALS}",
        )


def _plot_scores(runs: Runs) -> Iterator[Plot]:
    shares = {
        name: bin_shares(run.scores, run.right, _MOST_SCORES, _LEAST_MASKS)
        for name, run in runs.items()
        if len(run.scores)
    }
    if not shares:
        return
    # Scores of other tools need not be shares.
    are_shares = all(0 <= each.centre <= 1 for own in shares.values() for each in own)
    gaps = ", ".join(
        f"{measure_gap(own):.3f}" + (f" in {name}" if len(runs) > 1 else "")
        for name, own in shares.items()
    )
    yield Plot(
        "Score and share right",
        _read_ends(shares, "the least sure masks", "the surest"),
        Axis("score", 0, 1) if are_shares else Axis("score"),
        Axis("share right at IoU 0.5", 0, 1),
        [make_points(name, own) for name, own in shares.items()],
        "a score that is the share right" if are_shares else "",
        f"Groups of as many found masks each, by score. {INTERVALS}"
        + (f" Mean gap between score and share: {gaps}." if are_shares else ""),
    )


def _read_ends(shares: Mapping[str, list[Share]], first: str, last: str) -> str:
    return "; ".join(
        f"{name}: {own[0].share:.0%} of {first}, {own[-1].share:.0%} of {last}"
        for name, own in shares.items()
        if own
    )
