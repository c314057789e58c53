"""Variables are there for a while, and as before then, whatever happens."""

from __future__ import annotations

import os

import pytest

from pipeline.environment import set_environment


def test_variables_are_as_before_when_the_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJSEEK_TEST_A", "before")
    monkeypatch.setenv("OBJSEEK_TEST_B", "before")
    monkeypatch.delenv("OBJSEEK_TEST_C", raising=False)
    names = ("OBJSEEK_TEST_A", "OBJSEEK_TEST_B", "OBJSEEK_TEST_C")
    changes = {"OBJSEEK_TEST_A": "now", "OBJSEEK_TEST_B": None, "OBJSEEK_TEST_C": "now"}

    def fail() -> None:
        with set_environment(changes):
            assert [os.environ.get(name) for name in names] == ["now", None, "now"]
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [os.environ.get(name) for name in names] == ["before", "before", None]
