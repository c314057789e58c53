"""Trains what tells which crops `sam_demo` need not look at, on what its own crops add.

    python -m pipeline.training.train_crops sprites.npz crops --scenes 120

Each scene of training sprites is segmented with all of its crops and with each choice of them; no
truth is needed. What was found is kept in the folder, so that a run goes on where the last one
ended. The result goes into the file of the points' scorer, which has to be trained before.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pipeline.demo.scenes import SCENE_HW, compose
from pipeline.demo.sprites import STYLES, Sprite
from pipeline.training.scene_cache import compress_jpeg, load_training_sprites
from schemas.options import SegmenterOptions
from schemas.overlaps import best_iou
from workers.segmenters import sam_demo
from workers.segmenters.crop_chooser import CropChooser, split_tensors
from workers.segmenters.grid_segmenter import GridSegmenter

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

_BUNDLED = Path(__file__).parents[2] / "workers" / "bundled" / sam_demo.SCORER_FILE
_PORTRAIT_SHARE = 0.2
_LOST_IOU = 0.9  # a mask without one of this IoU or a higher one is lost
_RIDGE, _STEPS, _FOLDS = 6.0, 20, 10


@dataclass(frozen=True, slots=True, eq=False)
class CropSamples:
    """Of scenes with c crops each: features float64 (scenes, c, f), masks int64 (scenes,) found
    with all, and lost int64 (scenes, 2 ** c): how many of them none matches where only some crops
    are looked at, crop 0 for the first half to have none of, and so on.
    """

    features: Float64s
    lost: Int64s
    masks: Int64s

    @property
    def adds(self) -> npt.NDArray[np.bool_]:
        """Which crops are missed if they alone are left out: bool (scenes, c)."""
        crops = self.features.shape[1]
        every = np.ones((crops, crops), np.int64) - np.eye(crops, dtype=np.int64)
        missed: npt.NDArray[np.bool_] = self.lost[:, _number(every)] > 0
        return missed

    def lose(self, is_kept: npt.NDArray[np.bool_]) -> float:
        """The share of all masks lost where of bool (scenes, c) crops are looked at."""
        lost = self.lost[np.arange(len(self.lost)), _number(is_kept)]
        return float(lost.sum() / self.masks.sum())

    def take(self, rows: Int64s) -> CropSamples:
        return CropSamples(self.features[rows], self.lost[rows], self.masks[rows])


def _number(is_kept: npt.NDArray[np.generic]) -> Int64s:
    """The place of choices of crops, (n, c), in the order of `itertools.product`: int64 (n,)."""
    powers = 2 ** np.arange(is_kept.shape[1])[::-1]
    numbers: Int64s = is_kept.astype(np.int64) @ powers
    return numbers


def sample_scene(
    rng: np.random.Generator, sprites: Sequence[Sprite], segmenter: GridSegmenter
) -> CropSamples:
    """A single scene's samples."""
    size_hw = SCENE_HW[::-1] if rng.random() < _PORTRAIT_SHARE else SCENE_HW
    image = compress_jpeg(rng, compose(rng, sprites, size_hw).image)
    whole, *crops = segmenter.crops_of(image)
    view, found = segmenter.find_in_crop(whole)
    parts = [segmenter.find_in_crop(crop)[1] for crop in crops]
    results = []
    for choice in product((False, True), repeat=len(crops)):
        kept = [part for part, is_kept in zip(parts, choice, strict=True) if is_kept]
        masks = segmenter.join([found, *kept], whole.image_hw, size_hw)
        results.append([mask.rle for mask in masks])
    *_, wanted = results
    lost = [int((best_iou(masks, wanted) < _LOST_IOU).sum()) for masks in results]
    features = segmenter.measure_crops(whole, crops, view, found)
    return CropSamples(features[None], np.array([lost]), np.array([len(wanted)]))


