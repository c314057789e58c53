"""Reads commands, code and files out of pages of the documentation, and runs commands."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from support.paths import ROOT
from typer.testing import CliRunner, Result

from pipeline.cli.main import app
from pipeline.demo.bucket import write_bucket

LIGHT = {"OBJSEEK_SEGMENTER__POINTS_PER_SIDE": "5", "OBJSEEK_RUNNER__NAME": "local"}
"""A coarse grid: what is tested is that a page is true, not what the models can do."""
_NO_NETWORK = {"HTTPS_PROXY": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}


class DocPage:
    """A page of `docs/` by its name."""

    def __init__(self, name: str) -> None:
        self.text = (ROOT / "docs" / name).read_text(encoding="utf-8")

    def blocks(self, language: str) -> list[str]:
        return re.findall(rf"^```{language}\n(.+?)^```", self.text, re.MULTILINE | re.DOTALL)

    def commands(self, start: str = "objseek ") -> list[str]:
        """Its lines for a shell that call `start`, with variables before it or not."""
        lines = (line for block in self.blocks("sh") for line in block.splitlines())
        return [line for line in lines if re.match(rf"(?:[A-Z_]+=\S+ )*{start}", line)]

    def files(self) -> dict[str, str]:
        """Files that are on it in whole, by the path above each."""
        found = re.findall(
            r"^`([\w/.]+)`:\n\n```python\n(.+?)^```", self.text, re.MULTILINE | re.DOTALL
        )
        return dict(found)


def write_photos(folder: Path) -> None:
    """Two pictures in `photos`, as the pages' readers have them."""
    write_bucket(folder / "made", scenes=2, seed=4)
    shutil.copytree(folder / "made" / "scenes", folder / "photos")


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what follows run in `folder`, coarsely and without network."""
    monkeypatch.chdir(folder)
    for name, value in (LIGHT | _NO_NETWORK).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OBJSEEK_CACHE_DIR", str(folder / "models"))


def run(command: str) -> Result:
    """Run a line such as `NAME=value objseek status` in this process."""
    words = shlex.split(command)
    start = words.index("objseek")
    env = dict(word.split("=", 1) for word in words[:start])
    return CliRunner().invoke(app, words[start + 1 :], env=env)


def run_all(commands: list[str]) -> list[str]:
    """The standard output of commands, each of which has to succeed and to print something."""
    outputs = []
    for command in commands:
        result = run(command)
        assert result.exit_code == 0, f"{command}\n{result.output}"
        assert result.output.strip(), command
        outputs.append(result.stdout)
    return outputs
