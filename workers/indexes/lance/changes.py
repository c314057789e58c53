"""Plans what each commit to a Lance table takes away and brings.

What a later run has written is safe from an earlier one. A plan is made of the newest version, and
its commit fails if another writer has changed the same rows since; then it is planned anew. Rows
that others have only added in between make no commit fail, so after such a commit there is a second
look, which settles whose rows stay. Whichever of two writers commits last sees the other's rows.

Writes of an image have one order, by when their runs started, then by when they began: each takes
away what comes before it, or else itself, so no two take away each other. A process that dies
between its commit and the second look leaves an image with the rows of both writers. The next write
of that image takes both away; until then `objseek verify` calls them extra or stale, and `--repair`
with the next ingest mends them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.points import Point, PointLabels
from schemas.records import WORDS_NAME
from schemas.tags import TAGS, ChangeTags, Tags
from workers.batching import batched
from workers.indexes.lance.impact_codes import impact_codes
from workers.indexes.lance.packed_points import pack_point
from workers.indexes.lance.rows import PACKED, ROW_ADDRESS, SPARSE_COLUMNS, from_rows, to_rows
from workers.indexes.lance.sql import one_of
from workers.indexes.lance.table import Addresses, Change, LanceTable
from workers.indexes.points import labels_payload
from workers.indexes.tags import PlannedTags, keep_tags, plan_tags

if TYPE_CHECKING:
    import lance

_Kept = frozenset[tuple[str, Tags]]
"""Ids of points with their tags."""
_OF_A_RUN = ["id", "image_id", "run_started_at", "ingested_at"]
_MOST_RELABELLED = 4096
_LABELS = ("labels", "label_scores", "label_logsumexp", "labelled_by")


def replace_images(
    table: LanceTable,
    images: Sequence[str],
    points_of: Callable[[str], Sequence[Point]],
    started: datetime,
    dim: int,
) -> tuple[set[str], int]:
    """Put the points of images in place of whatever these had, in one commit.

    Returns the ids of images that a run which started later has written, and how many rows came.
    """
    now = datetime.now(UTC)
    superseded: set[str] = set()
    rows: dict[tuple[frozenset[str], _Kept], pa.Table] = {}  # that of the newest plan

    def look(dataset: lance.LanceDataset) -> _RowsOfImages:
        there = _RowsOfImages(dataset, images, started, now)
        superseded.update(there.images[there.of_later_runs])
        return there

    def plan(dataset: lance.LanceDataset) -> Change:
        there = look(dataset)
        current = frozenset(images) - superseded
        key = current, there.tags
        if key not in rows:
            points = [point for each in images if each in current for point in points_of(each)]
            points = keep_tags(_stamp(points, now), dict(there.tags))
            rows.clear()
            rows[key] = to_rows(points, dim, dataset.schema)
        # Own ones are there if a commit went through that seemed to fail.
        return Change(there.addresses[there.of(current) | there.own], rows[key])

    def settle(dataset: lance.LanceDataset) -> Change:
        there = look(dataset)
        ((written, _),) = rows
        outdone = superseded.union(there.images[there.after])
        own = (there.own & there.of(outdone)) | there.repeated()
        before = ~there.own & ~there.after & there.of(written)
        return Change(there.addresses[own | before])

    if images and table.change(plan):
        while table.change(settle):
            pass
    return superseded, sum(each.num_rows for each in rows.values())


def _stamp(points: Iterable[Point], now: datetime) -> list[Point]:
    """Points with the time at which this write began, by which its rows are told from others'."""
    time = {"ingested_at": now.isoformat()}
    return [replace(point, payload={**point.payload, **time}) for point in points]


class _RowsOfImages:
    """The rows of images in one version, held against one write of the same images; bool (n,) each.

    `of_later_runs` are of runs that started later, `own` of this very write, and `after` of writes
    that follow it in the order of all: by when their runs started, then by when they began. Rows
    that tell no run are of an earlier one. `tags` are those of the rows that have any.
    """

    def __init__(
        self,
        dataset: lance.LanceDataset,
        images: Iterable[str],
        started: datetime,
        began: datetime,
    ) -> None:
        has_tags = TAGS in dataset.schema.names
        there = dataset.to_table(
            columns=[*_OF_A_RUN, *([TAGS] if has_tags else [])],
            filter=one_of("image_id", images),
            with_row_address=True,
        )
        self.tags = _read_tags(there) if has_tags else frozenset()
        self.addresses: Addresses = there[ROW_ADDRESS].to_numpy()
        self.images = _texts(there, "image_id")
        self._ids = _texts(there, "id")
        runs, writes = _times(there, "run_started_at"), _times(there, "ingested_at")
        of_this_run = runs == _micros(started)
        self.of_later_runs = runs > _micros(started)
        self.own = of_this_run & (writes == _micros(began))
        self.after = self.of_later_runs | (of_this_run & (writes > _micros(began)))

    def of(self, images: Collection[str]) -> Any:
        """bool (n,): rows of these images."""
        return np.isin(self.images, np.array([*images], np.str_))

    def repeated(self) -> Any:
        """bool (n,): own rows whose id has another own row with a higher address."""
        order = np.lexsort((self.addresses, self.own, self._ids))
        repeated = np.zeros(len(order), np.bool_)
        repeated[order[:-1]] = self._ids[order[:-1]] == self._ids[order[1:]]
        return repeated & self.own


def _read_tags(there: pa.Table) -> _Kept:
    tagged = there.filter(pc.is_valid(there[TAGS])).select(["id", TAGS])
    return frozenset((row["id"], tuple(row[TAGS])) for row in tagged.to_pylist())


def _texts(there: pa.Table, name: str) -> Any:
    return there[name].to_numpy(zero_copy_only=False).astype(np.str_)


