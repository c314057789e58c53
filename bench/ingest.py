"""Ingest against the script that people write: the same models, images and threads, interleaved.

    python -m bench.ingest --images 6 --rounds 3

The peer loops over files: the unmodified SamAutomaticMaskGenerator, two crops of each mask embedded
one at a time with open_clip, an upsert per image into qdrant-client's local mode. Both run in this
process with the same weights, loaded beforehand. The outputs are compared first: unless every mask
is the same and every vector agrees to a cosine of 0.9999, no ratio is printed.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from qdrant_client import QdrantClient, models
from segment_anything import SamAutomaticMaskGenerator

from pipeline.demo.bucket import write_bucket
from pipeline.ingest import ingest
from pipeline.process import Recipe, recipe_of
from pipeline.settings import Settings, load_settings
from schemas.options import IndexOptions
from workers import catalog
from workers.clip_demo_model import create_clip_demo
from workers.crops import square_around
from workers.embedders.clip import quietly
from workers.indexes import open_index
from workers.sam_demo_model import build_sam_demo
from workers.segmenters.sam_demo import DEFAULTS
from workers.weights import fill, read_weights

_RESULTS = Path(__file__).parent / "results" / "ingest.json"
_FILL, _MARGIN = (122, 116, 104), 0.15
_MIN_COSINE = 0.9999
Found = dict[str, dict[str, np.ndarray]]
"""Vectors by file name and mask (COCO counts)."""


class Peer:
    """What people glue together today."""

    def __init__(self) -> None:
        with quietly():
            sam, clip = build_sam_demo(), create_clip_demo()
        for model, name in ((sam, "sam_demo"), (clip, "clip_demo")):
            fill(model, read_weights(catalog.bundled_path(catalog.find(name))), name)
            model.eval()
        self.generator = SamAutomaticMaskGenerator(sam, output_mode="coco_rle", **DEFAULTS)
        self.clip = clip
        self.transform = open_clip.image_transform(
            64, is_train=False, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD
        )

    def run(self, paths: Sequence[Path]) -> Found:
        client = QdrantClient(":memory:")
        params = models.VectorParams(size=256, distance=models.Distance.COSINE)
        client.create_collection("objects", vectors_config=params)
        found: Found = {}
        for path in paths:
            image = np.asarray(Image.open(path).convert("RGB"))
            masks = self.generator.generate(image)
            vectors = {mask["segmentation"]["counts"]: self.embed(image, mask) for mask in masks}
            points = [
                models.PointStruct(id=str(uuid.uuid4()), vector=v.tolist(), payload={"rle": k})
                for k, v in vectors.items()
            ]
            if points:
                client.upsert("objects", points)
            found[path.name] = vectors
        return found

    def embed(self, image: np.ndarray, mask: dict[str, Any]) -> np.ndarray:
        """The mean of the two views' unit vectors, each view embedded alone."""
        inside = coco_mask.decode(mask["segmentation"]).astype(bool)
        cut = np.where(inside[..., None], image, np.array(_FILL, np.uint8))
        total = np.zeros(256, np.float32)
        for picture, mode in ((image, "edge"), (cut, "fill")):
            with torch.no_grad():
                crop = self.transform(Image.fromarray(_square(picture, inside, mode)))
                vector = self.clip.encode_image(crop[None])[0].numpy()
            total += vector / np.linalg.norm(vector)
        return total / np.linalg.norm(total)


def _square(picture: np.ndarray, inside: np.ndarray, mode: str) -> np.ndarray:
    ys, xs = np.nonzero(inside)
    box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
    x0, y0, side = square_around(box, _MARGIN)
    x1, y1 = x0 + side, y0 + side
    height, width = inside.shape
    pads = ((max(-y0, 0), max(y1 - height, 0)), (max(-x0, 0), max(x1 - width, 0)), (0, 0))
    part = picture[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    if mode == "edge":
        return np.pad(part, pads, mode="edge")
    layers = [
        np.pad(part[..., c], pads[:2], constant_values=_FILL[c]) for c in range(part.shape[2])
    ]
    return np.stack(layers, axis=-1)


def settings_for(index: Path) -> Settings:
    overrides = {"index": {"location": str(index)}, "runner": {"name": "local"}}
    return load_settings(None, overrides)


def loaded(settings: Settings) -> Recipe:
    """The recipe with its models in memory."""
    recipe = recipe_of(settings)
    segmenter, embedder = recipe.segmenter(), recipe.embedder()
    return replace(recipe, segmenter=lambda: segmenter, embedder=lambda: embedder)


def indexed(index: Path) -> Found:
    """What an ingest has written, as the peer's result."""
    opened = open_index(IndexOptions(location=str(index)), None)
    found: Found = {}
    for point in opened.scroll():
        vectors = found.setdefault(Path(point.payload.key).name, {})
        if point.payload.rle is not None:
            vector = opened.vector_of(uuid.UUID(point.object_id))
            assert vector is not None
            vectors[point.payload.rle.counts] = vector
    opened.close()
    return found


def disagreement(theirs: Found, mine: Found) -> str | None:
    """What differs, or None."""
    if theirs.keys() != mine.keys():
        return "the images differ"
    for name, vectors in theirs.items():
        if vectors.keys() != mine[name].keys():
            return f"{name}: {len(vectors)} and {len(mine[name])} masks, not the same"
        for counts, vector in vectors.items():
            if float(vector @ mine[name][counts]) < _MIN_COSINE:
                return f"{name}: a vector differs"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_bucket(work, args.images, seed=5)
        paths = sorted((work / "scenes").iterdir())
        peer, recipe = Peer(), loaded(settings_for(work))
        times: dict[str, list[float]] = {"script": [], "objseek": []}
        for number in range(args.rounds):
            index = work / f"index-{number}"
            started = time.process_time()
            theirs = peer.run(paths)
            between = time.process_time()
            ingest([str(work / "scenes")], settings_for(index), recipe=recipe)
            times["script"].append(between - started)
            times["objseek"].append(time.process_time() - between)
            if wrong := disagreement(theirs, indexed(index)):
                raise SystemExit(f"the outputs do not agree, so no speed is told: {wrong}")
        objects = sum(map(len, theirs.values()))
    ratios = [a / b for a, b in zip(times["script"], times["objseek"], strict=True)]
    figures = {
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "images": args.images,
        "objects": objects,
        "rounds": args.rounds,
        "threads": args.threads,
        "machine": f"{platform.machine()}, torch {torch.__version__}",
    }
    for side, values in times.items():
        print(f"{side:8} {statistics.median(values) / args.images:.2f} CPU s an image")
    print(f"ratio    {figures['ratio']} (least {figures['ratio_min']}), outputs agree")
    _RESULTS.parent.mkdir(exist_ok=True)
    _RESULTS.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
