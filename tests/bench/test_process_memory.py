"""Memory is counted for what a process does, and of those alone that the run started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.process_memory import Memory, list_started


def test_a_worker_counts_for_what_it_became() -> None:
    memory = Memory()
    memory.record(7, "ray::IDLE", 10.2, 300)
    memory.record(8, "ray::IDLE", 10.2, 900)
    memory.record(7, "ray::ModelActor.__init__", 11.0, 200)
    memory.record(9, "ray::read_chunk", 11.1, 50)
    memory.record(9, "ray::IDLE", 11.8, 60)
    assert memory.peak("actor", 20) == 300
    assert memory.peak("reader", 20) == 60
    assert memory.peak("driver", 20) == 0


def test_peaks_are_of_seconds() -> None:
    memory = Memory()
    for at, held in ((1.1, 5), (1.9, 3), (2.5, 4), (3.5, 1)):
        memory.record(7, "ray::read_chunk", at, held)
    assert memory.peak("reader", 9) == 5
    assert memory.peak("reader", 9, 1.5) == 5
    assert memory.peak("reader", 9, 2.2) == 4
    assert memory.peak("reader", 2.2, 2.0) == 4
    assert memory.peak("reader", 9, 4) == 0


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are listed in /proc")
def test_processes_below_one_are_those_it_started() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in list_started(os.getpid())
        assert list_started(child.pid) == []
        assert os.getpid() not in list_started(child.pid)
        child.communicate(b"\n")
    assert child.pid not in list_started(os.getpid())


def test_this_process_is_the_driver() -> None:
    memory = Memory()
    with memory.watched():
        pass
    assert memory.peak("driver", float("inf")) > 1 << 20
