"""Plans what each commit to a Lance table takes away and brings.

What a later run has written is safe from an earlier one. A plan is made of the newest version, and
its commit fails if another writer has changed the same rows since; then it is planned anew. Rows
that others have only added in between make no commit fail, so after such a commit there is a second
look, which settles whose rows stay. Whichever of two writers commits last sees the other's rows.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from schemas.ids import image_id
from schemas.points import Point, PointLabels
from schemas.records import WORDS_NAME, EmbeddedImage
from workers.batching import batched
from workers.indexes.lance.impact_codes import impact_codes
from workers.indexes.lance.rows import ROW_ADDRESS, SPARSE_COLUMNS, to_rows
from workers.indexes.lance.sql import one_of
from workers.indexes.lance.table import Addresses, Change, LanceTable
from workers.indexes.points import check_images, image_points, labels_payload

if TYPE_CHECKING:
    import lance

_OF_A_RUN = ["id", "image_id", "run_started_at", "ingested_at"]
_MOST_RELABELLED = 4096
_LABELS = ("labels", "label_scores", "label_logsumexp", "labelled_by")


def replace_images(
    table: LanceTable,
    images: Sequence[EmbeddedImage],
    dim: int,
    run_started_at: datetime | None,
) -> tuple[set[uuid.UUID], int]:
    """Put the points of images in place of whatever these had, in one commit.

    Returns the ids of images that a run which started later has written, and how many rows came.
    """
    check_images(images, dim)
    now = datetime.now(UTC)
    started = run_started_at or now
    by_id = {str(image_id(image.ref)): image for image in images}
    superseded: set[str] = set()
    rows: dict[frozenset[str], pa.Table] = {}

    def plan(dataset: lance.LanceDataset) -> Change:
        there = _rows_of(dataset, by_id)
        later = _later_than(there, started)
        superseded.update(there["image_id"].filter(pa.array(later)).to_pylist())
        current = frozenset(by_id) - superseded
        if current not in rows:
            points = [
                point
                for identity, image in by_id.items()
                if identity in current
                for point in image_points(image, now, started)
            ]
            rows.clear()
            rows[current] = to_rows(points, dim)
        own = np.isin(there["image_id"].to_numpy(zero_copy_only=False), list(current))
        return Change(_addresses(there, own), rows[current])

    def settle(dataset: lance.LanceDataset) -> Change:
        there = _rows_of(dataset, by_id)
        later = _later_than(there, started)
        superseded.update(there["image_id"].filter(pa.array(later)).to_pylist())
        lost = np.isin(there["image_id"].to_numpy(zero_copy_only=False), list(superseded))
        return Change(_addresses(there, ~later & (lost | ~_newest_of(there, started, now))))

    if by_id and table.change(plan):
        while table.change(settle):
            pass
    return set(map(uuid.UUID, superseded)), sum(each.num_rows for each in rows.values())


def _rows_of(dataset: lance.LanceDataset, images: Iterable[str]) -> pa.Table:
    """What tells the runs of all rows of images apart, with their addresses."""
    return dataset.to_table(
        columns=_OF_A_RUN, filter=one_of("image_id", images), with_row_address=True
    )


def _times(there: pa.Table, name: str) -> Any:
    """Microseconds, int64 (n,); the least where there is none."""
    return there[name].cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()


def _micros(moment: datetime) -> int:
    return int(pa.scalar(moment, pa.timestamp("us", tz="UTC")).cast(pa.int64()).as_py())


def _later_than(there: pa.Table, started: datetime) -> Any:
    """bool (n,): rows of runs that started later. Rows without a run count as of an earlier one."""
    return _times(there, "run_started_at") > _micros(started)


def _newest_of(there: pa.Table, started: datetime, now: datetime) -> Any:
    """bool (n,): the rows that this very call has written, each id once, as an answer was lost."""
    written = _times(there, "run_started_at") == _micros(started)
    written &= _times(there, "ingested_at") == _micros(now)
    ids = there["id"].to_numpy(zero_copy_only=False).astype(str)
    addresses = there[ROW_ADDRESS].to_numpy()
    order = np.lexsort((addresses, ids))
    last = np.zeros(len(order), np.bool_)
    last[order] = np.append(ids[order][1:] != ids[order][:-1], True)[: len(order)]
    return written & last


def _addresses(there: pa.Table, chosen: Any) -> Addresses:
    addresses: Addresses = there[ROW_ADDRESS].to_numpy()[chosen]
    return addresses


def upsert(table: LanceTable, points: Sequence[Point], dim: int, over: str | None) -> None:
    """Write points in one commit; in place of rows of the same ids only if these meet `over`."""
    by_id = {point.id: point for point in points}
    all_rows = to_rows(list(by_id.values()), dim)

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
        return Change(_all_but_last(_find(dataset, one_of("id", by_id))))

    if by_id and table.change(plan):
        while table.change(settle):
            pass


def _find(dataset: lance.LanceDataset, condition: str) -> pa.Table:
    return dataset.to_table(columns=["id"], filter=condition, with_row_address=True)


def _all_but_last(there: pa.Table) -> Addresses:
    """The rows of each id but the one that was written last."""
    last: dict[str, int] = {}
    addresses = there[ROW_ADDRESS].to_pylist()
    for identity, address in zip(there["id"].to_pylist(), addresses, strict=True):
        last[identity] = max(address, last.get(identity, 0))
    kept = set(last.values())
    return np.array([address for address in addresses if address not in kept], np.uint64)


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
    for name, values in columns.items():
        place = rows.schema.get_field_index(name)
        field = rows.schema.field(place)
        rows = rows.set_column(place, field, pa.array(values, field.type))
    return rows
