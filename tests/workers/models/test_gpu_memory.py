"""Processes that share a GPU have a part of its memory each, with room for what torch ignores."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from workers.models.gpu_memory import find_memory_fraction, limit_gpu_memory

GIB = 1 << 30


@pytest.mark.parametrize(
    ("gpus", "total", "expected"),
    [(0.25, 80 * GIB, 0.240625), (0.5, 24 * GIB, 0.46875), (0.1, 8 * GIB, 0.05)],
)
def test_the_rest_of_a_part_is_for_the_context(gpus: float, total: int, expected: float) -> None:
    assert find_memory_fraction(gpus, total) == pytest.approx(expected)


def test_neighbours_together_leave_room_for_all_of_their_contexts() -> None:
    for processes in (2, 3, 4, 8):
        taken = processes * find_memory_fraction(1 / processes, 80 * GIB) * 80 * GIB
        assert taken == pytest.approx(80 * GIB - processes * 0.75 * GIB)


@pytest.mark.parametrize(("gpus", "limits"), [(0, []), (0.5, [0.4375]), (1, []), (2, [])])
def test_only_a_part_of_a_gpu_is_a_limit(
    gpus: float, limits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float] = []
    device = SimpleNamespace(total_memory=12 * GIB)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: device)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", found.append)
    limit_gpu_memory(gpus)
    assert found == limits
