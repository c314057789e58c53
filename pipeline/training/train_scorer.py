"""Trains what tells where `sam_demo` would find nothing, on what its own decoder finds.

    python -m pipeline.training.train_scorer sprites.npz samples --scenes 2000

Of each scene of training sprites one crop is encoded and some of its points are asked; no truth is
needed. What was found is kept in the folder, so that a run goes on where the last one ended.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.demo.scenes import SCENE_HW, compose
from pipeline.demo.sprites import STYLES, Sprite
from pipeline.training.scene_cache import compress_jpeg, load_training_sprites
from schemas.options import SegmenterOptions
from workers.segmenters import sam_demo
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.point_scorer import PointScorer
from workers.segmenters.scorer_fit import ask_points, fit_scorer

_BUNDLED = Path(__file__).parents[2] / "workers" / "bundled" / sam_demo.SCORER_FILE
_BLOCK = 10  # scenes a file
_POINTS = 64  # asked of a scene
_CROPS, _WHOLE_SHARE, _PORTRAIT_SHARE = 5, 0.5, 0.2
_HELD_OUT_SHARE = 0.1


def sample_scene(
    rng: np.random.Generator, sprites: Sequence[Sprite], segmenter: GridSegmenter
) -> tuple[np.ndarray, np.ndarray]:
    """Features, float16 (64, f), of points of a scene, and which yield a mask: bool (64,)."""
    size_hw = SCENE_HW[::-1] if rng.random() < _PORTRAIT_SHARE else SCENE_HW
    image = compress_jpeg(rng, compose(rng, sprites, size_hw).image)
    number = 0 if rng.random() < _WHOLE_SHARE else int(rng.integers(1, _CROPS))
    crop = segmenter.crops_of(image)[number]
    points_xy = rng.random((_POINTS, 2)) * crop.size_hw[::-1]
    asked = ask_points(segmenter, crop, points_xy)
    return asked.features, asked.yielding


def gather_samples(art: Path, folder: Path, scenes: int, seed: int) -> None:
    """Write samples of `scenes` scenes into the folder, but for those that are there."""
    options = SegmenterOptions(device="cpu", prompts="grid")
    segmenter = cache(lambda: sam_demo.build(options))
    sprites = cache(lambda: load_training_sprites(art, STYLES))
    folder.mkdir(parents=True, exist_ok=True)
    for block in range(-(-scenes // _BLOCK)):
        path = folder / f"{seed}-{block:05d}.npz"
        if path.exists():
            continue
        rng = np.random.default_rng([seed, block])
        samples = [sample_scene(rng, sprites(), segmenter()) for _ in range(_BLOCK)]
        features, yielding = (np.stack(column) for column in zip(*samples, strict=True))
        part = path.with_suffix(".part.npz")
        np.savez(part, features=features, yielding=yielding)
        part.rename(path)
        print(f"{(block + 1) * _BLOCK}/{scenes} scenes", flush=True)


def load_samples(folder: Path) -> tuple[Tensor, Tensor]:
    """Features, float32 (scenes, 64, f), and yields, float32 (scenes, 64)."""
    parts = [np.load(path) for path in sorted(folder.glob("*[0-9].npz"))]
    if not parts:
        raise SystemExit(f"there are no samples in {folder}")
    features, yielding = (
        np.concatenate([part[name] for part in parts]) for name in ("features", "yielding")
    )
    return torch.from_numpy(features).float(), torch.from_numpy(yielding).float()


def report(scorer: PointScorer, features: Tensor, yielding: Tensor) -> None:
    """Print what share of points a bound leaves, and of those that yield."""
    with torch.inference_mode():
        scores = scorer(features).sigmoid()
    print(f"{yielding.mean():.3f} of {len(yielding):,} held-out points yield a mask")
    for bound in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3):
        left = scores >= bound
        kept = left[yielding > 0].float().mean()
        print(f"from {bound} on: {left.float().mean():.3f} of all, {kept:.3f} of those that yield")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sprites", type=Path)
    parser.add_argument("samples", type=Path, help="folder of what was found")
    parser.add_argument("--scenes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=41)
    parser.add_argument("--least-score", type=float, default=0.15)
    parser.add_argument("--out", type=Path, default=_BUNDLED)
    args = parser.parse_args()
    torch.set_num_threads(1)
    gather_samples(args.sprites, args.samples, args.scenes, args.seed)
    features, yielding = load_samples(args.samples)
    thresholds = sam_demo.DEFAULTS
    held_out = max(int(_HELD_OUT_SHARE * len(features)), 1)
    report(
        fit_scorer(features[held_out:].flatten(0, 1), yielding[held_out:].flatten(), thresholds),
        features[:held_out].flatten(0, 1),
        yielding[:held_out].flatten(),
    )
    scorer = fit_scorer(features.flatten(0, 1), yielding.flatten(), thresholds)
    scorer.least_score.fill_(args.least_score)
    save_file(scorer.state_dict(), args.out, metadata={"scenes": str(len(features))})


if __name__ == "__main__":
    main()
