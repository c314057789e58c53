"""Shares the memory of a GPU among the processes that are on it."""

from __future__ import annotations

# Of a CUDA context and the code of its libraries, which no limit of torch's covers.
_CONTEXT_BYTES = 768 << 20


def limit_gpu_memory(gpus: float) -> None:
    """Have torch take no more of this process's GPU than the part `gpus` of it that it has.

    So that a process which takes too much runs out of memory itself, and not its neighbours. A
    process that has whole GPUs, or none, is not limited.
    """
    if not 0 < gpus < 1:
        return
    import torch

    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(find_memory_fraction(gpus, total))


def find_memory_fraction(gpus: float, total_bytes: int) -> float:
    """What part of a GPU's memory torch may take in a process that has the part `gpus` of it.

    The rest of that is for its context, but no more than half.
    """
    return max(gpus / 2, gpus - _CONTEXT_BYTES / total_bytes)
