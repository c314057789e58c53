"""The manifest on disk: append-only Parquet parts, compacted to the last attempt at each image."""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.finished import FinishedImages, Keys, keys_of
from schemas.errors import IndexUnavailableError, VectorIndexError
from schemas.manifest import MANIFEST_SCHEMA, ManifestRow, State
from workers.indexes import index_folder, is_server, server_address

_BUFFERED_ROWS = 4096
_BATCH_ROWS = 65_536
_READ_ATTEMPTS = 5
# What parts lack that were written before there were these columns.
_BEFORE: dict[str, object] = {"retryable": False, "attempts": 1, "checksum": ""}
_T = TypeVar("_T")


def manifest_folder(location: str) -> Path:
    """Where the manifest of an index lies: in its folder, or for a server in the user's data."""
    if not is_server(location):
        return index_folder(location) / "manifest"
    address = server_address(location)
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    server = quote(urlsplit(address.url).netloc, safe="")
    collection = quote(address.collection, safe="")
    # A collection may be called "..".
    return Path(data).expanduser() / "objseek" / "manifests" / server / f"collection-{collection}"


class Manifest:
    """The manifest in a folder, which is made when the first rows are written.

    One process appends and compacts; others may read meanwhile. The last attempt at an image is
    the one with the latest `at`, then in the later part, then further down in it. Raises
    IndexUnavailableError if the folder cannot be used, VectorIndexError for a damaged part.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buffer: list[ManifestRow] = []

    def exists(self) -> bool:
        """Whether anything was ingested under this manifest."""
        with self._mapped():
            return self._folder.is_dir()

    def append(self, rows: Sequence[ManifestRow]) -> None:
        """Add rows; they are on disk after `flush`, which comes by itself when many wait."""
        self._buffer.extend(rows)
        if len(self._buffer) >= _BUFFERED_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what waits as one part; durable on return."""
        if self._buffer:
            self._write([_to_table(self._buffer)])
            self._buffer.clear()

    def latest(self) -> Iterator[ManifestRow]:
        """The last attempt at each image, streamed, in no particular order."""
        parts, last = self._consistent(self._last_rows)
        for table in self._kept(parts, last):
            yield from _to_rows(table)

    def failures(self) -> Iterator[ManifestRow]:
        """The last attempts that did not end as done."""
        return (row for row in self.latest() if row.state is not State.DONE)

    def attempts(self) -> dict[tuple[str, str], int]:
        """How often images have failed in a row, by image id and version: those that still do."""
        columns = ["image_id", "version", "state", "attempts"]

        def collect() -> dict[tuple[str, str], int]:
            found = {}
            for table in self._kept(*self._last_rows(), columns):
                failed = table.filter(pc.field("state") == State.FAILED.value)
                for row in failed.to_pylist():
                    found[row["image_id"], row["version"]] = row["attempts"]
            return found

        return self._consistent(collect)

    def counts(self) -> dict[State, int]:
        """How many images each state was the last of; every state is there."""

        def count() -> Counter[str]:
            counter: Counter[str] = Counter()
            for table in self._kept(*self._last_rows(), ["state"]):
                counter.update(table["state"].to_pylist())
            return counter

        counter = self._consistent(count)
        return {state: counter[state] for state in State}

    def finished(self, fingerprint: str) -> FinishedImages:
        """The images whose last attempt is done or rejected under this pipeline fingerprint."""
        columns = ["image_id", "version", "fingerprint", "state"]
        wanted = (pc.field("fingerprint") == fingerprint) & pc.field("state").isin(
            [State.DONE.value, State.REJECTED.value]
        )

        def collect() -> FinishedImages:
            chosen = (table.filter(wanted) for table in self._kept(*self._last_rows(), columns))
            return FinishedImages(
                (_keys(table["image_id"]), table["version"].to_pylist()) for table in chosen
            )

        return self._consistent(collect)

    def compact(self) -> None:
        """Leave one part that has the last attempt at each image. A crash loses nothing."""
        self.flush()
        parts, last = self._last_rows()
        if len(parts) < 2 and last.all():
            return
        # The rows stand in two parts until the old ones are gone, which reading does not mind.
        self._write(self._kept(parts, last))
        with self._mapped():
            for part in parts:
                part.unlink()
            _sync_folder(self._folder)

    def _parts(self) -> list[Path]:
        with self._mapped():
            return sorted(self._folder.glob("part-*.parquet"))

    def _last_rows(self) -> tuple[list[Path], npt.NDArray[np.bool_]]:
        """All parts in order, and over all of their rows whether each is an image's last."""
        parts = self._parts()
        columns = [
            (_keys(table["image_id"]), table["at"].cast(pa.int64()).to_numpy())
            for part in parts
            for table in _batches(part, ["image_id", "at"])
        ]
        if not columns:
            return parts, np.zeros(0, bool)
        keys, at = (np.concatenate(column) for column in zip(*columns, strict=True))
        del columns
        # Stable, so that rows of the same time stay in the order of parts.
        order = np.lexsort((at, keys[:, 1], keys[:, 0]))
        keys = keys[order]
        last = np.zeros(len(order), bool)
        last[order[:-1]] = (keys[1:] != keys[:-1]).any(axis=1)
        last[order[-1]] = True
        return parts, last

    def _kept(
        self, parts: list[Path], last: npt.NDArray[np.bool_], columns: list[str] | None = None
    ) -> Iterator[pa.Table]:
        start = 0
        for part in parts:
            for table in _batches(part, columns):
                yield table.filter(pa.array(last[start : start + table.num_rows]))
                start += table.num_rows

    def _consistent(self, read: Callable[[], _T]) -> _T:
        # Parts vanish while a running ingest compacts; its new part is then there.
        for _ in range(_READ_ATTEMPTS - 1):
            try:
                return read()
            except _PartGoneError:
                continue
        return read()

    def _write(self, tables: Sequence[pa.Table] | Iterator[pa.Table]) -> None:
        name = f"part-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
        unfinished = self._folder / f".{name}.tmp"
        with self._mapped():
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                with unfinished.open("wb") as file:
                    with pq.ParquetWriter(file, MANIFEST_SCHEMA, compression="zstd") as writer:
                        for table in tables:
                            writer.write_table(table)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.rename(self._folder / name)
            finally:
                unfinished.unlink(missing_ok=True)
            _sync_folder(self._folder)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            reason = exc.strerror or str(exc)
            raise IndexUnavailableError(
                f"the manifest in {self._folder} cannot be used: {reason}"
            ) from exc


