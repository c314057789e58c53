"""The arrows between the layers: schemas <- workers <- pipeline, and nothing at import time."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import ROOT

OURS = {"schemas", "workers", "pipeline", "bench"}
ALLOWED = {
    "schemas": {"schemas"},
    "workers": {"schemas", "workers"},
    "pipeline": {"schemas", "workers", "pipeline"},
}
SCHEMAS_LIBRARIES = {"numpy", "pyarrow", "pycocotools", "pydantic"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("package", ALLOWED)
def test_a_layer_imports_only_what_is_below_it(package: str) -> None:
    found = modules(package)
    assert found
    for path in found:
        assert set(imported(path)) & OURS <= ALLOWED[package], path


def test_schemas_need_no_other_library() -> None:
    for path in modules("schemas"):
        others = set(imported(path)) - OURS - set(sys.stdlib_module_names)
        assert others <= SCHEMAS_LIBRARIES, path


def test_ray_is_imported_in_the_pipeline_alone() -> None:
    users = {
        path.relative_to(ROOT).parts[0]
        for p in ALLOWED
        for path in modules(p)
        if "ray" in set(imported(path))
    }
    assert users == {"pipeline"}


def test_workers_read_no_environment_variable() -> None:
    for path in modules("workers"):
        assert not re.search(r"\bos\.(environ|getenv)|import (environ|getenv)", path.read_text()), (
            path
        )


def test_every_package_is_declared() -> None:
    declared = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    )
    present = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ALLOWED
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert declared == present
