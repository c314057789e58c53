"""Reads the deployment files, and holds their commands and variables against the code."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.paths import ROOT

from pipeline.cli.main import load_command
from pipeline.settings import Settings, load_settings

DEPLOY = ROOT / "deploy"
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def parse(arguments: list[str]) -> dict[str, Any]:
    """Parse a command line with the real command; raises for an unknown flag or a bad value."""
    command = load_command(arguments[0])
    with command.make_context(arguments[0], arguments[1:]) as context:
        return dict(context.params)


def load_with(variables: Mapping[str, str]) -> Settings:
    """The settings that these variables make; raises UsageError for one that is no setting."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            if name.startswith("OBJSEEK_") and name != "OBJSEEK_CONFIG":
                patch.setenv(name, value)
        return load_settings(None, {})


def load_yaml(path: Path) -> list[Any]:
    """The documents of a file; what aliases share is copied."""
    return [json.loads(json.dumps(each)) for each in yaml.safe_load_all(path.read_text())]


def walk(node: Any) -> Iterator[dict[str, Any]]:
    """Every mapping of a document, itself included."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def images(node: Any) -> list[str]:
    """The images of all containers of a document."""
    found = (each.get("image") for each in walk(node))
    return [image for image in found if isinstance(image, str)]
