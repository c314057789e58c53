"""Retries the images that failed, and no others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pipeline.index_home import IndexHome
from pipeline.ingestion.box_file import read_setting_boxes
from pipeline.ingestion.session import IngestSession
from pipeline.jobs.ingest import IngestSummary
from pipeline.progress import Progress
from pipeline.runners.recipe import Recipe, build_always, build_recipe, video_options
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.images import ImageRef
from schemas.manifest import ManifestRow, State
from schemas.pipelines import video_fingerprint
from workers.batching import batched
from workers.stores.open import find


def retry(
    settings: Settings,
    states: Collection[State] = (State.FAILED,),
    progress: Progress | None = None,
    recipe: Recipe | None = None,
) -> IngestSummary | None:
    """Work again on the images whose last attempt ended in one of `states`; None if there are none.

    Each in the version that its store has now; those that are there no more become gone. Raises
    UsageError if `settings` are not those of an ingest into this index, and what `ingest` raises.
    """
    home = IndexHome.current(settings)
    home.require_ingested()
    pipeline = home.pipelines.find(settings)
    if pipeline is None:
        raise UsageError(
            f"expected the settings and models of an ingest into {home.location!r}, got others: "
            "a retry would mix two kinds of objects"
        )
    own = (pipeline, video_fingerprint(pipeline, video_options(settings)))
    rows = [row for row in home.manifest.latest() if row.state in states and row.fingerprint in own]
    if not rows:
        return None
    progress = progress or Progress()
    build = build_always(recipe) if recipe else build_recipe
    boxes = read_setting_boxes(settings, ())
    with progress, IngestSession(settings, build, boxes=boxes) as session:
        log = session.run(_find_all(rows, settings), home, progress, again=True)
    return IngestSummary.of(home, progress, log)


def _find_all(rows: Sequence[ManifestRow], settings: Settings) -> Iterator[list[ImageRef]]:
    with ThreadPoolExecutor(settings.runner.read_concurrency) as pool:
        for batch in batched(rows, settings.runner.batch_size):
            yield list(pool.map(partial(_find_now, settings), batch))


def _find_now(settings: Settings, row: ManifestRow) -> ImageRef:
    # One that is gone is found out when it is read, and recorded as every other.
    return find(row.ref, settings.store) or row.ref
