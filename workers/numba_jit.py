"""Compiles loops with Numba at their first call, so that users need no compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def jit_exact(function: Function) -> Function:
    """Compile at the first call, and keep the machine code where a folder can be written.

    Without fast-math: sums are added in the order written, so that every CPU has the same results.
    """
    return _jit(function, fastmath=False)


def jit_inline(function: Function) -> Function:
    """Compile into the caller, for a part of a hot loop. It must not make arrays.

    References to the arrays in its arguments are not counted: that took 10% of tracing.
    """
    return _jit(function, fastmath=False, forceinline=True, _nrt=False)


def jit_fused(function: Function) -> Function:
    """The same, but a product and a sum may become one operation where the CPU has it."""
    return _jit(function, fastmath={"contract"})


def jit_loose(function: Function) -> Function:
    """The same, and sums may be added in another order. Numbers must not be NaN."""
    return _jit(function, fastmath={"contract", "reassoc", "nsz", "nnan"})


def _jit(function: Function, **options: Any) -> Function:
    # Checks for divisions by zero would keep loops from being vectorised.
    options |= {"nogil": True, "error_model": "numpy"}
    try:
        return cast(Function, numba.njit(cache=True, **options)(function))
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return cast(Function, numba.njit(**options)(function))
