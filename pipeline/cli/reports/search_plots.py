"""Plots what lies behind the figures of search, of one index or of two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.cli.reports.share_points import INTERVALS, make_points
from pipeline.drawing.report.contents import Axis, Plot, Series
from pipeline.evaluation.search.query_result import QueryKind, QueryResult
from pipeline.evaluation.search.spread import (
    bin_probabilities,
    count_ranks,
    trace_recall,
)


def plot_search(results: Sequence[QueryResult], limit: int) -> list[Plot]:
    """All plots of which there is something; recall of each kind of query."""
    curves = {
        kind.value: trace_recall([one for one in results if one.kind is kind], limit)
        for kind in QueryKind
    }
    return [
        *_plot_recall(curves, limit),
        *_plot_ranks({"queries": results}, limit),
        *_plot_bins({"hits": results}),
    ]


def plot_searches(runs: Mapping[str, Sequence[QueryResult]], limit: int) -> list[Plot]:
    """The same of two indexes, by what they are called: recall of all kinds of queries."""
    curves = {name: trace_recall(results, limit) for name, results in runs.items()}
    return [*_plot_recall(curves, limit), *_plot_ranks(runs, limit), *_plot_bins(runs)]


def _plot_recall(curves: Mapping[str, Sequence[float]], limit: int) -> Iterator[Plot]:
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


def _plot_ranks(runs: Mapping[str, Sequence[QueryResult]], limit: int) -> Iterator[Plot]:
    counts = {name: count_ranks(results) for name, results in runs.items()}
    if not any(counts.values()):
        return
    # What was never found stands apart from the ranks.
    edges = [*(rank + 0.5 for rank in range(limit + 1)), limit + 2.5, limit + 3.5]
    heights = {
        name: [*(float(own.get(rank, 0)) for rank in range(1, limit + 1)), 0.0, own.get(None, 0)]
        for name, own in counts.items()
    }
    says = (
        f"{own.get(1, 0):,} of {sum(own.values()):,} {name} have it first, "
        f"{own.get(None, 0):,} never"
        for name, own in counts.items()
    )
    yield Plot(
        "First right hit",
        "; ".join(says),
        Axis("rank"),
        Axis("queries"),
        [Series(name, edges, own, "bars") for name, own in heights.items()],
        text=f"The bar apart: no right one among the first {limit}.",
    )


def _plot_bins(runs: Mapping[str, Sequence[QueryResult]]) -> Iterator[Plot]:
    bins = {name: bin_probabilities(results) for name, results in runs.items()}
    known = {name: own for name, own in bins.items() if own}
    if not known:
        return
    judged = sum(each.count for own in known.values() for each in own)
    yield Plot(
        "How likely, and how right",
        "; ".join(
            f"{own[0].share:.0%} of the least likely {name} are right, {own[-1].share:.0%} of the "
            "likeliest"
            for name, own in known.items()
        ),
        Axis("how likely hits are called", 0, 1),
        Axis("share that is right", 0, 1),
        [make_points(name, own) for name, own in known.items()],
        "called as likely as they are",
        f"All {judged:,} hits that were judged, in ten groups by how likely they are called. "
        f"{INTERVALS}",
    )
