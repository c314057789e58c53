"""The script for a GPU is rehearsed on the CPU, so that it cannot fail there for a silly reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.paths import ROOT

from bench.device.__main__ import main


@pytest.mark.long
def test_every_part_runs_and_its_outputs_agree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--device", "cpu", "--quick", "--results", str(tmp_path)]) == 0
    (kept,) = tmp_path.glob("device-*-quick.json")
    rows = json.loads(kept.read_text())["figures"]
    assert [row["part"] for row in rows if row["what"] == "took"] == [
        "masks", "speed", "embedding", "ingest", "memory"
    ]  # fmt: skip
    agreeing = [row for row in rows if row.get("least") is not None]
    assert len(agreeing) == 8
    assert all(row["value"] >= row["least"] for row in agreeing)
    printed = capsys.readouterr().out
    assert "matched both ways" in printed
    assert "missed" not in printed


def test_what_is_gathered_for_it_is_in_the_lock() -> None:
    script = Path(ROOT, "bench", "device.sh").read_text()
    (listed,) = re.findall(r"packages=\((.*?)\)", script, re.DOTALL)
    lock = Path(ROOT, "requirements.txt").read_text()
    assert len(listed.split()) == 13
    for package in listed.split():
        assert f"\n{package}==" in lock or lock.startswith(f"{package}=="), package
