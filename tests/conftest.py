"""Fixtures that more than one test file uses."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of whoever runs the tests must not reach them."""
    for name in list(os.environ):
        if name.startswith("OBJSEEK_") and not name.startswith("OBJSEEK_TEST_"):
            monkeypatch.delenv(name)
