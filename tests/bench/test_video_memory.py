"""What is told of memory and the length of a video."""

from __future__ import annotations

from rich.table import Table

from bench.process_memory import Memory
from bench.video_memory import Run, tabulate

_MIB = 2**20


def run(seconds: int) -> Run:
    """A reader that holds a MiB more each second, and an actor that does not."""
    memory = Memory()
    for second in range(seconds):
        memory.record(7, "ray::read_chunk", 100 + second, (100 + second) * _MIB)
        memory.record(8, "ray::ModelActor.process", 100 + second, 500 * _MIB)
    return Run(6, memory, 100.0, 100.0 + seconds)


def list_column(table: Table, header: str) -> list[str]:
    (column,) = (each for each in table.columns if each.header == header)
    return [str(cell) for cell in column.cells]


def test_growth_is_told_since_the_short_video_and_the_first_fifth() -> None:
    table = tabulate({10.0: run(6), 600.0: run(51)})
    reader = ["105", "150", "110", "120", "130", "140", "150", "+42.9%", "+36.4%"]
    assert list_column(table, "reader, MiB") == reader
    assert list_column(table, "actor, MiB") == ["500"] * 7 + ["+0.0%"] * 2
    assert list_column(table, "driver, MiB") == ["0"] * 7 + [""] * 2
