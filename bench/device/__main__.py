"""A GPU put to the test: are its masks right, how fast is it, what when its memory runs out?

    python -m bench.device
    python -m bench.device --device cpu --quick

Needs neither Ray nor a network, and takes at most eight minutes on one GPU. No trained weights of
the released models are needed (see `bench.mask_bank`). Prints one table last, and writes it to
bench/results/device-NAME.json line by line. A part that fails is told in the table, and the
others go on. On a machine that has PyTorch and little else, `bench/device.sh` gathers the rest.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from rich.console import Console

from bench.device import agreement, embedding, memory, speed, whole
from bench.device.figures import Figure, Note, Row, keep, print_table

_RESULTS = Path(__file__).parent.parent / "results"
_PARTS: dict[str, Callable[..., Iterator[Row]]] = {
    agreement.PART: agreement.compare,
    speed.PART: speed.measure,
    embedding.PART: embedding.measure,
    whole.PART: whole.measure,
    memory.PART: memory.measure,
}


def describe(device: str) -> tuple[str, str]:
    """A name for files, and the machine in words."""
    cores = len(os.sched_getaffinity(0))
    hardware = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    name = re.sub(r"[^a-z0-9]+", "-", hardware.lower()).strip("-")
    return name, f"{hardware}, {cores} cores, torch {torch.__version__}"


def run(part: str, device: str, *, quick: bool) -> Iterator[Row]:
    """The rows of a part; of one that fails, what it failed with."""
    started = time.perf_counter()
    try:
        yield from _PARTS[part](device, quick=quick)
    except Exception as exc:
        traceback.print_exc()
        yield Note(part, "ended by", f"{type(exc).__name__}: {exc}"[:200], failed=True)
    if device == "cuda":
        torch.cuda.empty_cache()
    yield Figure(part, "took", time.perf_counter() - started, "s")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: whether it runs at all")
    parser.add_argument("--parts", nargs="+", choices=[*_PARTS], default=[*_PARTS])
    parser.add_argument("--results", type=Path, default=_RESULTS, metavar="FOLDER")
    args = parser.parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device here; --device cpu rehearses")

    console = Console(width=110)
    name, machine = describe(args.device)
    # Nothing is asked of a rehearsal's speed.
    timed = args.device == "cuda" and not args.quick
    kept = args.results / f"device-{name}{'-quick' if args.quick else ''}.json"
    rows: list[Row] = []
    for part in args.parts:
        console.print(f"{part} ...")
        for row in run(part, args.device, quick=args.quick):
            rows.append(row if timed else row.without_bound())
            keep(kept, machine, rows)
    print_table(console, machine, rows)
    return 1 if any(isinstance(row, Note) and row.failed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
