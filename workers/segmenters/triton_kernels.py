"""Tells whether kernels of Triton can be compiled and run here."""

from __future__ import annotations

import functools
import importlib.util
import logging

import torch

from schemas.errors import one_line

_log = logging.getLogger(__name__)


@functools.cache
def can_run_kernels(device: str) -> bool:
    """Whether a kernel runs on `device`; why not is logged once.

    Triton comes with PyTorch on Linux and builds its launcher with the system's C compiler and
    Python's headers, which a small container may lack. That is only told by trying.
    """
    if not device.startswith("cuda") or importlib.util.find_spec("triton") is None:
        return False
    from workers.segmenters.masks.trace_fused import try_kernels

    try:
        try_kernels(torch.device(device))
    except Exception as exc:  # whatever a compiler or a driver fails with
        _log.warning("segmenting goes on without compiled kernels, slower: %s", one_line(exc))
        return False
    return True
