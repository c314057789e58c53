"""Chooses the floating-point type that models compute in."""

from __future__ import annotations

import time
from functools import cache

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from schemas.options import DeviceName, PrecisionName

# Large enough that the product takes the time, not the launch of its kernel.
_SIDES: dict[DeviceName, int] = {"cpu": 512, "cuda": 4096}
_TRIALS = 5
_MIN_GAIN = 1.5  # below it, the conversions around a product cost what is gained


def resolve_precision(precision: PrecisionName, device: DeviceName) -> torch.dtype:
    """The type to compute in: for "auto" bfloat16 where `device` multiplies faster in it.

    That is measured, once per process: the reported features of a processor do not show it.
    """
    if precision == "auto":
        precision = "bf16" if _gains_by_bf16(device) else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def convert_module(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Convert all but the batch norms of `module` to `dtype`, in place; returns `module`."""
    module.to(dtype)
    for part in module.modules():
        # Eight bits of precision are too few for statistics that are subtracted.
        if isinstance(part, _BatchNorm):
            part.float()
    return module


@cache
def _gains_by_bf16(device: DeviceName) -> bool:
    if device not in _SIDES:
        return False
    return _seconds(device, torch.float32) > _MIN_GAIN * _seconds(device, torch.bfloat16)


@torch.inference_mode()
def _seconds(device: DeviceName, dtype: torch.dtype) -> float:
    """The shortest of several times that a product of two square matrices takes."""
    side = _SIDES[device]
    matrix = torch.ones(side, side, dtype=dtype, device=device)
    fastest = float("inf")
    for _ in range(_TRIALS):
        started = time.perf_counter()
        matrix @ matrix
        if device == "cuda":
            torch.cuda.synchronize()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest
