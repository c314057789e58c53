"""Holds the newest version of a Lance table, and changes it in one commit each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import IndexMissingError
from schemas.options import IndexOptions
from workers.backoff import Backoff
from workers.indexes.lance.creation import FORMAT, create_table
from workers.indexes.lance.engine import (
    ChangedMeanwhileError,
    import_lance,
    raising_index_errors,
)
from workers.indexes.lance.rows import table_schema
from workers.indexes.lance.storage import storage_options, table_uri
from workers.indexes.location import is_bucket_table

if TYPE_CHECKING:
    from lance import LanceDataset

_METADATA_CACHE = 128 * 2**20
_ROWS_A_FRAGMENT = 2**20
_CONFLICT_BUDGET_S = 60.0
_ADDRESS_BITS = 32  # of the row; the fragment is above
Addresses = npt.NDArray[np.uint64]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """Rows that go, by their addresses, uint64 (n,), and rows that come; at once."""

    gone: Addresses
    new: pa.Table | None = None

    @property
    def is_empty(self) -> bool:
        return not self.gone.size and (self.new is None or not self.new.num_rows)


class LanceTable:
    """A table of points at a place. Threads may share it.

    Readers see one version as long as they hold what `current` gave them; it is looked for a newer
    one at most every `refresh_s`, once for all threads. What this process commits it sees at once.
    """

    def __init__(self, options: IndexOptions, dataset: LanceDataset) -> None:
        self.location = options.location
        self._refresh_s = options.refresh_s
        self._conflicts = Backoff(
            max(options.retry_budget_s, _CONFLICT_BUDGET_S),
            first_s=0.05,
            longest_s=2.0,
            only=ChangedMeanwhileError,
            kind="index",
        )
        # A disk that is full will be so later, too.
        budget_s = options.retry_budget_s if is_bucket_table(options.location) else 0.0
        self._away = Backoff(budget_s, kind="index")
        self._dataset = dataset
        self._looked_at = time.monotonic()
        self._turn = threading.Lock()

    def current(self) -> LanceDataset:
        """The newest version, or one that was the newest `refresh_s` ago."""
        with self._turn:
            if time.monotonic() - self._looked_at >= self._refresh_s:
                self._look()
            return self._dataset

    def latest(self) -> LanceDataset:
        """The newest version of all."""
        with self._turn:
            self._look()
            return self._dataset

    def _look(self) -> None:
        with self.raising_errors():
            if self._dataset.latest_version != self._dataset.version:
                self._dataset = self._dataset.checkout_version(self._dataset.latest_version)
        self._looked_at = time.monotonic()

    def adopt(self, dataset: LanceDataset) -> None:
        """Go on with a version that this process has committed."""
        with self._turn:
            if dataset.version > self._dataset.version:
                self._dataset = dataset

    def add_columns(self, columns: Sequence[pa.Field]) -> None:
        """Add columns, null in all rows; those that another writer has added meanwhile stay."""
        for column in columns:
            with self.raising_errors():
                dataset = self.latest()
                dataset = dataset.checkout_version(dataset.version)
                if column.name not in dataset.schema.names:
                    dataset.add_columns(column)
            self.adopt(dataset)

    @contextmanager
    def raising_errors(self) -> Iterator[None]:
        """Raise Lance's errors as those of an index."""
        with raising_index_errors(self.location):
            yield

    def change(self, plan: Callable[[LanceDataset], Change]) -> bool:
        """Do what `plan` makes of the newest version, in one commit.

        Planned and done anew while other writers change the same rows. Returns whether others have
        committed in between, so that what they wrote was not looked at. Nothing is committed where
        the plan is empty.
        """
        written: list[tuple[pa.Table, Any]] = []

        def attempt() -> bool:
            before = self.latest()
            change = plan(before)
            if change.is_empty:
                return False
            with self.raising_errors():
                after = self._commit(before, change, written)
            self.adopt(after)
            return bool(after.version != before.version + 1)

        return self.retry(attempt, "a commit to")

    def retry(self, attempt: Callable[[], _T], doing: str) -> _T:
        """What `attempt` returns, made anew while other writers come first or the place is away."""
        what = f"{doing} {self.location}"
        return self._away.retry(lambda: self._conflicts.retry(attempt, what), what)

    def _commit(
        self, dataset: LanceDataset, change: Change, written: list[tuple[pa.Table, Any]]
    ) -> LanceDataset:
        lance = import_lance()
        if change.new is not None and not (written and written[0][0] is change.new):
            written[:] = [(change.new, write_files(dataset, change.new))]
        updated, removed = _mark_gone(dataset, change.gone)
        operation = lance.LanceOperation.Update(
            removed_fragment_ids=removed,
            updated_fragments=updated,
            new_fragments=[] if change.new is None else written[0][1],
        )
        after: LanceDataset = lance.LanceDataset.commit(
            dataset, operation, read_version=dataset.version
        )
        return after


def write_files(dataset: LanceDataset, rows: pa.Table) -> Any:
    """Write rows to files beside a table, which a commit makes part of it."""
    from lance.fragment import write_fragments

    return write_fragments(
        rows,
        dataset,
        mode="append",
        max_rows_per_file=_ROWS_A_FRAGMENT,
        data_storage_version=FORMAT,
    )


def _mark_gone(dataset: LanceDataset, gone: Addresses) -> tuple[list[Any], list[int]]:
    """The fragments of these rows without them, and the ids of those that have no others."""
    updated, removed = [], []
    fragments = gone >> np.uint64(_ADDRESS_BITS)
    for fragment in np.unique(fragments).tolist():
        of_it = gone[fragments == fragment] & np.uint64(2**_ADDRESS_BITS - 1)
        found = dataset.get_fragment(fragment)
        if found is None:
            raise ChangedMeanwhileError("rows that are to go have moved meanwhile")
        left = found.delete_rows(of_it.tolist())
        if left is None:
            removed.append(fragment)
        else:
            updated.append(left)
    return updated, removed


def open_table(options: IndexOptions, dim: int | None, *, create: bool) -> LanceTable:
    """Open the table at `options.location`; with `create` make it for vectors of `dim` numbers.

    Raises IndexMissingError, IndexUnavailableError.
    """
    lance = import_lance()
    place = table_uri(options.location)
    how = {"storage_options": storage_options(options) or None}
    session = lance.Session(
        index_cache_size_bytes=options.cache_mb * 2**20, metadata_cache_size_bytes=_METADATA_CACHE
    )
    with raising_index_errors(options.location):
        try:
            return LanceTable(options, lance.dataset(place, session=session, **how))
        except (ValueError, FileNotFoundError) as exc:
            if not _is_missing(exc):
                raise
            if not create or dim is None:
                raise IndexMissingError(f"there is no index at {options.location}") from exc
        create_table(options, table_schema(dim))
        return LanceTable(options, lance.dataset(place, session=session, **how))


def _is_missing(error: Exception) -> bool:
    return isinstance(error, FileNotFoundError) or str(error).startswith("Dataset at path")
