"""What a worker tells of its work beside the results: seconds by stage, retries, GPU memory."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StageSpan:
    """A chunk in a stage, from `started_s` (Unix time) for `seconds`."""

    stage: str
    started_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Memory of the GPU of this `uuid`, in bytes: used by all processes, and in total."""

    uuid: str
    used: int
    total: int


@dataclass(frozen=True, slots=True)
class WorkReport:
    """What was done to a chunk; `retries`: those of another process than the driver, by what.

    `waited_s`: between its work and that on the chunk before, by the clock of its model actor.
    """

    spans: tuple[StageSpan, ...] = ()
    retries: Mapping[str, int] = field(default_factory=dict)
    gpu: GpuMemory | None = None
    waited_s: float = 0.0

    def plus(self, later: WorkReport) -> WorkReport:
        """Both together, of the same chunk."""
        retries = Counter(self.retries)
        retries.update(later.retries)
        return WorkReport(
            self.spans + later.spans,
            dict(retries),
            later.gpu or self.gpu,
            self.waited_s + later.waited_s,
        )


class StageRecorder:
    """Times the stages of what one thread does."""

    def __init__(self) -> None:
        self._spans: list[StageSpan] = []

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Time the block, also where it raises."""
        started, began = time.time(), time.perf_counter()
        try:
            yield
        finally:
            self._spans.append(StageSpan(stage, started, time.perf_counter() - began))

    def take(self) -> tuple[StageSpan, ...]:
        """The spans since the last time."""
        spans, self._spans = tuple(self._spans), []
        return spans


def read_gpu_memory() -> GpuMemory | None:
    """Of the GPU that torch uses in this process; None if it uses none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    free, total = torch.cuda.mem_get_info()
    uuid = torch.cuda.get_device_properties(torch.cuda.current_device()).uuid
    return GpuMemory(str(uuid), total - free, total)
