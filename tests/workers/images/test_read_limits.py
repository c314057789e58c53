"""Limits of a process that reads, shown in processes of their own: some do not survive them."""

from __future__ import annotations

import faulthandler
import os
import resource
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from support.paths import ROOT
from support.waiting import PATIENCE_S

from workers.images import read_limits
from workers.images.read_limits import ReadLimits, limit_decode, limit_process

GENEROUS = ReadLimits(memory_bytes=1 << 30, decode_s=60, read_s=60)
START = """
from support import fakes
from workers.images.read_limits import ReadLimits, limit_process, limit_decode
"""


def script(body: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.run(
        [sys.executable, "-c", START + body],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize(("decode_s", "read_s"), [(2, 600), (600, 2)])
def test_native_code_that_never_returns_ends_the_process(decode_s: int, read_s: int) -> None:
    found = script(
        f"with limit_process(ReadLimits(1 << 30, {decode_s}, {read_s})), limit_decode():\n"
        "    print('begun', flush=True)\n"
        "    fakes.hang()\n"
    )
    assert (found.returncode, found.stdout) == (1, "begun\n")
    assert "Timeout" in found.stderr
    assert "in hang" in found.stderr


def test_many_images_may_take_longer_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now, left_s = 100.0, list[float | None]()
    monkeypatch.setattr(read_limits, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(
        faulthandler, "dump_traceback_later", lambda seconds, exit: left_s.append(seconds)
    )
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: left_s.append(None))
    with limit_process(ReadLimits(memory_bytes=1 << 30, decode_s=5, read_s=15)):
        for _ in range(3):
            with limit_decode():
                now += 4
    assert left_s == [15, 5, 11, 5, 7, 5, 3, None]
    with limit_process(ReadLimits(memory_bytes=1 << 30, decode_s=5, read_s=3)), limit_decode():
        assert left_s[-1] == 3


def test_memory_beyond_the_limit_is_an_error_and_then_there_is_memory_again() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with limit_process(ReadLimits(64 << 20, 60, 60)):
        assert np.ones(1 << 20).sum() == 1 << 20
        with pytest.raises(MemoryError):
            np.ones(1 << 27)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert np.ones(1 << 24).sum() == 1 << 24


def test_nothing_is_limited_outside() -> None:
    with limit_process(GENEROUS), pytest.raises(ValueError, match="broken"), limit_decode():
        raise ValueError("broken")
    with limit_decode():
        assert np.ones(8).sum() == 8
