"""Ingest against the script that people write, and what it costs beside its models.

    python -m bench.ingest --images 12 --rounds 3
    python -m bench.ingest --rounds 0 --vit-b-rounds 0 --long 5000

One bucket behind an S3 server on loopback, one machine, one set of weights. First, in turns, the
script, a plain loop over our own workers and objseek on Ray (see `bench.against_script`), with the
bundled model and again with weights of `sam_vit_b`'s shape. Then one long run (see
`bench.long_run`), and one actor against two.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from bench.against_script import against_the_script, demo_case, vit_b_case
from bench.bucket import s3_server
from bench.long_run import LEAST_IMAGES, long_run, one_and_two_actors

_RESULTS = Path(__file__).parent / "results" / "ingest.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=8, help="of the run against the script")
    parser.add_argument("--rounds", type=int, default=3, help="0 leaves the script out")
    parser.add_argument("--points-per-side", type=int, default=16)
    parser.add_argument("--vit-b-images", type=int, default=4, help="the same in sam_vit_b's shape")
    parser.add_argument("--vit-b-rounds", type=int, default=2, help="0 leaves it out")
    parser.add_argument("--long", type=int, default=1000, help="images of the long run, 0: none")
    parser.add_argument("--long-points", type=int, default=8, help="its points per side")
    parser.add_argument("--actor-images", type=int, default=48, help="of the run with 1, 2 actors")
    parser.add_argument("--bf16", action="store_true", help="against the script in bfloat16 too")
    args = parser.parse_args()
    if 0 < args.long < LEAST_IMAGES:
        parser.error(f"what grows can be told of {LEAST_IMAGES} images or more, got {args.long}")

    console, cores = Console(), len(os.sched_getaffinity(0))
    machine = f"{platform.machine()}, {cores} cores, torch {torch.__version__}"
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, s3_server() as client:
        work = Path(name)
        if args.rounds:
            case = demo_case(args.points_per_side)
            figures |= against_the_script(
                console, client, case, work / "demo", images=args.images, rounds=args.rounds,
                cores=cores, bf16=args.bf16,
            )  # fmt: skip
            figures["script_machine"] = machine
        if args.vit_b_rounds:
            case = vit_b_case(args.points_per_side, work)
            found = against_the_script(
                console, client, case, work / "vit-b", images=args.vit_b_images,
                rounds=args.vit_b_rounds, cores=cores, bf16=args.bf16,
            )  # fmt: skip
            figures |= {f"vit_b_{name}": value for name, value in found.items()}
            figures["vit_b_machine"] = machine
        if args.long:
            figures |= long_run(console, client, work, args.long, args.long_points)
            figures |= one_and_two_actors(console, work, args.actor_images, args.points_per_side)
            figures["long_machine"] = machine
    console.print(machine)
    # Parts that were left out keep what they had.
    _RESULTS.parent.mkdir(exist_ok=True)
    before = json.loads(_RESULTS.read_text()) if _RESULTS.exists() else {}
    _RESULTS.write_text(json.dumps(before | figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
