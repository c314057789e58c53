"""Which floating-point type the models compute in."""

from __future__ import annotations

import time
from functools import cache

import torch

from schemas.options import DeviceName, PrecisionName

_SIDE = 512
_TRIALS = 5
_MIN_GAIN = 1.5  # below it, the conversions around a product cost what is gained


def resolve_precision(precision: PrecisionName, device: DeviceName) -> torch.dtype:
    """The type to compute in: for "auto" bfloat16 where `device` multiplies faster in it.

    That is measured, once a process: what a processor says of itself does not tell.
    """
    if precision == "auto":
        precision = "bf16" if _gains_by_bf16(device) else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


@cache
def _gains_by_bf16(device: DeviceName) -> bool:
    if device == "mps":
        return False
    return _seconds(device, torch.float32) > _MIN_GAIN * _seconds(device, torch.bfloat16)


@torch.inference_mode()
def _seconds(device: DeviceName, dtype: torch.dtype) -> float:
    """The fastest of some products of two square matrices."""
    matrix = torch.ones(_SIDE, _SIDE, dtype=dtype, device=device)
    fastest = float("inf")
    for _ in range(_TRIALS):
        started = time.perf_counter()
        matrix @ matrix
        if device == "cuda":
            torch.cuda.synchronize()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest
