"""Turns training checkpoints into the bundled weights: safetensors, half precision.

    python -m pipeline.training.export_weights --sam sam.pt --prompts prompts.pt
    python -m pipeline.training.export_weights --clip clip.pt --art sprites.npz --average
    python -m pipeline.training.export_weights --maskrcnn maskrcnn.pt --segformer segformer.pt

With `--average`, a third of the bundled weights stays: weights that were trained further from the
same ones lie in the same valley of the loss, and between two runs lies more of what both found.

What a model that knows classes calls them is written beside it; weights that it shares with other
models are theirs. Tokens that occur in no training caption get zero vectors: untrained ones mean
nothing, and zeros compress to nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.demo.groups import GROUPS
from pipeline.training.scene_cache import load_art
from pipeline.training.segformer_learner import MODEL
from pipeline.training.segformer_shape import PREPARATION, make_config
from pipeline.training.train_clip import TEMPLATES
from workers.embedders.clip_tokenizer import ClipTokenizer
from workers.models.maskrcnn_demo_architecture import TOWER

_BUNDLED = Path(__file__).parents[2] / "workers" / "bundled"


def load_average(checkpoint: Path) -> tuple[dict[str, Tensor], int]:
    """Load the running average of a checkpoint's weights, in half precision, and its step."""
    state = torch.load(checkpoint, weights_only=True)
    weights = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in state["ema"].items()
    }
    return weights, state["step"]


def mix_with(weights: dict[str, Tensor], other: Path) -> dict[str, Tensor]:
    """Mix two thirds of `weights` with a third of those in the file `other`."""
    before = load_file(other)
    return {
        name: before[name].float().lerp(value.float(), 2 / 3).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in weights.items()
    }


def zero_untrained(token_embedding: Tensor, art: Path) -> None:
    """Zero the rows of tokens that occur in no caption, in place: float (vocabulary, width)."""
    phrases = [phrase for c in load_art(art).concepts for phrase in (c.label, *c.keywords)]
    texts = [template.format(phrase) for template in set(TEMPLATES) for phrase in phrases]
    trained = np.unique(ClipTokenizer(context_length=77)(texts))
    untrained = np.setdiff1d(np.arange(len(token_embedding)), trained)
    token_embedding[torch.from_numpy(untrained)] = 0


def describe_classes(name: str) -> dict[str, object]:
    """What `NAME.json` says beside the weights of a model of groups, {} for other models."""
    if name == "segformer_demo":
        return {**make_config().to_diff_dict(), "preprocessor": PREPARATION}
    if name == "maskrcnn_demo":
        return {"id2label": dict(enumerate(("N/A", *GROUPS)))}
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sam", type=Path, help="checkpoint of sam_demo")
    parser.add_argument("--prompts", type=Path, help="checkpoint of sam_demo's prompt decoder")
    parser.add_argument("--clip", type=Path, help="checkpoint of clip_demo")
    parser.add_argument("--art", type=Path, help="what clip_demo was trained on")
    parser.add_argument("--maskrcnn", type=Path, help="checkpoint of maskrcnn_demo's heads")
    parser.add_argument("--segformer", type=Path, help="checkpoint of segformer_demo")
    parser.add_argument("--average", action="store_true", help="keep a third of what is bundled")
    parser.add_argument("--out", type=Path, default=_BUNDLED)
    args = parser.parse_args()
    if args.clip and not args.art:
        parser.error("--clip needs --art, from which the trained tokens follow")
    checkpoints = {
        "sam_demo": args.sam,
        "sam_demo_prompts": args.prompts,
        "clip_demo": args.clip,
        "maskrcnn_demo": args.maskrcnn,
        "segformer_demo": args.segformer,
    }
    for name, checkpoint in checkpoints.items():
        if checkpoint is None:
            continue
        weights, step = load_average(checkpoint)
        if name == "clip_demo":
            zero_untrained(weights["token_embedding.weight"], args.art)
        if name == "maskrcnn_demo":
            weights = {key: value for key, value in weights.items() if not key.startswith(TOWER)}
        if name == "segformer_demo":
            weights = {
                key.removeprefix(MODEL): value
                for key, value in weights.items()
                if key.startswith(MODEL)
            }
        if args.average:
            weights = mix_with(weights, _BUNDLED / f"{name}.safetensors")
        out = args.out / f"{name}.safetensors"
        save_file(weights, out, metadata={"step": str(step)})
        if classes := describe_classes(name):
            out.with_suffix(".json").write_text(json.dumps(classes, indent=1) + "\n")
        print(f"{out.name}: step {step}, {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
