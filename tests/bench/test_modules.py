"""Every benchmark can be imported: nothing else runs them until somebody measures."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from support.paths import ROOT

MODULES = sorted(path.stem for path in Path(ROOT, "bench").glob("[a-z]*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_it_finds_what_it_imports(name: str) -> None:
    assert importlib.import_module(f"bench.{name}").__doc__
