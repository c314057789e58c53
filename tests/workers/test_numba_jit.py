"""Loops compile with and without a folder for their machine code."""

from __future__ import annotations

from typing import Any

import numba
import pytest

from workers.numba_jit import jit_exact, jit_fused


@pytest.mark.parametrize("decorator", [jit_exact, jit_fused])
def test_kernels_compile_where_their_code_cannot_be_kept(decorator: Any) -> None:
    source: dict[str, Any] = {}
    exec("def double(x):\n    return 2 * x", source)  # in no file, so no folder to keep it in
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(source["double"])
    assert decorator(source["double"])(21) == 42
