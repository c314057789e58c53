"""How many threads torch gets: by affinity, by quotas of cgroups, one where more only wait."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from workers.models.threads import count_usable_cpus, limit_threads, use_single_thread


@pytest.fixture(autouse=True)
def _threads_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


def count(tmp_path: Path, own: str, files: dict[str, str]) -> int:
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return count_usable_cpus(tmp_path / "cgroup", tmp_path / "own")


@pytest.mark.parametrize(
    ("own", "files", "cpus"),
    [
        ("", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "100000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3),
        ("0::/on/the/host\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "1600000 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "gibberish"}, 8),
        (
            "5:cpuset:/x\n4:cpu,cpuacct:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "150000\n", "cpu/x/cpu.cfs_period_us": "50000\n"},
            3,
        ),
        (
            "4:cpu,cpuacct:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            8,
        ),
    ],
)
def test_quotas_and_affinity(own: str, files: dict[str, str], cpus: int, tmp_path: Path) -> None:
    assert count(tmp_path, own, files) == cpus


def test_affinity_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    assert count(tmp_path, "0::/\n", {"cpu.max": "400000 100000\n"}) == 1
    assert count_usable_cpus(tmp_path / "nowhere", tmp_path / "nobody") == 1


def test_threads_are_limited_and_never_raised() -> None:
    torch.set_num_threads(4)
    limit_threads(8)
    assert torch.get_num_threads() == 4
    limit_threads(3)
    assert torch.get_num_threads() == 3
    with use_single_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
