"""Versions of objects: the same for one object, however its server and a proxy write its ETag."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.stores.object_version import etag_version, is_by_time, may_be_same, time_version

pytestmark = pytest.mark.trials

TAG = "9b2cf535f27731c974343645a3985328"


@pytest.mark.parametrize(
    "etag",
    [
        f'"{TAG}"', TAG, f'W/"{TAG}"', f'w/"{TAG}"', f' "{TAG}" ', f"W/{TAG}", f'W/ "{TAG}"',
        f'"{TAG}-gzip"', f'"{TAG}--gzip"', f'W/"{TAG}-gzip"', f'"{TAG};gzip"', f'"{TAG}:gzip"',
        f'"{TAG}-x-gzip"', f'"{TAG}-br"', f'"{TAG}-deflate"', f'"{TAG}-zstd"', f'"{TAG}-GZIP"',
        f"{TAG}-gzip",
    ],
)  # fmt: skip
def test_an_etag_is_the_same_however_it_is_written(etag: str) -> None:
    assert etag_version(etag) == TAG


@pytest.mark.parametrize(
    ("etag", "version"),
    [
        (f'"{TAG}-12"', f"{TAG}-12"),  # of an upload in parts
        ('"0x8D4BCC2E4835CD0"', "0x8D4BCC2E4835CD0"),
        ('"CJDrqZ2Z4ewCEAE="', "CJDrqZ2Z4ewCEAE="),
        ('"-gzip"', "-gzip"),
        ('"my-gzipped"', "my-gzipped"),
        ('"W/x"', "W/x"),
        ('""', ""),
        ("", ""),
        ('W/""', ""),
        (None, ""),
        (["a", "b"], ""),
        (5, ""),
    ],
)
def test_an_etag_stays_what_it_was(etag: object, version: str) -> None:
    assert etag_version(etag) == version


@given(st.text("0123456789abcdef", min_size=1, max_size=40), st.integers(0, 10_000))
def test_ordinary_etags_are_kept_to_the_letter(tag: str, parts: int) -> None:
    assert etag_version(f'"{tag}"') == tag
    assert etag_version(f'"{tag}-{parts}"') == f"{tag}-{parts}"


def test_a_time_is_the_same_in_a_listing_and_a_header() -> None:
    listed = datetime(2024, 1, 1, 12, 0, 0, 987_000, tzinfo=UTC)
    header = datetime(2024, 1, 1, 14, 0, 0, tzinfo=timezone(timedelta(hours=2)))
    assert time_version(listed, 3) == time_version(header, 3)
    assert time_version(listed, 3) == "modified:2024-01-01T12:00:00Z,bytes:3"
    assert is_by_time(time_version(listed, 3))
    assert not is_by_time(TAG)


@pytest.mark.parametrize(
    ("listed", "got", "same"),
    [
        ((datetime(2024, 1, 1), 3), (datetime(2024, 1, 1), 3), True),
        ((datetime(2024, 1, 1), 3), (datetime(2024, 1, 2), 3), False),
        ((datetime(2024, 1, 1), 3), (datetime(2024, 1, 1), 4), False),
        ((datetime(2024, 1, 1), 3), (None, 3), True),
        ((datetime(2024, 1, 1), 3), (None, None), True),
        ((None, 3), (datetime(2024, 1, 1), 4), False),
    ],
)
def test_only_what_both_tell_is_compared(
    listed: tuple[datetime | None, int], got: tuple[datetime | None, int | None], same: bool
) -> None:
    assert may_be_same(time_version(*listed), time_version(*got)) is same
