"""Which part of a source is meant, and what is no part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.settings import load_settings
from schemas.errors import UsageError
from schemas.listed_part import KeyRange, Shard


def test_a_shard_is_counted_from_one() -> None:
    assert Shard.parse("3/8") == Shard(3, 8)
    assert str(Shard.parse("8/8")) == "8/8"


@pytest.mark.parametrize("text", ["", "3", "0/8", "9/8", "-1/8", "3/0", "a/b", "1/8 ", "1.0/8"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a shard such as 3/8, from 1/8 to 8/8, got"):
        Shard.parse(text)


@pytest.mark.parametrize(
    "text", ["", "..", "a", "a-m", "a..m..z", "a...m", "m..a", "a..a", "\ue000..\ud7ff"]
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a range of keys"):
        KeyRange.parse(text)


@given(st.text(), st.text("am/é.", min_size=1).filter(lambda text: ".." not in text))
def test_a_range_is_cut_once(key: str, at: str) -> None:
    if at.startswith(".") or at.endswith("."):
        return
    below, above = KeyRange.parse(f"..{at}"), KeyRange.parse(f"{at}..")
    assert [below.has(key), above.has(key)] == [key < at, key >= at]
    assert not below.has(at)
    assert above.has(at)


def test_a_wrong_part_is_said_in_a_sentence() -> None:
    with pytest.raises(UsageError, match=r"^setting store.shard: expected a shard such as 3/8"):
        load_settings(None, {"store": {"shard": "9/8"}})
    with pytest.raises(UsageError, match=r"^setting store.key_range: expected a range of keys"):
        load_settings(None, {"store": {"key_range": "z..a"}})
    # A variable of a script that is not set must not stand for the whole source.
    with pytest.raises(UsageError, match=r"^setting store.shard: expected a shard .*, got ''$"):
        load_settings(None, {"store": {"shard": ""}})
    with pytest.raises(UsageError, match=r"^setting store.key_range: expected .*, got ''$"):
        load_settings(None, {"store": {"key_range": ""}})
    assert load_settings(None, {"store": {"shard": "3/8"}}).store.chosen_shard == Shard(3, 8)
