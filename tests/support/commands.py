"""The command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.waiting import PATIENCE_S

UNHURRIED = {
    f"OBJSEEK_SERVE__{limit}_TIMEOUT_S": f"{PATIENCE_S:g}" for limit in ("REQUEST", "BODY")
}
BIN = Path(sys.executable).with_name("objseek")


@contextmanager
def running(index: Path, *args: str) -> Iterator[str]:
    """`objseek serve` in a process of its own; its address."""
    command = [str(BIN), "serve", "--index", str(index), "--port", "0", *args]
    process = subprocess.Popen(
        command, env={**os.environ, **UNHURRIED}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert " at http://" in line, line
        yield line.split(" at ")[1].strip()
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)
        process.stderr.close()


def objseek(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN), *args], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
