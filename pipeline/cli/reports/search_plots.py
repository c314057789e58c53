"""Plots what lies behind the figures of search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.drawing.report.contents import Axis, Plot, Series
from pipeline.evaluation.search.query_result import QueryKind, QueryResult
from pipeline.evaluation.search.spread import bin_probabilities, count_ranks, trace_recall


def plot_search(results: Sequence[QueryResult], limit: int) -> list[Plot]:
    """All plots of which there is something."""
    return [*_plot_recall(results, limit), *_plot_ranks(results, limit), *_plot_bins(results)]


def _plot_recall(results: Sequence[QueryResult], limit: int) -> Iterator[Plot]:
    curves = {
        kind.value: trace_recall([one for one in results if one.kind is kind], limit)
        for kind in QueryKind
    }
    known = {name: curve for name, curve in curves.items() if curve}
    if not known:
        return
    ranks = [float(rank) for rank in range(1, limit + 1)]
    yield Plot(
        "Recall by hits",
        "; ".join(f"{name}: {curve[0]:.2f} at 1, {curve[-1]:.2f} at {limit}"
                  for name, curve in known.items()),
        Axis("first hits"),
        Axis("share found of what is there", 0, 1),
        [Series(name, ranks, curve) for name, curve in known.items()],
        text="The mean of queries for what is there.",
    )  # fmt: skip


def _plot_ranks(results: Sequence[QueryResult], limit: int) -> Iterator[Plot]:
    counts = count_ranks(results)
    if not counts:
        return
    # What was never found stands apart from the ranks.
    edges = [*(rank + 0.5 for rank in range(limit + 1)), limit + 2.5, limit + 3.5]
    heights = [float(counts.get(rank, 0)) for rank in range(1, limit + 1)]
    never = counts.get(None, 0)
    yield Plot(
        "First right hit",
        f"{counts.get(1, 0):,} of {sum(counts.values()):,} queries have it first, {never:,} never",
        Axis("rank"),
        Axis("queries"),
        [Series("queries", edges, [*heights, 0.0, float(never)], "bars")],
        text=f"The bar apart: no right one among the first {limit}.",
    )


def _plot_bins(results: Sequence[QueryResult]) -> Iterator[Plot]:
    bins = bin_probabilities(results)
    if not bins:
        return
    yield Plot(
        "How likely, and how right",
        f"{bins[0].right:.0%} of the least likely hits are right, {bins[-1].right:.0%} of the "
        "likeliest",
        Axis("how likely hits are called", 0, 1),
        Axis("share that is right", 0, 1),
        [
            Series(
                "hits",
                [each.probability for each in bins],
                [each.right for each in bins],
                "points",
                [each.low for each in bins],
                [each.high for each in bins],
            )
        ],
        "called as likely as they are",
        f"All {sum(each.hits for each in bins):,} hits that were judged, in ten groups by how "
        "likely they are called. Lines are where 95% of such shares lie.",
    )
