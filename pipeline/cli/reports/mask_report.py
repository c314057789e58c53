"""Lays out the report of `eval masks`."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.cli.reports.figure_cells import NOTHING, make_cell
from pipeline.cli.reports.mask_figures import GROUPS
from pipeline.cli.reports.mask_plots import plot_masks
from pipeline.drawing.report.contents import Cell, Report, Section, Table
from pipeline.evaluation.masks.confusion import INVENTED, MISSED
from pipeline.evaluation.masks.evaluation import MaskScores
from pipeline.messages import quantify

_MOST_CLASSES, _MOST_CONFUSIONS = 100, 30
_INTERVALS = (
    "Below each figure is where 95% of the figures lie when images are drawn anew with "
    "replacement: what differs by less may be chance."
)


def build_mask_report(
    scores: MaskScores, names: Mapping[int, str], truth: str, found: str
) -> Report:
    """`names` are those of classes; `truth` and `found` say where the masks are from."""
    tables = list(list_figure_tables(scores))
    sections = [
        Section("Figures", tables, _INTERVALS),
        Section("Plots", plot_masks({"masks": scores.spread})),
    ]
    classes = _list_classes(scores, names)
    if classes is not None:
        sections.append(Section("Classes", [classes, *_list_confusions(scores, names)]))
    lead = (
        f"{quantify(scores.found, 'mask')} of {found} against {scores.true:,} true ones of "
        f"{truth}, in {quantify(scores.images, 'image')}. {_say_most(scores)}"
    )
    return Report("How good the masks are", lead, sections)


def _say_most(scores: MaskScores) -> str:
    spread = scores.spread
    if not len(spread.best_iou):
        return "There is no true object."
    shares = ((spread.best_iou >= level).mean() for level in (0.5, 0.75))
    found, well = (f"{share:.1%}" for share in shares)
    return f"{found} of the true objects have a mask with an IoU of 0.5 or more, {well} of 0.75."


def list_figure_tables(scores: MaskScores) -> list[Table]:
    """A table for each group of figures of which there are some."""
    tables = []
    for caption, figures in GROUPS.items():
        rows = [
            (text, make_cell(scores.figures[name]))
            for name, text in figures.items()
            if name in scores.figures and scores.figures[name].value is not None
        ]
        if rows:
            tables.append(Table(caption, ("figure", "value"), rows))
    return tables


def _list_classes(scores: MaskScores, names: Mapping[int, str]) -> Table | None:
    """Every class with its AP, AR and IoU of pixels, those with most true pixels first."""
    if "miou" not in scores.figures:
        return None
    rows: list[tuple[str | Cell, ...]] = []
    counts = scores.confusion.pairs
    for one in sorted(scores.pixels.classes, key=lambda one: -one.true_px)[:_MOST_CLASSES]:
        if one.category not in names or not one.true_px:
            continue
        true = sum(count for (own, _), count in counts.items() if own == one.category)
        ap, ar = scores.spread.classes.get(one.category, (None, None))
        rows.append(
            (
                names[one.category],
                f"{true:,}",
                f"{counts[one.category, one.category]:,}",
                f"{counts[one.category, MISSED]:,}",
                f"{counts[INVENTED, one.category]:,}",
                _show(ap),
                _show(ar),
                f"{one.iou:.3f}",
            )
        )
    columns = ("class", "true", "found as it", "missed", "invented", "AP", "AR", "IoU of pixels")
    return Table("By class", columns, rows) if rows else None


def _show(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _list_confusions(scores: MaskScores, names: Mapping[int, str]) -> list[Table]:
    wrong = [
        (names[true], names.get(found, "(another)"), f"{count:,}")
        for (true, found), count in scores.confusion.pairs.most_common()
        if true is not None and found is not None and true != found
    ]
    if not wrong:
        return []
    columns = ("class", "taken for", "times")
    return [Table("Classes taken for others", columns, wrong[:_MOST_CONFUSIONS])]
