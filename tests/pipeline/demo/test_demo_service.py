"""`objseek demo --serve`: the page is there before anything is found."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import httpx
import pytest
from support.commands import BIN, UNHURRIED
from support.waiting import PATIENCE_S, until


@pytest.mark.long
def test_the_demo_is_served_while_it_is_ingested(tmp_path: Path) -> None:
    command = [str(BIN), "demo", "--serve", "--port", "0", "--scenes", "2", "--out", str(tmp_path)]
    process = subprocess.Popen(
        command,
        env={**os.environ, **UNHURRIED, "OBJSEEK_SEGMENTER__POINTS_PER_SIDE": "8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        while " at http://" not in (line := process.stderr.readline()):
            assert line, "the demo ended"
        url = line.split(" at ")[1].strip()
        with httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
            assert client.get("/v1/ingest").json()["done"] == 0
            until(lambda: client.get("/v1/ingest").json()["state"] == "done")
            assert client.get("/v1/stats").json()["images"] == 2
            hits = client.post("/v1/search", json={"text": "a thing"}).json()["hits"]
            assert hits[0]["payload"]["uri"].startswith("s3://objseek-demo/scenes/000")
        assert process.stdout.readline().startswith("2 images with ")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert "Error" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
