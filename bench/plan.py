"""What `objseek plan` foretells, held against what the ingest then takes.

    python -m bench.plan --images 150

Scenes are composed; configurations of the bundled models are planned by a command of its own,
ingested by another, and planned again, as other work on the machine comes and goes: the foretold
time is the mean of both. Whole commands are timed, with their start.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.demo.bucket import draw_scene
from pipeline.demo.sprites import bundled_sprites

_SEED = 23


@dataclass(frozen=True, slots=True)
class Configuration:
    """What is ingested, and how: `scale` times 640 x 480, `variables` are settings."""

    name: str
    scale: int
    workers: int
    variables: Mapping[str, str] = field(default_factory=dict)


_COARSE = {"OBJSEEK_SEGMENTER__POINTS_PER_SIDE": "8", "OBJSEEK_SEGMENTER__CROP_N_LAYERS": "0"}
CONFIGURATIONS = (
    Configuration("defaults, 1 worker", 1, 1),
    Configuration("defaults, 2 workers", 1, 2),
    Configuration(
        "grid of 8 points, no crops, 1280 x 960, 2 workers",
        2,
        2,
        _COARSE | {"OBJSEEK_SEGMENTER__PROMPTS": "grid"},
    ),
    Configuration("tiles in place of a segmenter", 1, 1, {"OBJSEEK_SEGMENTER__NAME": "grid"}),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds by the clock and of the CPUs; load averages of the last minute."""

    foretold_s: tuple[float, float]
    foretold_cpu_s: float
    taken_s: float
    taken_cpu_s: float
    loads: tuple[float, float, float]

    @property
    def mean_s(self) -> float:
        return sum(self.foretold_s) / 2


def compose(folder: Path, images: int, scale: int) -> None:
    """Write so many scenes as JPEG files."""
    folder.mkdir()
    sprites = bundled_sprites()
    for number in range(images):
        _, content = draw_scene(_SEED, number, sprites, scale)
        (folder / f"{number:05}.jpg").write_bytes(content)


def run(configuration: Configuration, *args: str) -> tuple[str, float, float]:
    """What a command prints, its seconds by the clock and of the CPUs."""
    command = [sys.executable, "-m", "pipeline.cli.main", *args, "--runner", "local"]
    command += ["--workers", str(configuration.workers)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command,
        env={**os.environ, **configuration.variables},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def foretell(configuration: Configuration, scenes: Path, seconds: float) -> tuple[float, float]:
    """Seconds by the clock, and of the CPUs without the start."""
    out, _, _ = run(configuration, "plan", str(scenes), "--seconds", str(seconds), "--json")
    plan = json.loads(out)
    return plan["estimate"]["seconds"], plan["profile"]["cpu_s"] * plan["workload"]["images"]


def compare(configuration: Configuration, images: int, seconds: float, folder: Path) -> Outcome:
    """Plan, ingest, plan."""
    scenes, index = folder / "scenes", folder / "index"
    compose(scenes, images, configuration.scale)
    loads = [os.getloadavg()[0]]
    first, cpu_first = foretell(configuration, scenes, seconds)
    loads.append(os.getloadavg()[0])
    _, taken, cpu_taken = run(configuration, "ingest", str(scenes), "--index", str(index))
    loads.append(os.getloadavg()[0])
    second, cpu_second = foretell(configuration, scenes, seconds)
    return Outcome((first, second), (cpu_first + cpu_second) / 2, taken, cpu_taken, (*loads[:3],))  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=30, help="to measure, twice each")
    parser.add_argument("--only", type=int, choices=range(1, len(CONFIGURATIONS) + 1))
    args = parser.parse_args()
    chosen = CONFIGURATIONS if args.only is None else (CONFIGURATIONS[args.only - 1],)
    console = Console(width=140)
    console.print(f"{args.images} scenes each, {len(os.sched_getaffinity(0))} cores")
    table = Table("configuration", "foretold, s", "mean", "taken, s", "ratio", "CPU ratio", "load")
    for configuration in chosen:
        with tempfile.TemporaryDirectory() as folder:
            found = compare(configuration, args.images, args.seconds, Path(folder))
        ratio = found.mean_s / found.taken_s
        console.print(f"{configuration.name}: foretold / taken {ratio:.2f}")
        table.add_row(
            configuration.name,
            " / ".join(f"{each:.0f}" for each in found.foretold_s),
            f"{found.mean_s:.0f}",
            f"{found.taken_s:.0f}",
            f"{ratio:.2f}",
            f"{found.foretold_cpu_s / found.taken_cpu_s:.2f}",
            " / ".join(f"{each:.1f}" for each in found.loads),
        )
    console.print(table)


if __name__ == "__main__":
    main()
