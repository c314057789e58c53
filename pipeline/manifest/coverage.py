"""Counts the images of an index by folder, day and pipeline, in columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from operator import attrgetter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.manifest.image_keys import FinishedImages
from pipeline.manifest.manifest import Manifest
from pipeline.manifest.touched_files import find_finished
from schemas.images import ImageRef
from schemas.manifest import State
from workers.batching import batched
from workers.stores.object_version import BY_TIME

WAITING = "waiting"
"""Images that are listed and have not been tried in that version; a manifest has no such state."""
OTHERS, EARLIER = "others", "earlier"
"""Names of the rows that sum up the groups left out; neither can be a prefix or a day."""

_STATES = tuple(state.value for state in State)
_LISTED_AT_ONCE = 10_000
_SUMMED_AT_ONCE = 1 << 18
# Large, because a column of strings holds at most 2 GiB, and there may be many folders.
_TEXT = pa.large_string()
_FOLDERS = pa.schema([("folder", _TEXT), ("state", pa.string()), ("images", pa.int64())])
_RUNS = pa.schema(
    [
        ("day", pa.date32()),
        ("state", pa.string()),
        ("fingerprint", pa.string()),
        ("images", pa.int64()),
        ("objects", pa.int64()),
        ("videos", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class PipelineCounts:
    """The part of an index that one pipeline made; days are UTC, such as 2026-01-31."""

    fingerprint: str
    images: int
    objects: int
    first_day: str
    last_day: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """Images by state, summed up by prefix, day and pipeline.

    `folders` has the columns folder (a uri that ends in a slash, of a prefix), state and images;
    `runs` has day, state, fingerprint, images, objects and videos: a video counts as an image, and
    `videos` are those that are done. `waiting` is None where nothing was
    listed. `by_time` images have a version by time and size, as their store told no ETag.
    """

    folders: pa.Table
    runs: pa.Table
    waiting: int | None = None
    by_time: int = 0

    def images(self) -> dict[str, int]:
        """Images of the manifest by state; every state is there."""
        counts: Counter[str] = Counter()
        for run in self.runs.select(["state", "images"]).to_pylist():
            counts[run["state"]] += run["images"]
        return {state: counts[state] for state in _STATES}

    def objects(self) -> int:
        """Objects of all images that are done."""
        return int(pc.sum(self.runs["objects"]).as_py() or 0)

    def videos(self) -> int:
        """Videos among the images that are done."""
        return int(pc.sum(self.runs["videos"]).as_py() or 0)

    def common(self) -> str:
        """The uri of the longest folder that all images are in; empty for several stores."""
        return _common(self.folders["folder"])

    def prefixes(self) -> pa.Table:
        """Columns prefix, done, rejected, failed, gone, waiting; a row a prefix, sorted by it.

        A prefix is a folder some levels below `common`, or the image's own where that is higher.
        """
        counts = _by_state("prefix", self.folders["folder"], self.folders, (*_STATES, WAITING))
        if self.waiting is None:
            place = counts.column_names.index(WAITING)
            return counts.set_column(place, WAITING, pa.nulls(len(counts), pa.int64()))
        return counts

    def days(self) -> pa.Table:
        """Columns day (UTC, such as 2026-01-31), done, rejected, failed, gone; sorted by day."""
        return _by_state("day", self.runs["day"].cast(pa.string()), self.runs, _STATES)

    def pipelines(self) -> list[PipelineCounts]:
        """The pipelines that images are done by, the earliest first."""
        done = self.runs.filter(pc.field("state") == State.DONE.value)
        sums = done.group_by("fingerprint").aggregate(
            [("images", "sum"), ("objects", "sum"), ("day", "min"), ("day", "max")]
        )
        pipelines = [
            PipelineCounts(
                fingerprint=row["fingerprint"],
                images=row["images_sum"],
                objects=row["objects_sum"],
                first_day=row["day_min"].isoformat(),
                last_day=row["day_max"].isoformat(),
            )
            for row in sums.to_pylist()
        ]
        return sorted(pipelines, key=attrgetter("first_day", "last_day", "fingerprint"))


def measure_coverage(
    manifest: Manifest, listed: Iterable[ImageRef] | None = None, depth: int = 1
) -> Coverage:
    """The last attempts at all images of a manifest, and those `listed` that are waiting.

    Waiting are those that were never tried in the listed version, and those recorded as gone.
    Prefixes are `depth` levels below the folder that all images are in. Streamed; raises what
    reading a manifest and listing raise.
    """
    folders, runs = _Sums(_FOLDERS, partial(_prefixes, depth=depth)), _Sums(_RUNS)
    by_time = 0
    columns = ["uri", "version", "state", "at", "fingerprint", "objects", "shots"]
    for rows in manifest.tables(columns):
        by_time += int(pc.sum(pc.starts_with(rows["version"], BY_TIME)).as_py() or 0)
        ones = np.ones(len(rows), np.int64)
        folders.add([_folders(rows["uri"]), rows["state"], ones])
        # Without its zone: resolving one takes a time zone database, which small containers lack.
        days = rows["at"].cast(pa.timestamp("us")).cast(pa.date32())
        videos = pc.greater(rows["shots"], 0).cast(pa.int64())
        runs.add([days, rows["state"], rows["fingerprint"], ones, rows["objects"], videos])
    waiting = None
    if listed is not None:
        waiting = 0
        for uris in _untried_uris(listed, manifest.tried_images()):
            waiting += len(uris)
            ones = np.ones(len(uris), np.int64)
            folders.add([_folders(pa.chunked_array([uris])), [WAITING] * len(uris), ones])
    return Coverage(folders.total(), runs.total(), waiting, by_time)


def largest(prefixes: pa.Table, most: int) -> pa.Table:
    """At most `most` rows of `Coverage.prefixes`: the largest, and last the sum of the `OTHERS`."""
    if len(prefixes) <= most:
        return prefixes
    totals = np.zeros(len(prefixes), np.int64)
    for column in prefixes.columns[1:]:
        totals += column.fill_null(0).to_numpy()
    order = np.argsort(-totals, kind="stable")
    kept, rest = np.sort(order[: most - 1]), order[most - 1 :]
    return pa.concat_tables([prefixes.take(kept), _total_row(OTHERS, prefixes.take(rest))])


def latest(days: pa.Table, most: int) -> pa.Table:
    """The last `most` rows of `Coverage.days`, after one that sums up all `EARLIER` days."""
    before = len(days) - most
    if before <= 0:
        return days
    return pa.concat_tables([_total_row(EARLIER, days[:before]), days[before:]])


class _Sums:
    """Adds up the numbers of any number of tables, grouped by their other columns.

    `regroup` may merge groups of a table that holds those of all tables so far.
    """

    def __init__(
        self, schema: pa.Schema, regroup: Callable[[pa.Table], pa.Table] = lambda table: table
    ) -> None:
        self._schema, self._regroup = schema, regroup
        self._keys = [field.name for field in schema if field.type != pa.int64()]
        self._sums = schema.empty_table()
        self._pending: list[pa.Table] = []
        self._rows = 0

    def add(self, columns: list[object]) -> None:
        self._pending.append(_sum_groups(pa.table(columns, schema=self._schema), self._keys))
        self._rows += len(self._pending[-1])
        # Each row is then added up only a few times, however many groups there are.
        if self._rows > max(_SUMMED_AT_ONCE, len(self._sums)):
            self.total()

    def total(self) -> pa.Table:
        together = self._regroup(pa.concat_tables([self._sums, *self._pending]))
        self._sums = _sum_groups(together, self._keys)
        self._pending, self._rows = [], 0
        return self._sums


def _sum_groups(table: pa.Table, keys: list[str]) -> pa.Table:
    numbers = [name for name in table.column_names if name not in keys]
    sums = table.group_by(keys).aggregate([(name, "sum") for name in numbers])
    return sums.select([*keys, *(f"{name}_sum" for name in numbers)]).rename_columns(
        [*keys, *numbers]
    )


def _by_state(name: str, key: pa.ChunkedArray, counts: pa.Table, states: Iterable[str]) -> pa.Table:
    columns = {
        state: pc.if_else(pc.equal(counts["state"], state), counts["images"], 0) for state in states
    }
    return _sum_groups(pa.table({name: key, **columns}), [name]).sort_by(name)


def _total_row(name: str, groups: pa.Table) -> pa.Table:
    """The sum of all groups, as one row."""
    columns = [[name], *([pc.sum(column).as_py()] for column in groups.columns[1:])]
    return pa.table(columns, schema=groups.schema)


def _folders(uris: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each uri up to and including its last slash."""
    parts = pc.split_pattern(uris, "/", max_splits=1, reverse=True)
    return pc.binary_join_element_wise(pc.list_element(parts, 0).cast(_TEXT), _text(""), _text("/"))


