"""In which floating-point type models compute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from workers.models import precision
from workers.models.precision import resolve_precision


@pytest.fixture(autouse=True)
def _unmeasured() -> Iterator[None]:
    precision._gains_by_bf16.cache_clear()
    yield
    precision._gains_by_bf16.cache_clear()


def test_what_is_named_is_taken() -> None:
    assert resolve_precision("fp32", "cpu") == torch.float32
    assert resolve_precision("bf16", "cpu") == torch.bfloat16


@pytest.mark.parametrize(("seconds", "chosen"), [(0.1, torch.bfloat16), (8.0, torch.float32)])
def test_otherwise_the_faster_one_measured_once(
    monkeypatch: pytest.MonkeyPatch, seconds: float, chosen: torch.dtype
) -> None:
    timed: list[torch.dtype] = []

    def time_it(_device: str, dtype: torch.dtype) -> float:
        timed.append(dtype)
        return seconds if dtype == torch.bfloat16 else 1.0

    monkeypatch.setattr(precision, "_seconds", time_it)
    assert resolve_precision("auto", "cpu") == resolve_precision("auto", "cpu") == chosen
    assert timed == [torch.float32, torch.bfloat16]


def test_both_are_really_timed() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert 0 < precision._seconds("cpu", dtype) < 10
