"""Simulates an ingest of 10^9 images, scenario by scenario: hours, dollars, what is done twice.

    python -m bench.simulate --plots docs
    python -m bench.simulate --check

Its seconds are those of `objseek plan`, its chunks, limits and pauses those of the code. A part of
the images is simulated (`--share`), on all machines, and taken for all. `--check` holds a
simulation of 2,000 images against a real ingest of them, with models that sleep.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import astuple

from rich.console import Console
from rich.table import Table

from bench.simulated_check import check


def print_check(console: Console, images: int, mean_s: float, seconds: float) -> None:
    """Run both, and print them beside each other."""
    found = check(images, mean_s, 1.0, seconds)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    table = Table("", "s", "done", "rejected", "given up", "chunks", "again", "images again")
    for name, run in (("real", found.real), ("simulated", found.simulated)):
        first, *rest = astuple(run)
        table.add_row(name, f"{first:.1f}", *(f"{each:,}" for each in rest))
    console.print(table)
    ratio = found.simulated.seconds / found.real.seconds
    console.print(f"simulated / real {ratio:.2f}, at a load of {load}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--images", type=int, default=2000, help="of the check")
    parser.add_argument("--mean-s", type=float, default=0.1, help="an image, of the check")
    parser.add_argument("--seconds", type=float, default=20, help="to measure for the check")
    args = parser.parse_args()
    console = Console(width=120)
    if args.check:
        print_check(console, args.images, args.mean_s, args.seconds)


if __name__ == "__main__":
    main()
