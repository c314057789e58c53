"""Every command and example of docs/object-storage.md does what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT
from support.waiting import PATIENCE_S

from pipeline.demo.bucket import write_bucket
from schemas.options import IndexOptions
from workers.indexes.lance.impact_codes import STEPS
from workers.indexes.lance.index import LanceIndex
from workers.indexes.lance.upkeep import ROWS_TO_TIDY

PAGE = (ROOT / "docs" / "object-storage.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.long
def test_commands_and_examples(tmp_path: Path) -> None:
    write_bucket(tmp_path, 2, seed=11)
    (tmp_path / "scenes").rename(tmp_path / "photos")
    environment = {
        **os.environ,
        "OBJSEEK_SEGMENTER__POINTS_PER_SIDE": "5",
        "OBJSEEK_RUNNER__NAME": "local",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("objseek ")]
    assert len(commands) == 3
    (code,) = blocks("python")
    for command in (*commands, [sys.executable, "-c", code.replace("/tmp", str(tmp_path))]):
        placed = command if isinstance(command, list) else command.replace("/tmp", str(tmp_path))
        result = subprocess.run(
            placed, shell=isinstance(placed, str), cwd=tmp_path, env=environment,
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert result.stdout.strip()


def test_numbers_are_those_of_the_code() -> None:
    assert f"{ROWS_TO_TIDY:,} rows" in PAGE
    assert f"one of {STEPS} steps" in PAGE
    assert LanceIndex.images_at_once == 1000
    assert "a commit has a thousand images" in PAGE
    assert f"within `index.refresh_s` ({IndexOptions().refresh_s:g} s)" in PAGE
