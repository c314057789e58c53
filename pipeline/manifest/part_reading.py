"""Reads parts of a manifest, and finds the last attempt at each image in them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.manifest.image_keys import Keys, in_shard
from pipeline.manifest.manifest_columns import list_keys
from schemas.errors import ManifestError, one_line
from schemas.listed_part import Shard
from schemas.manifest import MANIFEST_SCHEMA

_BATCH_ROWS = 65_536
# The values of columns that older parts lack.
_DEFAULTS: dict[str, object] = {
    "retryable": False,
    "attempts": 1,
    "checksum": "",
    "stamp": "",
    "boxes": "",
    "shots": 0,
    "has_whole": True,
}


@dataclass(frozen=True, slots=True)
class Part:
    """An open part of a manifest, and where it is."""

    name: str
    place: str
    file: BinaryIO

    @property
    def path(self) -> str:
        return os.path.join(self.place, self.name)


def find_last_rows(parts: Sequence[Part], shard: Shard | None = None) -> npt.NDArray[np.bool_]:
    """bool (rows,): for all rows of the parts, in their order, whether each is an image's last.

    Of a `shard` only rows of its images are.
    """
    columns = [
        (keys[chosen], table["at"].cast(pa.int64()).to_numpy()[chosen], chosen)
        for part in parts
        for table in _batches(part, ["image_id", "at"])
        for keys in [list_keys(table["image_id"])]
        for chosen in [np.ones(len(keys), bool) if shard is None else in_shard(keys, shard)]
    ]
    if not columns:
        return np.zeros(0, bool)
    keys, at, chosen = (np.concatenate(column) for column in zip(*columns, strict=True))
    del columns
    rows = np.flatnonzero(chosen) if shard is not None else slice(None)
    last = np.zeros(len(chosen), bool)
    last[rows] = _last_of(keys, at)
    return last


def _last_of(keys: Keys, at: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """bool (n,): for rows in the order of parts, whether each is the last of its key."""
    last = np.zeros(len(keys), bool)
    if not len(keys):
        return last
    # Stable, so that rows of the same time stay in the order of parts.
    order = np.lexsort((at, keys[:, 1], keys[:, 0]))
    keys = keys[order]
    last[order[:-1]] = (keys[1:] != keys[:-1]).any(axis=1)
    last[order[-1]] = True
    return last


def filter_parts(
    parts: Sequence[Part], last: npt.NDArray[np.bool_], columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """The rows that are marked in `last`, of these columns, None for all."""
    start = 0
    for part in parts:
        for table in _batches(part, columns):
            yield table.filter(pa.array(last[start : start + table.num_rows]))
            start += table.num_rows


def _batches(part: Part, columns: list[str] | None) -> Iterator[pa.Table]:
    schema = MANIFEST_SCHEMA if columns is None else pa.schema(map(MANIFEST_SCHEMA.field, columns))
    try:
        part.file.seek(0)
        file = pq.ParquetFile(part.file)
        stored = set(file.schema_arrow.names)
        wanted = [name for name in schema.names if name in stored or name not in _DEFAULTS]
        for batch in file.iter_batches(_BATCH_ROWS, columns=wanted):
            table = pa.Table.from_batches([batch])
            for name in set(schema.names) - set(wanted):
                table = table.append_column(name, pa.array([_DEFAULTS[name]] * len(table)))
            yield table.select(schema.names).cast(schema)
    except (pa.ArrowException, KeyError, ValueError, OSError) as exc:
        raise ManifestError(
            f"the manifest part {part.path} cannot be read: {one_line(exc)}"
        ) from exc
