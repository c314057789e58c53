"""Part 3: crops a second, against open_clip's plain loops on the same device."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence

import numpy as np
import open_clip
import torch
from PIL import Image

from bench.bundled import bundled_clip
from bench.device.figures import Figure, Row
from bench.device.sides import draw_images, synchronize
from schemas.images import UInt8Image
from schemas.options import EmbedderOptions
from workers.embedders.clip_embedder import ClipEmbedder, silence_loading

PART = "embedding"
_ARCHITECTURES = "ViT-B-32", "ViT-L-14"
_SIDES_PX = 32, 360
_BATCHES = 64, 128, 256, 512
_LEAST_COSINE = {"fp32": 0.999, "bf16": 0.99}


def measure(device: str, *, quick: bool) -> Iterator[Row]:
    """Of each architecture: both sides' crops a second, and how well their vectors agree."""
    count = 8 if quick else 1024
    crops = _draw_crops(count)
    for architecture in ("clip_demo",) if quick else _ARCHITECTURES:
        torch.manual_seed(0)
        with silence_loading():
            clip = (
                bundled_clip()
                if architecture == "clip_demo"
                else open_clip.create_model(architecture, pretrained=None).eval()
            )
        yield from _measure_model(architecture, clip, crops, device)


def _draw_crops(count: int) -> list[UInt8Image]:
    """Squares of scenes, small ones more often, as objects are."""
    rng = np.random.default_rng(0)
    scenes = draw_images(4, (480, 640))
    crops = []
    for side in np.exp(rng.uniform(*np.log(_SIDES_PX), count)).astype(int).tolist():
        scene = scenes[int(rng.integers(len(scenes)))]
        y, x = (int(rng.integers(size - side + 1)) for size in scene.shape[:2])
        crops.append(np.ascontiguousarray(scene[y : y + side, x : x + side]))
    return crops


def _measure_model(
    architecture: str, clip: open_clip.CLIP, crops: Sequence[UInt8Image], device: str
) -> Iterator[Row]:
    clip = clip.to(device)
    wanted, alone = _run_script(clip, crops[:256], device, at_once=1)
    _, together = _run_script(clip, crops, device, at_once=64)
    yield Figure(PART, f"{architecture}: open_clip, a crop at a time", alone, "/s")
    yield Figure(PART, f"{architecture}: open_clip, 64 at a time", together, "/s")
    for dtype, least in _LEAST_COSINE.items():
        rates = {}
        for batch in [size for size in _BATCHES if size <= len(crops)] or [len(crops)]:
            embedder = _our_embedder(architecture, clip, device, dtype, batch)
            embedder.embed_images(crops)
            synchronize(device)
            started = time.perf_counter()
            found = embedder.embed_images(crops)
            rates[batch] = len(crops) / (time.perf_counter() - started)
        cosine = float((found[: len(wanted)] * wanted).sum(axis=1).min())
        best = max(rates, key=lambda batch: rates[batch])
        what = f"{architecture}, {dtype}"
        yield Figure(PART, f"{what}: least cosine with open_clip's", cosine, "", least)
        yield Figure(PART, f"{what}: {best} at a time", rates[best], "/s")
        yield Figure(PART, f"{what}: to open_clip, a crop at a time", rates[best] / alone, "x")
        yield Figure(PART, f"{what}: to open_clip, 64 at a time", rates[best] / together, "x")


def _run_script(
    clip: open_clip.CLIP, crops: Sequence[UInt8Image], device: str, at_once: int
) -> tuple[np.ndarray, float]:
    """Unit vectors, and crops a second, of open_clip's own transform and encoder in float32."""
    preprocess = clip.visual.preprocess_cfg
    side = preprocess["size"]
    transform = open_clip.image_transform(
        side if isinstance(side, int) else side[0],
        is_train=False,
        mean=preprocess["mean"],
        std=preprocess["std"],
    )
    vectors = []
    with torch.inference_mode():
        clip.encode_image(torch.zeros(at_once, 3, *_size_hw(side), device=device))
        synchronize(device)
        started = time.perf_counter()
        for start in range(0, len(crops), at_once):
            batch = [transform(Image.fromarray(c)) for c in crops[start : start + at_once]]
            vectors.append(clip.encode_image(torch.stack(batch).to(device)).cpu().numpy())
        seconds = time.perf_counter() - started
    found = np.concatenate(vectors)
    return found / np.linalg.norm(found, axis=1, keepdims=True), len(crops) / seconds


def _size_hw(side: int | tuple[int, int]) -> tuple[int, int]:
    return (side, side) if isinstance(side, int) else (side[0], side[1])


def _our_embedder(
    architecture: str, clip: open_clip.CLIP, device: str, dtype: str, batch: int
) -> ClipEmbedder:
    """On a copy, which is converted."""
    options = EmbedderOptions.model_validate(
        {"name": architecture, "device": device, "precision": dtype, "batch_size": batch}
    )
    dim = int(open_clip.get_model_config(architecture)["embed_dim"])
    return ClipEmbedder(copy.deepcopy(clip), lambda texts: texts, architecture, dim, options)
