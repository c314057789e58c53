"""Keeps the records of objects that were added by hand: append-only parts beside the manifest's."""

from __future__ import annotations

import os
import time
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.manifest.part_storage import Parts
from schemas.added import ADDED_SCHEMA, AddedObject
from schemas.errors import ManifestError, one_line
from schemas.masks import CocoRle

_MOST_PARTS = 16
_READ_ATTEMPTS = 5
_TICK = timedelta(microseconds=1)


class AddedObjects:
    """What was added by hand, in few and small parts: all of it is in memory when it is read.

    The last record of an object counts: it was added, or removed again. Several processes may
    write at the same time. Raises ManifestError for a damaged part, and what `Parts` raise.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        # Parts never change.
        self._read: dict[str, list[AddedObject]] = {}

    def all(self) -> dict[str, AddedObject]:
        """What there is now, by object id."""
        return {name: record for name, record in self._latest().items() if not record.removed}

    def by_image(self) -> dict[str, tuple[AddedObject, ...]]:
        """The same by image id, in the order of object ids."""
        found: dict[str, list[AddedObject]] = defaultdict(list)
        for record in sorted(self.all().values(), key=attrgetter("object_id")):
            found[record.image_id].append(record)
        return {image: tuple(records) for image, records in found.items()}

    def find(self, object_id: str) -> AddedObject | None:
        """An object that was added, None if it never was, or was removed."""
        return self.all().get(object_id)

    def add(self, records: Sequence[AddedObject]) -> None:
        """Record objects; durable on return."""
        if not records:
            return
        # Clocks differ between machines: what is said now is later than what was said before.
        before = self._latest()
        self._write(_say_after(before.get(each.object_id), each) for each in records)
        self._compact()

    def remove(self, records: Sequence[AddedObject]) -> None:
        """Record that objects are no more; durable on return."""
        now = datetime.now(UTC)
        self.add([replace(each, removed=True, at=now) for each in records])

    def remove_images(self, images: Collection[str]) -> int:
        """Remove all objects of these images, by image id; how many."""
        gone = [record for record in self.all().values() if record.image_id in images]
        self.remove(gone)
        return len(gone)

    def copy_to(self, other: AddedObjects) -> None:
        """Record in another manifest what it lacks of what there is."""
        there = other.all()
        lacking = (record for name, record in self.all().items() if name not in there)
        other.add(list(lacking))

    def mirror_to(self, other: AddedObjects) -> None:
        """Record in another manifest just what there is here."""
        here = self.all()
        other.remove([record for name, record in other.all().items() if name not in here])
        self.copy_to(other)

    def drop(self) -> None:
        """Delete all records."""
        if names := self._parts.sizes():
            self._parts.remove(names)

    def set_aside(self) -> None:
        """Keep all records under other names, so that they count no longer."""
        self._parts.set_aside()

    def _latest(self) -> dict[str, AddedObject]:
        records = [record for part in self._read_parts().values() for record in part]
        return {each.object_id: each for each in sorted(records, key=attrgetter("at"))}

    def _read_parts(self) -> Mapping[str, list[AddedObject]]:
        for attempt in range(1, _READ_ATTEMPTS + 1):
            names = list(self._parts.sizes())
            try:
                self._read = {name: self._read.get(name) or self._load(name) for name in names}
            except FileNotFoundError as exc:  # another process merges parts
                if attempt == _READ_ATTEMPTS:
                    raise ManifestError(
                        f"the added objects in {self._parts.place} change while they are read: "
                        "try again"
                    ) from exc
                continue
            break
        return self._read

    def _load(self, name: str) -> list[AddedObject]:
        with self._parts.open(name) as file:
            try:
                return list(_to_records(pq.read_table(file, schema=ADDED_SCHEMA)))
            except (pa.ArrowException, KeyError, ValueError, OSError) as exc:
                path = os.path.join(self._parts.place, name)
                raise ManifestError(
                    f"the record of added objects {path} cannot be read: {one_line(exc)}"
                ) from exc

    def _compact(self) -> None:
        """Merge parts when there are many; removals stay, for what another process merges."""
        parts = self._read_parts()
        if len(parts) <= _MOST_PARTS:
            return
        names = list(parts)
        self._write(list(self._latest().values()))
        self._parts.remove(names)

    def _write(self, records: Iterable[AddedObject]) -> None:
        name = f"part-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
        with self._parts.create(name) as file:
            pq.write_table(_to_table(records), file, compression="zstd")


def _say_after(before: AddedObject | None, record: AddedObject) -> AddedObject:
    # Not at one time: what merges older parts may name its own later than that of `record`.
    return record if before is None else replace(record, at=max(record.at, before.at + _TICK))


def _to_table(records: Iterable[AddedObject]) -> pa.Table:
    rows: list[dict[str, Any]] = [
        {
            "object_id": record.object_id,
            "image_id": record.image_id,
            "uri": record.uri,
            "version": record.version,
            "height": record.rle.size_hw[0],
            "width": record.rle.size_hw[1],
            "counts": record.rle.counts,
            "label": record.label,
            "removed": record.removed,
            "at": record.at,
        }
        for record in records
    ]
    return pa.Table.from_pylist(rows, schema=ADDED_SCHEMA)


def _to_records(table: pa.Table) -> Iterator[AddedObject]:
    # Without its zone: resolving one takes a time zone database, which small containers lack.
    times = table["at"].cast(pa.timestamp("us")).to_pylist()
    for row, at in zip(table.drop_columns("at").to_pylist(), times, strict=True):
        size_hw = row.pop("height"), row.pop("width")
        rle = CocoRle(size_hw, row.pop("counts"))
        yield AddedObject(**row, rle=rle, at=at.replace(tzinfo=UTC))
