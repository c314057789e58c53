"""What was freed between what is still in use goes back to the system."""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path

import pytest

from workers.freed_memory import return_freed_memory

_BLOCK_BYTES, _BLOCKS = 64 << 10, 1024


def measure_resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that keeps it")
def test_what_is_free_goes_back() -> None:
    """Blocks below the size that glibc maps alone, of which the last one holds the heap's end."""
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    blocks = [library.malloc(_BLOCK_BYTES) for _ in range(_BLOCKS)]
    for block in blocks:
        ctypes.memset(block, 1, _BLOCK_BYTES)
    for block in blocks[:-1]:
        library.free(block)
    held = measure_resident()
    return_freed_memory()
    assert measure_resident() < held - _BLOCK_BYTES * _BLOCKS // 2
    library.free(blocks[-1])
