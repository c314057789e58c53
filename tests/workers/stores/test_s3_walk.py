"""A bucket that is listed in parallel gives what it gives one page after the other."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.listed import listed
from support.s3_server import moto_server

from schemas.errors import StoreAccessError
from schemas.options import StoreOptions
from workers.stores import s3_walk
from workers.stores.open import build_store
from workers.stores.s3_pages import Page, PageRequests, Start
from workers.stores.s3_walk import KeyWalk

KEYS = st.lists(
    st.text(st.sampled_from("a/b.é\U0001f600 "), min_size=1, max_size=7), unique=True, max_size=60
)


class Bucket(PageRequests):
    """Pages of keys as S3 makes them; with `knowing_folders` False it does not know delimiters."""

    def __init__(
        self, keys: Sequence[str], page_size: int, prefix: str = "", *, knowing_folders: bool = True
    ) -> None:
        self.prefix = prefix
        self._keys = sorted(keys)
        self._size = page_size
        self._knows_folders = knowing_folders
        self._lock = threading.Lock()
        self.requests = 0
        self.by_folders = 0

    def request(self, start: Start, **more: Any) -> Page:
        with self._lock:
            self.requests += 1
            self.by_folders += "Delimiter" in more
        if "Delimiter" in more and not self._knows_folders:
            raise StoreAccessError("expected no delimiter")
        prefix: str = more.get("Prefix", self.prefix)
        after = start.get("StartAfter", start.get("ContinuationToken", ""))
        items: list[dict[str, Any]] = []
        prefixes: list[str] = []
        last = after
        for key in self._keys[bisect_right(self._keys, after) :]:
            if not key.startswith(prefix) or (prefixes and key.startswith(prefixes[-1])):
                continue
            if len(items) + len(prefixes) == self._size:
                return Page(items, prefixes, {"ContinuationToken": last})
            end = key.find("/", len(prefix)) if "Delimiter" in more else -1
            if end < 0:
                items.append({"Key": key})
                last = key
            else:
                prefixes.append(key[: end + 1])
                last = prefixes[-1] + "\U0010ffff"
        return Page(items, prefixes, None)


def walk(
    bucket: Bucket, threads: int, after: str | None = None, upto: str | None = None
) -> list[str]:
    pages = KeyWalk(bucket, threads).walk(after, upto)
    return [item["Key"] for page in pages for item in page]


@settings(deadline=None, max_examples=150)
@given(
    keys=KEYS,
    page_size=st.integers(1, 4),
    prefix=st.sampled_from(["", "a", "a/", "/"]),
    limits=st.tuples(st.integers(1, 3), st.integers(1, 9), st.sampled_from([0, 3])),
    bounds=st.none() | st.tuples(st.text("a/b", max_size=3), st.text("a/b", max_size=3)),
    knowing_folders=st.booleans(),
)
def test_the_keys_are_those_of_the_bucket_in_their_order(
    keys: list[str],
    page_size: int,
    prefix: str,
    limits: tuple[int, int, int],
    bounds: tuple[str, str] | None,
    knowing_folders: bool,
) -> None:
    after, upto = bounds or (None, None)
    expected = [
        key
        for key in sorted(keys, key=str.encode)
        if key.startswith(prefix) and (bounds is None or str(after) < key <= str(upto))
    ]
    names = ("_PAGES_A_RANGE", "_KEYS_A_RANGE", "_FOLDERS_TO_JUDGE_BY")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(names, limits, strict=True):
            patch.setattr(s3_walk, name, value)
        bucket = Bucket(keys, page_size, prefix, knowing_folders=knowing_folders)
        assert walk(bucket, 3, after, upto) == expected


def test_a_bucket_without_folders_is_listed_page_by_page() -> None:
    bucket = Bucket([f"{number:04}.jpg" for number in range(400)], 10)
    assert len(walk(bucket, 8)) == 400
    assert (bucket.requests, bucket.by_folders) == (40, 0)


def test_folders_cost_few_requests_more_and_small_ones_are_listed_together() -> None:
    keys = [f"{folder:04}/{number}.jpg" for folder in range(3000) for number in range(10)]
    bucket = Bucket(keys, 1000)
    assert walk(bucket, 8) == keys
    assert bucket.requests - bucket.by_folders <= 30 + 8 + 12
    assert bucket.by_folders <= 4


def test_folders_of_one_key_are_not_looked_for_long() -> None:
    keys = [f"{folder:05}/x.jpg" for folder in range(20_000)]
    bucket = Bucket(keys, 100)
    assert walk(bucket, 8) == keys
    assert bucket.by_folders <= 100


def test_only_what_is_needed_is_requested() -> None:
    keys = [f"{folder:04}/{number:04}.jpg" for folder in range(100) for number in range(1000)]
    bucket = Bucket(keys, 100)
    pages = KeyWalk(bucket, 4).walk()
    taken = [next(pages) for _ in range(3)]
    pages.close()
    assert [item["Key"] for page in taken for item in page] == keys[:300]
    assert bucket.requests <= 3 + 2 + 4 * s3_walk._PAGES_A_RANGE


@pytest.mark.parametrize("threads", [2, 8])
def test_a_server_lists_the_same_in_parallel(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "4")
    monkeypatch.setattr(s3_walk, "_PAGES_A_RANGE", 2)
    objects = {
        f"{year}/{month:02}/{name}": b"x" * size
        for year in ("2025", "2026", "odd +%ü")
        for month in range(4)
        for name, size in (("a.jpg", 1), ("b c.png", 0), ("note.txt", 3), ("ü/é.jpg", 2))
    }
    objects |= {"2025.jpg": b"1", "2025/": b"", "2025/05": b"", "2026!.jpg": b"2", "z.jpg": b"3"}
    with moto_server() as server:
        bucket = server.make_bucket(objects)
        found = [
            listed(
                build_store(
                    f"s3://{bucket}/{prefix}",
                    StoreOptions(endpoint_url=server.endpoint_url, list_threads=number),
                )
            )
            for prefix in ("", "2025", "2026/")
            for number in (1, threads)
        ]
    assert [len(refs) for refs, _ in found] == [27, 27, 9, 9, 8, 8]
    assert found[::2] == found[1::2]
