"""Chooses the floating-point type that models compute in, by a rule and never by a clock."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from schemas.options import DeviceName, FixedPrecisionName, PrecisionName


def resolve_precision(precision: PrecisionName, device: DeviceName) -> torch.dtype:
    """The type to compute in: for "auto" that of `usual_precision`."""
    if precision == "auto":
        precision = usual_precision(device)
    return torch.bfloat16 if precision == "bf16" else torch.float32


def usual_precision(device: DeviceName) -> FixedPrecisionName:
    """bf16 on CUDA, else fp32; `device` is not "auto".

    A processor that multiplies matrices four times as fast in bfloat16 (AVX512-BF16) still took
    1.55 times the CPU time for whole images in it: most of a decoder's products are thin, and each
    is converted to and fro.
    """
    return "bf16" if device == "cuda" else "fp32"


def convert_module(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Convert all but the batch norms of `module` to `dtype`, in place; returns `module`."""
    module.to(dtype)
    for part in module.modules():
        # Eight bits of precision are too few for statistics that are subtracted.
        if isinstance(part, _BatchNorm):
            part.float()
    return module
