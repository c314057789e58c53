"""In which floating-point type models compute."""

from __future__ import annotations

import pytest
import torch

from workers.models.precision import resolve_precision, usual_precision


def test_what_is_named_is_taken() -> None:
    assert resolve_precision("fp32", "cuda") == torch.float32
    assert resolve_precision("bf16", "cpu") == torch.bfloat16


@pytest.mark.parametrize(
    ("device", "dtype"),
    [("cpu", torch.float32), ("mps", torch.float32), ("cuda", torch.bfloat16)],
)
def test_otherwise_the_device_decides_and_no_clock(device: str, dtype: torch.dtype) -> None:
    assert resolve_precision("auto", device) == dtype
    assert getattr(torch, {"fp32": "float32", "bf16": "bfloat16"}[usual_precision(device)]) == dtype
