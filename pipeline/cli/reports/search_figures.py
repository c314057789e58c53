"""Names the figures of search, in their order, and what came instead of what was to be found."""

from __future__ import annotations

from pipeline.evaluation.search.figures import list_depths
from pipeline.evaluation.search.query_result import QueryResult, Verdict

_MOST_INSTEAD = 3


def name_figures(limit: int) -> dict[str, str]:
    """What the figures of so many hits a query are called."""
    depths = list_depths(limit)
    return {
        "success_1": "first hit right",
        **{
            f"success_{depth}": f"a right hit among the first {depth}"
            for depth in depths
            if depth > 1
        },
        **{f"recall_{depth}": f"recall, first {depth}" for depth in depths},
        "mrr": "MRR",
        **{f"ndcg_{depth}": f"nDCG, first {depth}" for depth in depths if depth > 1},
        "present_weak": "weak answers, of what is there",
        "absent_weak": "weak answers, of what is not there",
        "unlearnt_texts": "texts for what is there with words not learnt",
        "calibration_error": "calibration error of all hits",
        "first_calibration_error": "calibration error of first hits",
    }


def describe_instead(result: QueryResult) -> str:
    """What the first wrong hits show, those before the first right one."""
    before: list[str] = []
    for hit in result.hits:
        if hit.verdict is Verdict.RIGHT or len(before) == _MOST_INSTEAD:
            break
        if hit.verdict is Verdict.WRONG:
            before.append(hit.shows or "(something else)")
    return ", ".join(before) or "(nothing)"


def describe_rank(result: QueryResult) -> str:
    """The place of the first right hit."""
    return str(result.first_rank or "none")


def describe_found(result: QueryResult) -> str:
    """How many of what is to be found are among the hits."""
    return f"{sum(result.gains):,} of {result.wanted:,}"
