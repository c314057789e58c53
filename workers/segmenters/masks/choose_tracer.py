"""Chooses what traces masks: on a CPU, on any other device, or in kernels on CUDA."""

from __future__ import annotations

from collections.abc import Callable

import torch

from workers.segmenters.masks.trace_cpu import HostTracer
from workers.segmenters.masks.trace_gpu import DeviceTracer
from workers.segmenters.masks.tracer import Tracer
from workers.segmenters.triton_kernels import can_run_kernels


def choose_tracer(device: torch.device) -> Callable[..., Tracer]:
    """The class that traces masks of logits on a device."""
    if device.type == "cpu":
        return HostTracer
    if not can_run_kernels(str(device)):
        return DeviceTracer
    # Triton is not there on every system.
    from workers.segmenters.masks.trace_fused import FusedTracer

    return FusedTracer
