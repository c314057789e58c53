"""Prints what the demo made, and how to ask it more."""

from __future__ import annotations

import os
import shutil
import sys

from pipeline.cli.console import out, print_line
from pipeline.cli.tables import print_rows
from pipeline.demo.run import DemoSummary
from pipeline.jobs.ingest import IngestSummary
from schemas.counts import IngestCounts


def print_demo(summary: DemoSummary) -> None:
    """Print the counts, the answers, and where everything was written."""
    console = out()
    print_counts(summary.ingest)
    rows = [
        (
            f"{answer.hits}",
            f"{answer.best_score:.3f}",
            f"{answer.seconds * 1000:.0f}",
            answer.query,
            str(answer.sheet),
        )
        for answer in summary.answers
    ]
    print_rows(("hits", "best score", "ms", "query", "contact sheet"), rows, right=3)
    places = {"bucket": summary.bucket, "index": summary.index, "contact sheets": summary.sheets}
    for name, place in places.items():
        print_line(console, f"{name + ':':<16}{place}")
    console.print(
        "The demo models know only emoji art; `objseek models` lists the real models.",
        soft_wrap=True,
    )


def print_counts(ingest: IngestSummary) -> None:
    """Print what came of the images."""
    counts = ingest.counts
    if counts.handled:
        out().print(
            f"{counts.done:,} {_name_files(counts)} with {counts.objects:,} objects in "
            f"{ingest.seconds:.0f} s ({ingest.images_per_s:.2f} {counts.rate_noun}/s)"
        )
    else:
        out().print(f"{counts.unchanged:,} files were ingested before: nothing to do")


def _name_files(counts: IngestCounts) -> str:
    return "videos" if counts.videos and counts.videos == counts.done else counts.noun


def print_next_steps(options: str, *, serving: bool) -> None:
    """Print the commands that search the demo's bucket further; `options` are those given."""
    program = _find_program()
    print_line(out(), f'Search for more, with pictures: {program} demo "a house"{options}')
    if not serving:
        print_line(out(), f"In a browser: {program} demo --serve{options}")


def _find_program() -> str:
    """How the user can call objseek here: by its name, or by the path of a `make demo`."""
    if shutil.which("objseek"):
        return "objseek"
    return os.path.relpath(sys.argv[0])
