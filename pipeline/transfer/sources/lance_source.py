"""Takes rows from a Lance dataset, such as a table of LanceDB."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from pipeline.transfer.sources.row_source import ROWS_AT_ONCE, SourceBatch, slices
from schemas.errors import DatasetError, UsageError, one_line
from schemas.options import StoreOptions


class LanceSource:
    """See `RowSource`. `place` is a folder, or s3://bucket/prefix, that ends in .lance.

    Raises UsageError without the package, DatasetError for what is no dataset.
    """

    def __init__(self, place: str, options: StoreOptions) -> None:
        try:
            import lance
        except ImportError as exc:
            raise UsageError(
                f"expected the package that reads {place}, it is not installed: "
                'pip install "objseek[lance]"'
            ) from exc
        try:
            self._dataset = lance.dataset(place, storage_options=_storage_options(place, options))
        except (OSError, ValueError) as exc:
            raise DatasetError(f"{place} cannot be read: {one_line(exc)}") from exc
        self._place, self.name = place, Path(place).name
        self.schema: pa.Schema = self._dataset.schema

    @cached_property
    def rows(self) -> int:
        return int(self._dataset.count_rows())

    def digest(self) -> str:
        # Their files are never written to again, and have names of their own.
        hasher = hashlib.blake2b(digest_size=16)
        for fragment in self._dataset.get_fragments():
            hasher.update(repr(fragment.metadata.to_json()).encode())
        return hasher.hexdigest()

    def batches(self, columns: Sequence[str]) -> Iterator[SourceBatch]:
        row = 1
        try:
            for batch in self._dataset.to_batches(
                columns=list(columns), batch_size=ROWS_AT_ONCE, scan_in_order=True
            ):
                for rows in slices(batch):
                    yield SourceBatch(self.name, row, rows)
                    row += rows.num_rows
        except (OSError, ValueError) as exc:
            raise DatasetError(f"{self._place} cannot be read: {one_line(exc)}") from exc


def _storage_options(place: str, options: StoreOptions) -> dict[str, str] | None:
    if not place.startswith("s3://"):
        return None
    chosen: dict[str, str] = {}
    if options.endpoint_url is not None:
        chosen["aws_endpoint"] = options.endpoint_url
        chosen["allow_http"] = str(options.endpoint_url.startswith("http://")).lower()
    if options.anonymous:
        chosen["aws_skip_signature"] = "true"
    return chosen
