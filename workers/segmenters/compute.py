"""Runs a network without gradients, in the precision that its device does best."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from schemas.options import SegmenterOptions
from workers.models.precision import resolve_precision


@contextmanager
def computing(options: SegmenterOptions) -> Iterator[None]:
    """Within, products are computed in what `options.precision` says; `device` is not "auto"."""
    dtype = resolve_precision(options.precision, options.device)
    low = dtype == torch.bfloat16
    with torch.inference_mode(), torch.autocast(options.device, dtype=dtype, enabled=low):
        yield