def _common(folders: pa.ChunkedArray) -> str:
    if not len(folders):
        return ""
    ends = pc.min_max(folders).as_py()
    levels = zip(*(end[:-1].split("/") for end in ends.values()), strict=False)
    shared = takewhile(lambda level: level[0] == level[1], levels)
    return "".join(f"{name}/" for name, _ in shared)


def _prefixes(counts: pa.Table, depth: int) -> pa.Table:
    """The same with each folder cut to `depth` levels below the one that all are in.

    More folders can only raise that folder, so what is cut here would also be cut later.
    """
    common = _common(counts["folder"])
    below = pc.utf8_slice_codeunits(counts["folder"], len(common))
    root = "" if common else "[^:]*://"  # there are several stores
    pattern = f"^(?P<levels>{root}(?:[^/]*/){{0,{depth}}})"
    levels = pc.struct_field(pc.extract_regex(below, pattern), "levels")
    return counts.set_column(
        0, "folder", pc.binary_join_element_wise(_text(common), levels, _text(""))
    )


def _untried_uris(listed: Iterable[ImageRef], tried: FinishedImages) -> Iterator[pa.Array]:
    """The uris of listed images that were not tried, many at a time."""
    for refs in batched(listed, _LISTED_AT_ONCE):
        is_tried, _ = find_finished(refs, tried)
        yield pa.array(
            [ref.uri for ref, known in zip(refs, is_tried, strict=True) if not known], pa.string()
        )


def _text(value: str) -> pa.Scalar:
    return pa.scalar(value, _TEXT)
