"""Limits of a process that reads, shown in processes of their own: some do not survive them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from support.paths import ROOT

from workers.images.read_limits import ReadLimits, limit_decode, limit_process

GENEROUS = ReadLimits(memory_bytes=1 << 30, decode_s=60, read_s=60)
START = """
import sys, time
from support import fakes
from workers.images.read_limits import ReadLimits, confined, decoding
"""


def script(body: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.run(
        [sys.executable, "-c", START + body],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("decode_s", [0.3, 60])
def test_native_code_that_never_returns_ends_the_process(decode_s: float) -> None:
    found = script(
        f"with limit_process(ReadLimits(1 << 30, {decode_s}, 1.0)), limit_decode():\n"
        "    print('begun', flush=True)\n"
        "    fakes.hang()\n"
    )
    assert (found.returncode, found.stdout) == (1, "begun\n")
    assert "Timeout" in found.stderr
    assert "in hang" in found.stderr


def test_many_images_may_take_longer_than_one() -> None:
    found = script(
        "with limit_process(ReadLimits(1 << 30, 0.5, 60)):\n"
        "    for _ in range(4):\n"
        "        with limit_decode():\n"
        "            time.sleep(0.2)\n"
        "time.sleep(0.6)\n"
        "print('survived')\n"
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "survived\n", "")


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
