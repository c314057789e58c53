"""The script that people write today, which `bench.against_script` holds ours against.

boto3 GET, SamAutomaticMaskGenerator, the cutout of each mask embedded by itself with open_clip, an
upsert per image into qdrant-client's local mode.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from qdrant_client import QdrantClient, models
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam

from schemas.masks import CocoRle
from workers.images.crops import crop_window

_FILL, _MARGIN = (122, 116, 104), 0.15
Found = dict[str, dict[CocoRle, np.ndarray]]
"""Vectors by key and mask."""


class Script:
    """The loop, with its models loaded."""

    def __init__(self, sam: Sam, clip: open_clip.CLIP, parameters: Mapping[str, Any]) -> None:
        self.generator = SamAutomaticMaskGenerator(sam, output_mode="coco_rle", **parameters)
        self.clip = clip
        side = clip.visual.preprocess_cfg["size"]
        self.transform = open_clip.image_transform(
            side if isinstance(side, int) else side[0],
            is_train=False,
            mean=open_clip.OPENAI_DATASET_MEAN,
            std=open_clip.OPENAI_DATASET_STD,
        )

    def run(self, s3: Any, bucket: str, keys: Mapping[str, str]) -> Found:
        """Objects of the images `keys`, by name."""
        client = QdrantClient(":memory:")
        params = models.VectorParams(size=256, distance=models.Distance.COSINE)
        client.create_collection("objects", vectors_config=params)
        found: Found = {}
        for name, key in keys.items():
            body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            image = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))
            masks = self.generator.generate(image)
            counts = [mask["segmentation"]["counts"] for mask in masks if mask["area"]]
            rles = [CocoRle(image.shape[:2], encoded) for encoded in counts]
            vectors = {rle: self.embed(image, rle) for rle in rles}
            points = [
                models.PointStruct(
                    id=str(uuid.uuid4()), vector=vector.tolist(), payload={"rle": rle.counts}
                )
                for rle, vector in vectors.items()
            ]
            if points:
                client.upsert("objects", points)
            found[name] = vectors
        return found

    def embed(self, image: np.ndarray, rle: CocoRle) -> np.ndarray:
        inside = rle.decode()
        cut = np.where(inside[..., None], image, np.array(_FILL, np.uint8))
        ys, xs = np.nonzero(inside)
        box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
        x0, y0, side, _ = crop_window(box, _MARGIN)
        picture = Image.new("RGB", (side, side), _FILL)
        picture.paste(Image.fromarray(cut), (-x0, -y0))
        with torch.no_grad():
            vector = self.clip.encode_image(self.transform(picture)[None])[0].numpy()
        return vector / np.linalg.norm(vector)
