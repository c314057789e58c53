"""Fences images: what a later run has written is safe from the writes of an earlier one.

However the requests of two runs that write the same image interleave, the points of the later run
are what is left. The earlier run never touches them: its upserts and deletes skip what a later run
wrote, even under the same id. And its own points go: either they are there when the later run
deletes what is not its own, or they come after that, and then the earlier run's second look, which
follows its last upsert, finds the later run's points, which were there before that deletion.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from schemas.points import Point
from workers.batching import batched
from workers.indexes.filters import Ids, OneOf, PointFilter, Times
from workers.indexes.operations import PointOperations
from workers.indexes.points import batch_points

# Of a request to filter by.
_MAX_IMAGES = 1000


def replace_points(
    index: PointOperations,
    images: Sequence[str],
    points: Sequence[Point],
    run_started_at: datetime,
    upsert_batch: int,
) -> set[str]:
    """Put `points` in place of whatever these images had, by their ids; durable on return.

    Returns the ids of images that a later run has written meanwhile: of those nothing is left of
    `points`. A crash is repaired by doing it again.
    """
    later = _of_later_runs(run_started_at)
    upsert_points(index, points, run_started_at, upsert_batch)
    written = Ids(tuple(point.id for point in points))
    own = OneOf("image_id", tuple(images))
    _delete_existing(index, PointFilter(must=(own,), must_not=(written, later)))
    superseded = find_superseded(index, images, run_started_at)
    if superseded:
        left = OneOf("image_id", tuple(superseded))
        _delete_existing(index, PointFilter(must=(left, written), must_not=(later,)))
    return superseded


def upsert_points(
    index: PointOperations, points: Sequence[Point], run_started_at: datetime, upsert_batch: int
) -> None:
    """Write points, but over none of a later run; durable on return."""
    over = PointFilter(must_not=(_of_later_runs(run_started_at),))
    for batch in batch_points(points, upsert_batch):
        index.upsert(batch, over)
    index.flush()


def find_superseded(
    index: PointOperations, images: Sequence[str], run_started_at: datetime
) -> set[str]:
    """Those of the images that have points of a run which started later."""
    later = _of_later_runs(run_started_at)
    superseded: set[str] = set()
    for batch in batched(images, _MAX_IMAGES):
        where = PointFilter(must=(OneOf("image_id", tuple(batch)), later))
        superseded.update(index.count_values("image_id", where))
    return superseded


def delete_images(
    index: PointOperations, images: Sequence[str], run_started_at: datetime | None
) -> set[str]:
    """Remove every point of these images; durable on return.

    With `run_started_at`, points of later runs stay, and the ids of images that have such points
    are returned. That look follows the deletion: whatever is written after it is recorded after it.
    """
    spared = () if run_started_at is None else (_of_later_runs(run_started_at),)
    for batch in batched(images, _MAX_IMAGES):
        index.delete(PointFilter(must=(OneOf("image_id", tuple(batch)),), must_not=spared))
    index.flush()
    return set() if run_started_at is None else find_superseded(index, images, run_started_at)


def _of_later_runs(run_started_at: datetime) -> Times:
    # Points of older indexes have no such field: they count as of an earlier run.
    return Times("run_started_at", run_started_at, ("gt",))


def _delete_existing(index: PointOperations, where: PointFilter) -> None:
    # A flush waits for the disk: none where there is nothing to delete.
    if index.count_points(where):
        index.delete(where)
        index.flush()
