"""Cuts frames out of cached scenes, with the group of every instance, and keeps their embeddings.

python -m pipeline.training.group_frames scenes frames --count 2000
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from pipeline.demo.scenes import MAX_OBJECTS
from pipeline.training.scene_frames import make_frame, sample_window
from workers.models.catalog import bundled_path, find
from workers.models.sam_demo_architecture import EMBED_DIM, IMG_SIZE, STRIDE, build_sam_demo

_AT_ONCE = 4
_MIN_VISIBLE, _MIN_AREA_PX = 0.25, 16


def find_frame_groups(ids: np.ndarray, groups: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Of each instance number of a frame its group, from 1; 0: it is not there to be found.

    ids uint8 (side, side), groups uint8 and visible float32 (13,).
    """
    there = np.bincount(ids.ravel(), minlength=256)[: MAX_OBJECTS + 1] >= _MIN_AREA_PX
    there[0] = False
    found: np.ndarray = np.where(there & (visible > _MIN_VISIBLE), groups, 0).astype(np.uint8)
    return found


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("scenes", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    sam = build_sam_demo()
    sam.load_state_dict(load_file(bundled_path(find("sam_demo"))))
    encoder = sam.image_encoder.eval().to(memory_format=torch.channels_last)
    images = np.load(args.scenes / "images.npy", mmap_mode="r")
    instances = np.load(args.scenes / "instances.npy", mmap_mode="r")
    visible, groups = (np.load(args.scenes / f"{name}.npy") for name in ("visible", "groups"))
    rng = np.random.default_rng(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    create = partial(np.lib.format.open_memmap, mode="w+")
    count, cells = args.count, IMG_SIZE // STRIDE
    frames = create(args.out / "frames.npy", dtype=np.uint8, shape=(count, IMG_SIZE, IMG_SIZE, 3))
    ids = create(args.out / "ids.npy", dtype=np.uint8, shape=(count, IMG_SIZE, IMG_SIZE))
    shape = (count, EMBED_DIM, cells, cells)
    embeddings = create(args.out / "embeddings.npy", dtype=np.float16, shape=shape)
    of_frames = create(args.out / "groups.npy", dtype=np.uint8, shape=(count, MAX_OBJECTS + 1))
    for start in range(0, count, _AT_ONCE):
        rows = range(start, min(start + _AT_ONCE, count))
        for row in rows:
            scene = row % len(images)
            inside = sample_window(rng, instances[scene].shape)
            frames[row], ids[row] = make_frame(
                rng, images[scene][inside], instances[scene][inside], recolour=False
            )
            of_frames[row] = find_frame_groups(ids[row], groups[scene], visible[scene])
        pixels = torch.from_numpy(frames[rows.start : rows.stop]).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            made = encoder((pixels - sam.pixel_mean) / sam.pixel_std)
        embeddings[rows.start : rows.stop] = made.half().numpy()
        if rows.stop % 100 == 0:
            print(f"{rows.stop}/{count} frames", flush=True)


if __name__ == "__main__":
    main()
