"""Loops that Numba compiles at their first call; users need no compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compiled at its first call; the machine code is kept where a folder for it can be written.

    Without fast-math: sums are those of the order written, so that results depend on no CPU.
    """
    return _compiled(function, fastmath=False)


def compiled_inline(function: Function) -> Function:
    """The same, for a piece of a loop: built into its caller, however large, so a call is free."""
    return _compiled(function, fastmath=False, forceinline=True)


def compiled_fused(function: Function) -> Function:
    """The same, but a product and a sum may become one operation where the CPU has it."""
    return _compiled(function, fastmath={"contract"})


def compiled_loosely(function: Function) -> Function:
    """The same, and sums may be added up in another order. Numbers must be no NaN."""
    return _compiled(function, fastmath={"contract", "reassoc", "nsz", "nnan"})


def _compiled(function: Function, **options: Any) -> Function:
    # Divisions by zero are not looked for: looking keeps loops from being done eight at a time.
    options |= {"nogil": True, "error_model": "numpy"}
    try:
        return cast(Function, numba.njit(cache=True, **options)(function))
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return cast(Function, numba.njit(**options)(function))
