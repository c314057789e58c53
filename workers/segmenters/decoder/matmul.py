"""Multiplies matrices by oneDNN where PyTorch would have MKL do it.

PyTorch gives float32 products to MKL, which takes half of the speed that an AMD processor has:
3,072 x 256 x 256 takes 3.7 ms on one core of an EPYC with AVX-512, oneDNN's 1.7 ms. In other types,
on other devices and where gradients are needed, PyTorch's own are used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# The operator that torch.compile calls for linear layers.
_ONEDNN: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def _uses_onednn(x: Tensor) -> bool:
    if _ONEDNN is None or x.device.type != "cpu" or x.dtype != torch.float32:
        return False
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and torch.is_inference_mode_enabled()


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(n, c) by the weight, (d, c), and bias, (d,), of a linear layer: (n, d)."""
    if _uses_onednn(x):
        out: Tensor = _ONEDNN(x, weight, bias, "none", [], "")
        return out
    return functional.linear(x, weight, bias)


def multiply(a: Tensor, b: Tensor, added: Tensor | None = None) -> Tensor:
    """(n, r, k) @ (n, k, c), with (n, r, c) added to it: (n, r, c)."""
    if not _uses_onednn(a):
        return a @ b if added is None else torch.baddbmm(added, a, b)
    if added is None:
        parts = [_ONEDNN(x, y.mT, None, "none", [], "") for x, y in zip(a, b, strict=True)]
    else:
        triples = zip(a, b, added, strict=True)
        parts = [_ONEDNN.binary(x, z, y.mT, None, "add") for x, y, z in triples]
    return parts[0][None] if len(parts) == 1 else torch.stack(parts)


def multiply_shared(a: Tensor, b: Tensor) -> Tensor:
    """(n, heads, t, k) @ (heads, k, c), which all n share: (n, heads, t, c)."""
    if _uses_onednn(a):
        parts = [torch.bmm(x, b) for x in a]
        return parts[0][None] if len(parts) == 1 else torch.stack(parts)
    count, of, few = a.shape[:3]
    together = a.transpose(0, 1).reshape(of, count * few, -1) @ b
    return torch.unflatten(together, 1, (count, few)).transpose(0, 1)
