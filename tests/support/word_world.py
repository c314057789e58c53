"""Two images of squares, each an apple, a car or a dog, and an embedder that knows words only."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.coco import CocoAnnotation, CocoCategory, CocoImage, CocoTruth
from schemas.ids import IMAGE_ORDINAL, ImageRevision, image_id, object_id
from schemas.images import ImageRef
from schemas.labels import Label, LabelEntry, Naming
from schemas.masks import CocoRle, ObjectMask
from schemas.options import IndexOptions
from schemas.records import EmbeddedImage, Float32Matrix, ImageRecord, ObjectRecord
from workers.indexes.open import open_index
from workers.protocols import UInt8Crops, VectorIndex

DIM = 8
HW = (64, 64)
WORDS = {"apple": 0, "car": 1, "dog": 2, "fruit": 0, "pet": 2}
CATEGORIES = [
    CocoCategory(id=1, name="apple", keywords=["fruit"]),
    CocoCategory(id=2, name="car"),
    CocoCategory(id=3, name="dog", keywords=["pet"]),
]


def one_hot(position: int) -> np.ndarray:
    vector = np.zeros(DIM, np.float32)
    vector[position] = 1
    return vector


class WordEmbedder:
    """Knows a few words; images it has never seen."""

    name, dim, fingerprint = "fake", DIM, "f"

    def embed_texts(self, texts: Sequence[str]) -> Float32Matrix:
        return np.stack([one_hot(WORDS[text]) for text in texts])

    def knows_text(self, text: str) -> bool:
        return text in WORDS

    def embed_images(self, crops: UInt8Crops) -> Float32Matrix:
        raise AssertionError("nothing here embeds an image")

    def forget_texts(self) -> None:
        raise AssertionError("nothing here runs short of memory")


def open_with_words(settings: Settings) -> Searcher:
    """As `Searcher.open`, with the embedder that knows words."""
    return Searcher(open_index(settings.index, None), WordEmbedder(), settings)


def box_mask(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros(HW, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def annotation(number: int, image: int, category: int, box: tuple[int, ...], style: str = "a"):
    rle = CocoRle.from_mask(box_mask(*box))
    x0, y0, x1, y1 = box
    return CocoAnnotation(
        id=number,
        image_id=image,
        category_id=category,
        bbox=(x0, y0, x1 - x0, y1 - y0),
        area=rle.area_px,
        segmentation={"size": list(HW), "counts": rle.counts},
        style=style,
    )


def embedded(image: int, objects: list[tuple[int, tuple[int, ...]]]) -> EmbeddedImage:
    ref = ImageRef("s3", "b", f"photos/{image}.jpg", "v", 1)
    revision = ImageRevision("v", "f")

    def new_id(ordinal: int) -> uuid.UUID:
        return object_id(image_id(ref), revision, ordinal)

    records = []
    for ordinal, (position, box) in enumerate(objects):
        rle = CocoRle.from_mask(box_mask(*box))
        mask = ObjectMask(rle, box, rle.area_px, 0.9, 0.9, (box[0] + 0.5, box[1] + 0.5))
        records.append(ObjectRecord(new_id(ordinal), mask, {"clip": one_hot(position)}))
    whole = ImageRecord(new_id(IMAGE_ORDINAL), {"clip": one_hot(7)})
    return EmbeddedImage(ref, HW, revision, "fake", "fake", whole, tuple(records))


def index_of(tmp_path: Path, images: list[EmbeddedImage]) -> VectorIndex:
    index = open_index(IndexOptions(location=str(tmp_path / "index")), DIM, create=True)
    index.replace_images(images)
    return index


IMAGES = [CocoImage(id=n, file_name=f"photos/{n}.jpg", width=64, height=64) for n in (1, 2)]
TRUTH = CocoTruth(
    images=IMAGES,
    categories=CATEGORIES,
    annotations=[
        annotation(1, 1, 1, (0, 0, 20, 20), "a"),
        annotation(2, 1, 2, (30, 30, 60, 60), "a"),
        annotation(3, 2, 1, (10, 10, 40, 40), "b"),
        annotation(4, 2, 3, (45, 45, 60, 60), "a"),
    ],
)


def give_labels(
    image: EmbeddedImage, guesses: Sequence[tuple[LabelEntry, float, float]]
) -> EmbeddedImage:
    """The image with a label for each object: its score, and the logsumexp of all labels."""
    objects = tuple(
        replace(record, naming=Naming((Label(entry, score),), total))
        for record, (entry, score, total) in zip(image.objects, guesses, strict=True)
    )
    return replace(image, objects=objects, labelled_by="list")


def paint_truth() -> list[EmbeddedImage]:
    """The images of `TRUTH` with the masks and the vectors of its objects."""
    return [
        embedded(1, [(0, (0, 0, 20, 20)), (1, (30, 30, 60, 60))]),
        embedded(2, [(0, (10, 10, 40, 40)), (2, (45, 45, 60, 60))]),
    ]
