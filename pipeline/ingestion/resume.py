"""Resumes an ingest: leaves out the images that an earlier run has finished."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from pipeline.ingestion.listing import LISTED_AT_ONCE, last_chunk_size
from pipeline.manifest.image_keys import FinishedImages
from pipeline.manifest.manifest import Manifest
from pipeline.manifest.touched_files import find_finished
from pipeline.progress import Progress
from schemas.images import ImageRef
from schemas.options import RunnerOptions

LIST_AHEAD = 10_000
"""Images that are listed before they are needed, so that most runs know how much there is."""


def leave_out_finished(
    listed: Iterator[list[ImageRef]],
    finished: FinishedImages,
    manifest: Manifest,
    progress: Progress,
    runner: RunnerOptions,
) -> Iterator[list[ImageRef]]:
    """Chunks for a runner of what is listed and not finished; the rest is counted as unchanged.

    Files that were touched are finished too: `manifest` gets to know their new stamps.
    """
    ahead = deque[ImageRef]()
    all_taken = False
    while True:
        # A little for every chunk: nobody is to wait until all that is listed ahead is there.
        enough = min(LIST_AHEAD, len(ahead) + LISTED_AT_ONCE)
        while len(ahead) < enough and not all_taken:
            refs = next(listed, None)
            all_taken = refs is None
            done, touched = find_finished(refs or (), finished)
            manifest.restamp(touched)
            progress.add_unchanged(sum(done))
            ahead += (ref for ref, skip in zip(refs or (), done, strict=True) if not skip)
        if not ahead:
            return
        size = min(runner.batch_size, len(ahead))
        if all_taken:
            size = last_chunk_size(len(ahead), size, runner.workers)
        yield [ahead.popleft() for _ in range(size)]
