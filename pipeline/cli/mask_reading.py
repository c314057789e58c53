"""Reads true masks and found ones to be measured, and tells how far measuring is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.cli import progress_bars
from pipeline.cli.console import err, out, print_line
from pipeline.cli.transfer_output import print_left_out
from pipeline.evaluation.masks.found_masks import FoundMasks, read_found, read_indexed, read_true
from pipeline.index_home import IndexHome
from pipeline.settings import Settings
from schemas.coco import CocoTruth, join_images

_MOST_NOTES = 10  # each is a line where there is no terminal


def read_truth(path: Path, *, strict: bool) -> CocoTruth:
    """The true masks of a COCO file, every image once; what is wrong is told. DatasetError."""
    truth = join_images(read_true(path, strict=strict), lambda image: image.file_name)
    print_left_out(truth.left_out)
    return truth


def read_masks(found: str, truth: CocoTruth, settings: Settings, *, strict: bool) -> FoundMasks:
    """The masks of a COCO file, or of the index that lies there; what is wrong is told.

    Raises DatasetError, UsageError, and what opening an index does.
    """
    path = Path(found)
    if path.is_file():
        masks = read_found(path, truth, strict=strict)
        print_left_out(masks.left_out)
        _print_missing(masks, found)
        return masks
    index = settings.index.model_copy(update={"location": found})
    home = IndexHome.current(settings.model_copy(update={"index": index}))
    with home.points() as points:
        masks = read_indexed(points.scroll(), truth, points.note_broken)
    _print_missing(masks, found)
    return masks


def _print_missing(masks: FoundMasks, found: str) -> None:
    if masks.missing:
        print_line(
            out(),
            f"note: images of the ground truth that are not in {found}, where all is missed: "
            f"{masks.missing:,}",
        )


@contextmanager
def follow(count: int, text: str) -> Iterator[Callable[[int], None]]:
    """What is to be called with how many of `count` are done; `text` has places for both."""
    with progress_bars.show_progress(err()) as progress:
        noted = 0

        def note(number: int) -> None:
            nonlocal noted
            if number - noted < max(1, count // _MOST_NOTES) and number != count:
                return
            noted = number
            progress.note(text.format(f"{number:,}", f"{count:,}"))

        yield note