def _times(there: pa.Table, name: str) -> Any:
    """Microseconds, int64 (n,); the least where there is none."""
    return there[name].cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()


def _micros(moment: datetime) -> int:
    return int(pa.scalar(moment, pa.timestamp("us", tz="UTC")).cast(pa.int64()).as_py())


def upsert(table: LanceTable, points: Sequence[Point], dim: int, over: str | None) -> None:
    """Write points in one commit; in place of rows of the same ids only if these meet `over`."""
    by_id = {point.id: point for point in points}
    all_rows = to_rows(list(by_id.values()), dim, table.latest().schema)

    def plan(dataset: lance.LanceDataset) -> Change:
        ids = one_of("id", by_id)
        there = _find(dataset, ids)
        may = there if over is None else _find(dataset, f"{ids} AND {over}")
        kept = set(there["id"].to_pylist()) - set(may["id"].to_pylist())
        rows = all_rows
        if kept:
            rows = all_rows.filter(pa.array([identity not in kept for identity in by_id]))
        return Change(may[ROW_ADDRESS].to_numpy(), rows)

    def settle(dataset: lance.LanceDataset) -> Change:
        there = dataset.to_table(
            columns=_OF_A_RUN, filter=one_of("id", by_id), with_row_address=True
        )
        return Change(_all_but_last(there))

    if by_id and table.change(plan):
        while table.change(settle):
            pass


def _find(dataset: lance.LanceDataset, condition: str) -> pa.Table:
    return dataset.to_table(columns=["id"], filter=condition, with_row_address=True)


def _all_but_last(there: pa.Table) -> Addresses:
    """The rows of each id but that of the latest run; of one run, that which was written last."""
    addresses, ids = there[ROW_ADDRESS].to_numpy(), _texts(there, "id")
    order = np.lexsort((addresses, _times(there, "run_started_at"), ids))
    outdone: Addresses = addresses[order[:-1][ids[order[:-1]] == ids[order[1:]]]]
    return outdone


def delete(table: LanceTable, condition: str) -> None:
    """Delete the rows that meet a condition, in one commit."""
    table.change(lambda dataset: Change(_find(dataset, condition)[ROW_ADDRESS].to_numpy()))


def set_labels(table: LanceTable, items: Sequence[PointLabels], labelled_by: str) -> None:
    """Give those points that exist other labels and words, some thousand in a commit."""
    for batch in batched(items, _MOST_RELABELLED):
        by_id = {str(uuid.UUID(item.point_id)): item for item in batch}

        def plan(dataset: lance.LanceDataset, by_id: Mapping[str, Any] = by_id) -> Change:
            there = dataset.to_table(filter=one_of("id", by_id), with_row_address=True)
            gone = there[ROW_ADDRESS].to_numpy()
            return Change(gone, _relabelled(there.drop_columns([ROW_ADDRESS]), by_id, labelled_by))

        table.change(plan)


def _relabelled(rows: pa.Table, by_id: Mapping[str, PointLabels], labelled_by: str) -> pa.Table:
    """Rows with other labels and words; an image keeps that it has no `label_logsumexp`."""
    items = [by_id[identity] for identity in rows["id"].to_pylist()]
    payloads = [labels_payload(item, labelled_by) for item in items]
    columns: dict[str, Collection[Any]] = {
        name: [
            payload.get(name, before)
            for payload, before in zip(payloads, rows[name].to_pylist(), strict=True)
        ]
        for name in _LABELS
    }
    words = SPARSE_COLUMNS[WORDS_NAME]
    columns[words.indices] = [item.words.indices.tolist() for item in items]
    columns[words.values] = [item.words.values.tolist() for item in items]
    columns[words.impacts] = [impact_codes(item.words).tolist() for item in items]
    points = (
        replace(point, payload={**point.payload, **payload}, words=item.words)
        for point, payload, item in zip(from_rows(rows), payloads, items, strict=True)
    )
    columns[PACKED] = [*map(pack_point, points)]
    return _with_columns(rows, columns)


def set_tags(
    table: LanceTable, ids: Sequence[str], change: ChangeTags
) -> tuple[dict[str, Tags], int]:
    """Give those points that exist the tags that `change` makes of theirs, in one commit.

    Returns the tags that they have then, by id, and how many have others than before.
    """
    planned = PlannedTags({}, {})

    def plan(dataset: lance.LanceDataset) -> Change:
        nonlocal planned
        there = dataset.to_table(filter=one_of("id", ids), with_row_address=True)
        planned = plan_tags(from_rows(there), change)
        is_changed = [identity in planned.changed for identity in there["id"].to_pylist()]
        there = there.filter(pa.array(is_changed, pa.bool_()))
        rows = _retagged(there.drop_columns([ROW_ADDRESS]), planned.changed)
        return Change(there[ROW_ADDRESS].to_numpy(), rows)

    table.change(plan)
    return {**planned.tags}, len(planned.changed)


def _retagged(rows: pa.Table, tags: Mapping[str, Tags]) -> pa.Table:
    lists = [[*tags[identity]] or None for identity in rows["id"].to_pylist()]
    points = (
        replace(point, payload={**point.payload, TAGS: each})
        for point, each in zip(from_rows(rows), lists, strict=True)
    )
    return _with_columns(rows, {TAGS: lists, PACKED: [*map(pack_point, points)]})


def _with_columns(rows: pa.Table, columns: Mapping[str, Collection[Any]]) -> pa.Table:
    """Rows with other values in these columns."""
    for name, values in columns.items():
        place = rows.schema.get_field_index(name)
        field = rows.schema.field(place)
        rows = rows.set_column(place, field, pa.array(values, field.type))
    return rows
