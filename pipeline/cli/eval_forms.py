"""Checks which arguments of `objseek eval` go together. All raise UsageError where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.drawing.report.report_file import check_report_file
from schemas.errors import UsageError

_REPORTED = ("masks", "compare", "search")


def check_compared(
    what: str | None, compared: Sequence[str], truth: Path | None, queries: Path | None
) -> None:
    """Whether there are A, B and what is right, where they are needed, and only there."""
    if what != "compare" and compared:
        raise UsageError(f"A and B go with `eval compare`, got {compared[0]!r}")
    if what == "compare" and (len(compared) < 2 or (truth is None and queries is None)):
        lacking = "no --truth" if len(compared) == 2 else f"{len(compared)} of A and B"
        raise UsageError(
            "expected `eval compare A B --truth FILE`, or with --queries: without what is right, "
            f"two runs differ but none is better; got {lacking}"
        )


def check_form(what: str | None, truth: Path | None, pred: str | None) -> None:
    """Whether it is one of the forms in which the command is called."""
    if what == "masks":
        if truth is None or pred is None:
            raise UsageError(
                "expected `eval masks --truth FILE --pred FILE|INDEX`, "
                f"got no {'--truth' if truth is None else '--pred'}"
            )
    elif pred is not None or (
        what not in ("compare", "search") and (what is None) == (truth is None)
    ):
        raise UsageError(
            "expected one of `eval demo`, `eval prompts`, `eval segmentation`, "
            "`eval masks --truth FILE --pred FILE|INDEX`, `eval compare A B --truth FILE`, "
            "`eval search --queries FILE` and `eval --truth FILE --index INDEX`"
        )


def check_search(what: str | None, queries: Path | None, suggest: Path | None) -> None:
    """Whether queries are to be asked, or suggested, where that is done."""
    if suggest is not None and what != "search":
        raise UsageError("--suggest goes with `eval search`")
    if queries is not None and what not in ("search", "compare"):
        raise UsageError("--queries goes with `eval search` and `eval compare`")
    if what == "search" and (queries is None) == (suggest is None):
        raise UsageError(
            "expected `eval search --queries FILE` to measure, or `eval search --suggest FILE` to "
            f"write a first file, got {'neither' if queries is None else 'both'}"
        )


def check_report(what: str | None, report: Path | None) -> None:
    """Whether there is a report of it, and it can be written."""
    if report is None:
        return
    if what not in _REPORTED:
        raise UsageError("--report goes with `eval masks`, `eval compare` and `eval search`")
    check_report_file(report)
