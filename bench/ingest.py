"""Ingest against the script that people write: the same models, images and threads, interleaved.

    python -m bench.ingest --images 6 --rounds 3

The peer loops over files: the unmodified SamAutomaticMaskGenerator, the cutout of each mask
embedded by itself with open_clip, an upsert per image into qdrant-client's local mode. Both run in
this process with the same weights and parameters, loaded beforehand; what the package cannot do,
or not without OpenCV, is off in both. The outputs are compared first: unless every mask has its
match at an IoU of 0.99 both ways, 99% of them are the same to the byte and matched vectors agree
to a cosine of 0.999, no ratio is printed.
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

import numpy as np
import open_clip
import torch
from PIL import Image
from qdrant_client import QdrantClient, models
from segment_anything import SamAutomaticMaskGenerator

from bench.parity import Parity, ious, parity
from pipeline.demo.bucket import write_bucket
from pipeline.ingest import ingest
from pipeline.process import Recipe, recipe_of
from pipeline.settings import Settings, load_settings
from schemas.masks import CocoRle
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
_MIN_IDENTICAL, _MIN_COSINE = 0.99, 0.999
_OFF: dict[str, float] = {"min_mask_region_area": 0, "mask_nms_thresh": 1.0, "part_thresh": 1.0}
Found = dict[str, dict[CocoRle, np.ndarray]]
"""Vectors by file name and mask."""


class Peer:
    """What people glue together today."""

    def __init__(self) -> None:
        with quietly():
            sam, clip = build_sam_demo(), create_clip_demo()
        for model, name in ((sam, "sam_demo"), (clip, "clip_demo")):
            fill(model, read_weights(catalog.bundled_path(catalog.find(name))), name)
            model.eval()
        parameters = {name: value for name, value in DEFAULTS.items() if name not in _OFF}
        self.generator = SamAutomaticMaskGenerator(sam, output_mode="coco_rle", **parameters)
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
            rles = [CocoRle(image.shape[:2], mask["segmentation"]["counts"]) for mask in masks]
            vectors = {rle: self.embed(image, rle) for rle in rles}
            points = [
                models.PointStruct(
                    id=str(uuid.uuid4()), vector=vector.tolist(), payload={"rle": rle.counts}
                )
                for rle, vector in vectors.items()
            ]
            if points:
                client.upsert("objects", points)
            found[path.name] = vectors
        return found

    def embed(self, image: np.ndarray, rle: CocoRle) -> np.ndarray:
        inside = rle.decode()
        cut = np.where(inside[..., None], image, np.array(_FILL, np.uint8))
        ys, xs = np.nonzero(inside)
        box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
        x0, y0, side = square_around(box, _MARGIN)
        picture = Image.new("RGB", (side, side), _FILL)
        picture.paste(Image.fromarray(cut), (-x0, -y0))
        with torch.no_grad():
            vector = self.clip.encode_image(self.transform(picture)[None])[0].numpy()
        return vector / np.linalg.norm(vector)


def settings_for(index: Path) -> Settings:
    overrides = {
        "index": {"location": str(index)},
        "runner": {"name": "local"},
        "segmenter": {"precision": "fp32", **_OFF},
    }
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
            vectors[point.payload.rle.to_rle()] = vector
    opened.close()
    return found


def disagreement(theirs: Found, mine: Found) -> str | None:
    """What differs, or None."""
    if theirs.keys() != mine.keys():
        return "the images differ"
    total = Parity()
    for name, wanted in theirs.items():
        got = mine[name]
        agreed = parity(list(wanted), list(got))
        if agreed.matched_share < 1:
            return f"{name}: not the same masks, {agreed}"
        vectors = list(got.values())
        for vector, near in zip(wanted.values(), ious(wanted, got), strict=True):
            if float(vector @ vectors[near.argmax()]) < _MIN_COSINE:
                return f"{name}: a vector differs"
        total += agreed
    return None if total.identical_share >= _MIN_IDENTICAL else f"not to the byte: {total}"


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
