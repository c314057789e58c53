"""Every benchmark can be imported: nothing else runs them until somebody measures."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from support.paths import ROOT

BENCH = Path(ROOT, "bench")
MODULES = sorted(
    ".".join(path.relative_to(BENCH).with_suffix("").parts)
    for pattern in ("[a-z]*.py", "*/[a-z]*.py")
    for path in BENCH.glob(pattern)
)


@pytest.mark.parametrize("name", MODULES)
def test_it_finds_what_it_imports(name: str) -> None:
    assert importlib.import_module(f"bench.{name}").__doc__
