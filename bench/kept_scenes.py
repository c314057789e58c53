"""Composes the demo's scenes, and keeps on disk what segmenters find in them: it is found once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.demo.bucket import write_bucket
from pipeline.demo.sprites import held_out_sprites
from schemas.coco import CocoImage, CocoTruth
from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.options import SegmenterOptions
from workers.durable_files import replace_file
from workers.registry import build_segmenter
from workers.segmenter_protocols import Segmenter


@dataclass(frozen=True, slots=True)
class KeptScenes:
    """Scenes in a folder, with their truth; what is made of them is kept beside them."""

    truth: CocoTruth
    folder: Path

    def read(self, image: CocoImage) -> UInt8Image:
        """uint8 (height, width, 3) RGB."""
        return np.asarray(Image.open(self.folder / image.file_name).convert("RGB"))

    def find_masks(self, name: str) -> Iterator[list[ObjectMask]]:
        """What a segmenter finds in each image of the truth; what is kept already is read."""
        segmenter = build_segmenter(SegmenterOptions(name=name, device="cpu"))
        kept = self.folder / f"masks-{name}-{segmenter.fingerprint}"
        kept.mkdir(exist_ok=True)
        for image in self.truth.images:
            yield self._find(segmenter, image, kept / f"{image.id}.json")

    def _find(self, segmenter: Segmenter, image: CocoImage, file: Path) -> list[ObjectMask]:
        if not file.exists():
            found = segmenter.segment([self.read(image)])[0]
            rows = [[mask.rle.counts, mask.predicted_iou, mask.segmenter_score] for mask in found]
            with replace_file(file) as open_file:
                open_file.write(json.dumps(rows).encode())
        masks = (
            ObjectMask.measure(
                CocoRle(image.size_hw, counts), predicted_iou=predicted_iou, segmenter_score=score
            )
            for counts, predicted_iou, score in json.loads(file.read_text())
        )
        return [mask for mask in masks if mask is not None]


def keep_scenes(folder: Path, scenes: int, seed: int, *, held_out: bool) -> KeptScenes:
    """Scenes of a seed, in styles that the models know or, `held_out`, in others."""
    sprites = held_out_sprites() if held_out else None
    folder = folder / f"{seed}{'-held-out' if held_out else ''}"
    return KeptScenes(write_bucket(folder, scenes, seed, sprites), folder)
