"""Turn the training checkpoints into the bundled weights: safetensors, half precision.

    python -m pipeline.demo.export --sam sam.pt
    python -m pipeline.demo.export --clip clip.pt --art sprites.npz --average

With `--average`, a third of what is bundled stays: weights that were trained further from the same
ones lie in the same valley, and between two runs is more of what both have found.

Tokens that no caption of the training holds get zero vectors: they were never trained, mean
nothing, and pack to nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.training.scene_cache import load_art
from pipeline.training.train_clip import TEMPLATES
from workers.embedders.clip_tokenizer import ClipTokenizer

_BUNDLED = Path(__file__).parents[2] / "workers" / "bundled"


def averaged(checkpoint: Path) -> tuple[dict[str, Tensor], int]:
    """The running average of a checkpoint's weights, in half precision, and its step."""
    state = torch.load(checkpoint, weights_only=True)
    weights = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in state["ema"].items()
    }
    return weights, state["step"]


def between(weights: dict[str, Tensor], other: Path) -> dict[str, Tensor]:
    """Two thirds of the way from the weights in the file `other` to `weights`."""
    before = load_file(other)
    return {
        name: before[name].float().lerp(value.float(), 2 / 3).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in weights.items()
    }


def forget_untrained(token_embedding: Tensor, art: Path) -> None:
    """Zero the rows of tokens that no caption holds, in place: float (vocabulary, width)."""
    phrases = [phrase for c in load_art(art).concepts for phrase in (c.label, *c.keywords)]
    texts = [template.format(phrase) for template in set(TEMPLATES) for phrase in phrases]
    trained = np.unique(ClipTokenizer(context_length=77)(texts))
    untrained = np.setdiff1d(np.arange(len(token_embedding)), trained)
    token_embedding[torch.from_numpy(untrained)] = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sam", type=Path, help="checkpoint of sam_demo")
    parser.add_argument("--clip", type=Path, help="checkpoint of clip_demo")
    parser.add_argument("--art", type=Path, help="what clip_demo was trained on")
    parser.add_argument("--average", action="store_true", help="keep a third of what is bundled")
    parser.add_argument("--out", type=Path, default=_BUNDLED)
    args = parser.parse_args()
    if args.clip and not args.art:
        parser.error("--clip needs --art, which tells the tokens that were trained")
    for name, checkpoint in (("sam_demo", args.sam), ("clip_demo", args.clip)):
        if checkpoint is None:
            continue
        weights, step = averaged(checkpoint)
        if name == "clip_demo":
            forget_untrained(weights["token_embedding.weight"], args.art)
        if args.average:
            weights = between(weights, _BUNDLED / f"{name}.safetensors")
        out = args.out / f"{name}.safetensors"
        save_file(weights, out, metadata={"step": str(step)})
        print(f"{out.name}: step {step}, {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
