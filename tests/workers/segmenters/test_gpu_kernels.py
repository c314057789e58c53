"""Runs the tests of Triton's kernels in its interpreter, and what happens where none can run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from workers.segmenters import triton_kernels

pytest.importorskip("triton", reason="Triton is there on Linux only")


@pytest.mark.long
def test_kernels_compute_what_pytorch_computes() -> None:
    # Triton decides as it is imported whether it interprets.
    tests = Path(__file__).with_name("interpreted_kernels.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    run = subprocess.run(
        [*command, str(tests)],
        env={**environment, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout
    assert run.stdout.startswith(10 * "."), run.stdout


def test_where_kernels_cannot_be_compiled_segmenting_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(device: torch.device) -> None:
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC")

    monkeypatch.setattr("workers.segmenters.masks.trace_fused.try_kernels", fail)
    triton_kernels.can_run_kernels.cache_clear()
    assert not triton_kernels.can_run_kernels("cuda")
    triton_kernels.can_run_kernels.cache_clear()
    assert "without compiled kernels, slower: " in caplog.text
    assert "C compiler" in caplog.text
    assert not triton_kernels.can_run_kernels("cpu")