class _PartGoneError(VectorIndexError):
    """A part was there when the folder was listed, and is no longer."""


def _batches(part: Path, columns: list[str] | None) -> Iterator[pa.Table]:
    schema = MANIFEST_SCHEMA if columns is None else pa.schema(map(MANIFEST_SCHEMA.field, columns))
    try:
        with pq.ParquetFile(part) as file:
            there = set(file.schema_arrow.names)
            wanted = [name for name in schema.names if name in there or name not in _BEFORE]
            for batch in file.iter_batches(_BATCH_ROWS, columns=wanted):
                table = pa.Table.from_batches([batch])
                for name in set(schema.names) - set(wanted):
                    table = table.append_column(name, pa.array([_BEFORE[name]] * len(table)))
                yield table.select(schema.names).cast(schema)
    except FileNotFoundError as exc:
        raise _PartGoneError(
            f"the manifest part {part} is gone: another process compacts the manifest, try again"
        ) from exc
    except (pa.ArrowException, KeyError, ValueError, OSError) as exc:
        reason = " ".join(str(exc).split())
        raise VectorIndexError(f"the manifest part {part} cannot be read: {reason}") from exc


def _keys(ids: pa.ChunkedArray) -> Keys:
    try:
        return keys_of(ids.to_numpy())
    except ValueError as exc:
        raise VectorIndexError(f"the manifest is damaged: {exc}") from exc


def _to_table(rows: Sequence[ManifestRow]) -> pa.Table:
    columns: dict[str, list[object]] = {name: [] for name in MANIFEST_SCHEMA.names}
    for row in rows:
        for name, value in asdict(row).items():
            columns[name].append(_storable(value) if isinstance(value, str) else value)
    return pa.table(columns, schema=MANIFEST_SCHEMA)


def _to_rows(table: pa.Table) -> Iterator[ManifestRow]:
    # Without its zone: naming one takes a time zone database, which small images lack.
    times = table["at"].cast(pa.timestamp("us")).to_pylist()
    for values, at in zip(table.drop_columns("at").to_pylist(), times, strict=True):
        values["state"] = State(values["state"])
        yield ManifestRow(**values, at=at.replace(tzinfo=UTC))


def _storable(text: str) -> str:
    # File names that are not UTF-8 stand in messages; Parquet takes UTF-8 only.
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
