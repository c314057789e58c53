"""Walks the keys of a bucket in their order, many pages at a time where it has folders."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import Any

from schemas.errors import StoreError
from workers.stores.s3_pages import Page, PageRequests, Start

_log = logging.getLogger(__name__)
Items = list[dict[str, Any]]
# What one range may have in memory before it is its turn: with eight threads 64 pages.
_PAGES_A_RANGE = 8
# Small folders are listed several together, so that few answers hold more than is needed.
_KEYS_A_RANGE = 4000
# Finding folders costs a request for a thousand: of smaller ones as much as listing them.
_LEAST_KEYS_A_FOLDER = 3
_FOLDERS_TO_JUDGE_BY = 100


@dataclass(frozen=True, slots=True)
class _Range:
    """Keys after `after`, up to `upto` (None: all), both of which folders begin at or lie in."""

    after: str
    upto: str | None
    folders: int


@dataclass(frozen=True, slots=True)
class _Listed:
    """The first pages of a range; `last_key` None: all of it."""

    pages: list[Items]
    last_key: str | None


@dataclass(slots=True)
class _Density:
    """How many keys were seen, in how many folders."""

    keys: int
    folders: int

    def fitting(self) -> int:
        """How many folders are best listed together: as many at most as are known to be small."""
        return max(1, min(self.folders, _KEYS_A_RANGE * self.folders // max(self.keys, 1)))

    def is_thin(self) -> bool:
        """Whether folders hold so little that finding them does not pay."""
        return (
            self.folders >= _FOLDERS_TO_JUDGE_BY and self.keys < _LEAST_KEYS_A_FOLDER * self.folders
        )


class KeyWalk:
    """Walks the keys of a bucket; `threads` requests at a time. For one walk.

    The keys are cut into ranges at the beginnings of folders, which S3 tells of many at once, and
    the ranges are put together in their order: what a server says of folders makes a walk faster or
    slower, and never changes what it gives. It starts page by page, and goes on so where there are
    no folders, and where keys do not come in order.
    """

    def __init__(self, requests: PageRequests, threads: int) -> None:
        self._requests = requests
        self._threads = threads
        self._stopped = threading.Event()
        self._pool: ThreadPoolExecutor | None = None

    def walk(self, after: str | None = None, upto: str | None = None) -> Iterator[Items]:
        """Pages of what is after one key, and up to another."""
        try:
            yield from self._walk(self._requests.prefix, after, upto)
        finally:
            self._stopped.set()
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)

    def _walk(
        self, prefix: str, after: str | None, upto: str | None, *, spreading: bool = True
    ) -> Iterator[Items]:
        """Page by page, and spread over threads as soon as there are folders below `prefix`."""
        start: Start = {} if after is None else {"StartAfter": after}
        last, number, next_try = after or "", 0, 1
        spreading = spreading and self._threads > 1
        while True:
            page = self._requests.request(start)
            items, ended = _cut(page.items, after, upto)
            yield items
            if ended or page.following is None:
                return
            keys = [last, *_keys_of(page)]
            spreading = spreading and all(one < other for one, other in pairwise(keys))
            start, last, number = page.following, keys[-1], number + 1
            if spreading and number >= next_try and _deeper(prefix, last) is not None:
                next_try = 2 * number
                if (found := self._find_folders(prefix, keys, upto)) is not None:
                    yield from self._spread(*found, _Range(last, upto, 0))
                    return

    def _find_folders(
        self, prefix: str, keys: list[str], upto: str | None
    ) -> tuple[str, Iterator[str], _Density] | None:
        """The first level, from `prefix` down to where the last of `keys` is, where folders follow.

        With them, of which there is at least one, and how full those of `keys` are. None also where
        these hold too little.
        """
        level: str | None = prefix
        while level is not None:
            seen = len({_deeper(level, key) for key in keys} - {None})
            density = _Density(len(keys), seen)
            if density.is_thin():
                return None
            folders = self._list_folders(level, keys[-1], upto)
            first = next(folders, None)
            if first is not None:
                return level, chain([first], folders), density
            level = _deeper(level, keys[-1])
        return None

    def _list_folders(self, prefix: str, after: str, upto: str | None) -> Iterator[str]:
        """Where folders of `prefix` begin, in order, as far as pages have any."""
        start, last = {"StartAfter": after}, after
        while True:
            try:
                page = self._requests.request(start, Prefix=prefix, Delimiter="/")
            except StoreError as exc:
                _log.info("folders of %s are not told: %s", prefix, exc)
                return
            if any(key <= after for key in _keys_of(page)):
                return  # a server that begins where it likes
            folders = [name for name in page.prefixes if last < name]
            if upto is not None:
                folders = [name for name in folders if name < upto]
            for name in folders:
                if name > last:
                    last = name
                    yield name
            if not folders or page.following is None:
                return
            start = page.following

    def _spread(
        self, prefix: str, folders: Iterator[str], density: _Density, whole: _Range
    ) -> Iterator[Items]:
        """Ranges that begin at folders, several at a time; what is large is spread once more."""
        waiting: deque[tuple[_Range, Future[_Listed]]] = deque()
        after, more = whole.after, True
        while more or waiting:
            while more and len(waiting) < self._threads:
                together = density.fitting()
                group = list(islice(folders, together))
                # What follows the last folder that is known reaches to the end.
                more = len(group) == together
                range_ = _Range(after, group[-1] if more else whole.upto, len(group))
                after = group[-1] if more else after
                waiting.append((range_, self._submit(range_)))
            range_, listing = waiting.popleft()
            listed = listing.result()
            yield from listed.pages
            density.keys += sum(map(len, listed.pages))
            density.folders += range_.folders
            if density.is_thin():
                folders = iter(())
            if listed.last_key is not None:
                yield from self._go_on(prefix, range_, listed, spreading=not density.is_thin())

    def _go_on(
        self, prefix: str, range_: _Range, listed: _Listed, *, spreading: bool
    ) -> Iterator[Items]:
        """What is left of a range."""
        last = listed.last_key or range_.after
        prefix = (range_.folders == 1 and _deeper(prefix, last)) or prefix
        keys = [*filter(None, map(_key_of, listed.pages[-1])), last]
        found = self._find_folders(prefix, keys, range_.upto) if spreading else None
        if found is None:
            yield from self._walk(prefix, last, range_.upto, spreading=spreading)
        else:
            yield from self._spread(*found, _Range(last, range_.upto, 0))

    def _submit(self, range_: _Range) -> Future[_Listed]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "listing")
        return self._pool.submit(self._list_range, range_)

    def _list_range(self, range_: _Range) -> _Listed:
        pages: list[Items] = []
        start: Start = {"StartAfter": range_.after}
        last = range_.after
        while True:
            page = self._requests.request(start)
            items, ended = _cut(page.items, range_.after, range_.upto)
            pages.append(items)
            last = max([last, *_keys_of(page)[-1:]])
            if ended or page.following is None:
                return _Listed(pages, None)
            if len(pages) == _PAGES_A_RANGE or self._stopped.is_set():
                return _Listed(pages, last)
            start = page.following


def _cut(items: Items, after: str | None, upto: str | None) -> tuple[Items, bool]:
    """Those items that are after one key and up to another, and whether one was beyond.

    An item without a key goes with the one before it.
    """
    kept: Items = []
    place = ""
    for item in items:
        place = _key_of(item) or place
        if upto is not None and place > upto:
            return kept, True
        if after is None or not place or place > after:
            kept.append(item)
    return kept, False


def _deeper(prefix: str, key: str) -> str | None:
    """The folder below `prefix` that a key is in, None: it is in `prefix` itself."""
    if not key.startswith(prefix):
        return None
    end = key.find("/", len(prefix))
    return None if end < 0 else key[: end + 1]


def _keys_of(page: Page) -> list[str]:
    return [key for key in map(_key_of, page.items) if key]


def _key_of(item: dict[str, Any]) -> str:
    key = item.get("Key")
    return key if isinstance(key, str) else ""
