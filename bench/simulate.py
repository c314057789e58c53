"""Simulates an ingest of 10^9 images, scenario by scenario: hours, dollars, what is done twice.

    python -m bench.simulate --plots docs/simulated.webp
    python -m bench.simulate --check

Its seconds are those of `objseek plan`, its chunks, limits and pauses those of the code. Some of
the machines are simulated (`--machines`), with all of their images, and taken for all. `--check`
holds a simulation of 2,000 images against a real ingest of them, with models that sleep.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import astuple, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.simulated_check import check
from bench.simulated_plots import draw_sheet, plot_by_reclaims, plot_progress
from bench.simulated_scenarios import PLANNED, RECLAIMS, SCENARIOS, SPOT
from pipeline.planning import pace
from pipeline.planning.simulation.simulate import Outcome, simulate

_THROTTLED_PART = 0.01
"""Of the images: each request of a store that throttles is an event of its own."""
_SHOWN = ("as planned", "spot machines", "a store that throttles", "spot and a slow index")


def run_scenarios(console: Console, machines: int) -> list[Outcome]:
    """Simulate all of them, one after the other."""
    outcomes = []
    for scenario in SCENARIOS:
        part = 1.0 if scenario.gets_per_s is None else _THROTTLED_PART
        outcomes.append(simulate(PLANNED, scenario, machines=machines, part=part))
        console.print(f"{scenario.name}: {scenario.source}")
    return outcomes


def print_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print a row for each; counts are of all images."""
    layout, workload = PLANNED.layout, PLANNED.workload
    planned_h = pace.estimate_seconds(workload, PLANNED.profile, layout) / 3600
    console.print(
        f"{workload.images:,} images on {layout.machines} machines; plan {planned_h:.0f} h"
    )
    table = Table(
        "scenario", "share", "hours", "dollars", "busy", "chunks", "again", "images again",
        "workers ended", "machines gone", "given up", "unread", "refused",
    )  # fmt: skip
    for each in outcomes:
        totals = each.totals
        counts = (
            totals.chunks, totals.chunks_again, totals.images_again, totals.deaths, totals.stops,
            totals.given_up, totals.failed, each.refused,
        )  # fmt: skip
        table.add_row(
            each.scenario.name, f"{each.share:g}", f"{each.seconds / 3600:.0f}",
            f"{each.usd or 0:,.0f}", f"{each.busy_share:.1%}",
            *(f"{count / each.share:,.0f}" for count in counts),
        )  # fmt: skip
    console.print(table)


def plot_outcomes(outcomes: Sequence[Outcome], machines: int, path: Path) -> None:
    """Draw what is done by when, and days and dollars by how often spot machines go."""
    shown = [each for each in outcomes if each.scenario.name in _SHOWN]
    swept = [
        simulate(PLANNED, replace(SPOT, reclaims=rate), machines=machines) for rate in RECLAIMS
    ]
    steady = next(each for each in outcomes if each.scenario.name == "machines lost")
    draw_sheet(
        [
            plot_progress(shown),
            plot_by_reclaims(swept, steady, "days"),
            plot_by_reclaims(swept, steady, "thousand dollars"),
        ],
        path,
    )


def print_check(console: Console, images: int, mean_s: float, seconds: float) -> None:
    """Run both, and print them beside each other."""
    found = check(images, mean_s, 1.0, seconds)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    table = Table("", "s", "done", "rejected", "given up", "chunks", "again", "images again")
    runs = [("real", found.real)]
    runs += [(f"simulated, start {p.seconds.start:.1f} s", run) for p, run in found.simulated]
    for name, run in runs:
        first, *rest = astuple(run)
        table.add_row(name, f"{first:.1f}", *(f"{each:,}" for each in rest))
    console.print(table)
    ratio = found.simulated_s / found.real.seconds
    console.print(f"simulated, the mean, / real {ratio:.2f}, at a load of {load}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--machines", type=int, default=4, help="of 64, simulated")
    parser.add_argument("--plots", type=Path, help="a WebP file")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--images", type=int, default=2000, help="of the check")
    parser.add_argument("--mean-s", type=float, default=0.1, help="an image, of the check")
    parser.add_argument("--seconds", type=float, default=20, help="to measure for the check")
    args = parser.parse_args()
    console = Console(width=170)
    if args.check:
        print_check(console, args.images, args.mean_s, args.seconds)
        return
    outcomes = run_scenarios(console, args.machines)
    print_outcomes(console, outcomes)
    if args.plots is not None:
        plot_outcomes(outcomes, args.machines, args.plots)


if __name__ == "__main__":
    main()
