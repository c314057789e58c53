"""`objseek eval search --suggest`: writes a first file of queries from labelled images."""

from __future__ import annotations

from pathlib import Path

from pipeline.cli.console import out, print_line
from pipeline.cli.transfer_output import print_left_out
from pipeline.evaluation.search.query_file import write_queries
from pipeline.evaluation.search.suggestion import (
    Suggestion,
    suggest_from_index,
    suggest_from_truth,
)
from pipeline.evaluation.search.true_objects import TrueObjects
from pipeline.index_home import IndexHome
from pipeline.messages import sanitize
from pipeline.settings import Settings
from schemas.coco_reader import load_truth
from schemas.errors import UsageError
from workers.durable_files import check_output_file


def suggest(
    path: Path, truth: Path | None, settings: Settings, count: int, seed: int, *, force: bool
) -> None:
    """Write the file, and say what is in it.

    Raises UsageError where there is a file already, unless `force`, or nothing says what is right.
    """
    check_output_file(path, "the queries")
    if path.exists() and not force:
        raise UsageError(f"expected a new file, {path} is there: --force writes over it")
    loaded = None if truth is None else load_truth(truth)
    print_left_out([] if loaded is None else loaded.left_out)
    with IndexHome.current(settings).points() as index:
        if loaded is None:
            suggestion = suggest_from_index(index, count, seed)
        else:
            suggestion = suggest_from_truth(TrueObjects(loaded, index), count, seed)
    if not suggestion.queries:
        raise UsageError("expected labels of the ground truth to suggest queries from, got none")
    write_queries(path, suggestion.queries)
    _print_suggestion(suggestion, path, truth, settings.index.location)


def _print_suggestion(
    suggestion: Suggestion, path: Path, truth: Path | None, location: str
) -> None:
    texts, absent, boxes = map(len, (suggestion.texts, suggestion.absent, suggestion.boxes))
    _print(
        f"{texts + absent + boxes:,} queries written to {path}: texts for what is there: "
        f"{texts:,}, for what is not: {absent:,}, boxes round objects: {boxes:,}"
    )
    _print(
        "note: look through them: labels are not all that people search for, nor in their words, "
        "and what nobody has labelled may be there all the same"
    )
    if truth is None:
        _print("note: they trust what the segmenter, or whoever added an object, calls it")
    with_truth = "" if truth is None else f"--truth {truth} "
    _print(f"measure      objseek eval search --queries {path} {with_truth}--index {location}")


def _print(line: str) -> None:
    print_line(out(), sanitize(line))
