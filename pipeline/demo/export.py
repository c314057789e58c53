"""Turn the training checkpoints into the bundled weights: safetensors, half precision.

python -m pipeline.demo.export sam.pt clip.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

_BUNDLED = Path(__file__).parents[2] / "workers" / "bundled"


def export(checkpoint: Path, out: Path) -> None:
    """Write the running average of a checkpoint's weights to `out`."""
    state = torch.load(checkpoint, weights_only=True)
    weights = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in state["ema"].items()
    }
    save_file(weights, out, metadata={"step": str(state["step"])})
    print(f"{out.name}: step {state['step']}, {out.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sam", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--out", type=Path, default=_BUNDLED)
    args = parser.parse_args()
    export(args.sam, args.out / "sam_demo.safetensors")
    export(args.clip, args.out / "clip_demo.safetensors")


if __name__ == "__main__":
    main()