def gather_samples(art: Path, folder: Path, scenes: int, seed: int) -> None:
    """Write samples of `scenes` scenes into the folder, but for those that are there."""
    options = SegmenterOptions(device="cpu", prompts="adaptive")
    segmenter = cache(lambda: sam_demo.build(options))
    sprites = cache(lambda: load_training_sprites(art, STYLES))
    folder.mkdir(parents=True, exist_ok=True)
    for scene in range(scenes):
        path = folder / f"{seed}-{scene:05d}.npz"
        if path.exists():
            continue
        samples = sample_scene(np.random.default_rng([seed, scene]), sprites(), segmenter())
        part = path.with_suffix(".part.npz")
        np.savez(part, **asdict(samples))
        part.rename(path)
        print(f"{scene + 1}/{scenes} scenes", flush=True)


def load_samples(folder: Path) -> CropSamples:
    parts = [np.load(path) for path in sorted(folder.glob("*[0-9].npz"))]
    if not parts:
        raise SystemExit(f"there are no samples in {folder}")
    names = ("features", "lost", "masks")
    return CropSamples(*(np.concatenate([part[name] for part in parts]) for name in names))


def fit_chooser(samples: CropSamples) -> CropChooser:
    """A logistic regression with a ridge on features of mean 0 and deviation 1, by Newton's method.

    `least_logit` is left at 0. The same on every run.
    """
    features = samples.features.reshape(-1, samples.features.shape[-1])
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    inputs = np.column_stack([(features - mean) / deviation, np.ones(len(features))])
    adds, ridge = samples.adds.ravel(), np.diag([_RIDGE] * features.shape[1] + [0.0])
    weights = np.zeros(inputs.shape[1])
    for _ in range(_STEPS):
        likely = 1 / (1 + np.exp(-inputs @ weights))
        curvature = (inputs.T * (likely * (1 - likely))) @ inputs + ridge
        weights += np.linalg.solve(curvature, inputs.T @ (adds - likely) - ridge @ weights)
    own = weights[:-1] / deviation  # so that it takes features as they are
    return CropChooser(own, float(weights[-1] - own @ mean), least_logit=0.0)


def score_held_out(samples: CropSamples) -> Float64s:
    """Logits of all crops, each by a chooser fitted to other scenes: float64 (scenes, c)."""
    order = np.random.default_rng(0).permutation(len(samples.masks))
    logits = np.zeros(samples.features.shape[:2])
    for fold in range(_FOLDS):
        rows = order[fold::_FOLDS]
        chooser = fit_chooser(samples.take(np.setdiff1d(order, rows)))
        logits[rows] = chooser.score(samples.features[rows])
    return logits


def choose_bound(samples: CropSamples, logits: Float64s, most_lost: float) -> float:
    """The highest bound below which crops can be left out at a share of `most_lost` masks."""
    good = [bound for bound in np.unique(logits) if samples.lose(logits >= bound) <= most_lost]
    return float(max(good))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sprites", type=Path)
    parser.add_argument("samples", type=Path, help="folder of what was found")
    parser.add_argument("--scenes", type=int, default=120)
    parser.add_argument("--seed", type=int, default=43)
    parser.add_argument("--most-lost", type=float, default=0.01, help="share of masks")
    parser.add_argument("--scorer", type=Path, default=_BUNDLED)
    args = parser.parse_args()
    torch.set_num_threads(1)
    gather_samples(args.sprites, args.samples, args.scenes, args.seed)
    samples = load_samples(args.samples)
    logits = score_held_out(samples)
    for most_lost in (0.0, 0.005, 0.01, 0.02):
        bound = choose_bound(samples, logits, most_lost)
        left_out, lost = (logits < bound).mean(), samples.lose(logits >= bound)
        print(
            f"from {bound:.2f} on: {left_out:.3f} of the crops left out, {lost:.4f} of masks lost"
        )
    fitted = fit_chooser(samples)
    bound = choose_bound(samples, logits, args.most_lost)
    chooser = CropChooser(fitted.weights, fitted.bias, bound)
    of_points, _ = split_tensors(load_file(args.scorer))
    with safe_open(args.scorer, "pt") as file:
        metadata = file.metadata()
    save_file({**of_points, **chooser.to_tensors()}, args.scorer, metadata=metadata)


if __name__ == "__main__":
    main()
