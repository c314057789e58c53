"""Ray's private modules: used in one file, and all there in the Ray that is installed."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from support.paths import ROOT

ONE_FILE = "pipeline/runners/ray_pool/private_ray.py"
USED = {
    "ray._private.ray_constants": ("ENABLE_RAY_CLUSTER", "ENABLE_RAY_CLUSTERS_ENV_VAR"),
    "ray._raylet": ("Config.initialize", "AuthenticationTokenLoader.instance"),
}


def list_private_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.startswith("ray._"))


def test_one_file_alone_uses_private_modules() -> None:
    users = {
        str(path.relative_to(ROOT)): set(list_private_imports(path))
        for layer in ("schemas", "workers", "pipeline")
        for path in (ROOT / layer).rglob("*.py")
    }
    private = {path: names for path, names in users.items() if names}
    assert private == {
        ONE_FILE: {
            "ray._private.ray_constants",
            "ray._raylet.AuthenticationTokenLoader",
            "ray._raylet.Config",
        }
    }


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in USED.items() for name in names]
)
def test_the_installed_ray_has_what_that_file_uses(module: str, name: str) -> None:
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        pytest.fail(
            f"Ray {ray.__version__} has moved {module}.{name}: {ONE_FILE} needs another way"
        )
