"""Images of coloured squares on grey, and an embedder that knows colours only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.index_home import manifest_folder
from pipeline.manifest.manifest import Manifest
from pipeline.search.source_images import query_image
from pipeline.settings import Settings
from schemas.ids import ImageRevision
from schemas.images import Failure, Stage, UInt8Image
from schemas.manifest import ManifestRow
from schemas.masks import CocoRle, ObjectMask
from schemas.options import EmbedderOptions, IndexOptions
from schemas.records import EmbeddedImage, Float32Matrix
from workers.embedders.embed_objects import embed_segmented
from workers.indexes.open import open_index
from workers.protocols import UInt8Crops

GREY = 128
COLOURS = {
    "red": (255, 0, 0),
    "pink": (255, 0, 110),
    "blue": (0, 0, 255),
    "green": (0, 255, 0),
}
OPTIONS = EmbedderOptions(views="both", cutout_fill=(GREY, GREY, GREY))
NAME = "clip_demo"

Placed = tuple[str, tuple[int, int, int, int]]
PICTURES: Mapping[str, Sequence[Placed]] = {
    "one.png": [("red", (20, 20, 60, 60))],
    "two.png": [("pink", (10, 10, 40, 50)), ("blue", (60, 20, 100, 70))],
    "three.png": [("green", (30, 30, 90, 70))],
}


class ColourEmbedder:
    """Mean colour, with grey at the origin; a text is the name of a colour."""

    dim = 4

    def __init__(self, name: str = NAME) -> None:
        self.name = name
        self.fingerprint = f"colours of {name}"

    def embed_images(self, crops: UInt8Crops) -> Float32Matrix:
        return self._rows([crop.reshape(-1, 3).mean(axis=0) for crop in crops])

    def embed_texts(self, texts: Sequence[str]) -> Float32Matrix:
        return self._rows([np.array(COLOURS[text]) for text in texts])

    def knows_text(self, text: str) -> bool:
        return True

    def _rows(self, colours: Sequence[np.ndarray]) -> Float32Matrix:
        rows = np.array([[*(colour - GREY) / GREY, 0.05] for colour in colours], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class ColourSegmenter:
    """Finds what is of a single colour of `COLOURS`; counts how many pictures it has been given."""

    name = "squares"
    fingerprint = "squares"
    notes: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.segmented = 0

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        self.segmented += len(images)
        return [self._masks(image) for image in images]

    def segment_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask | None:
        x, y = int(point_xy[0]), int(point_xy[1])
        return next((mask for mask in self._masks(image) if mask.rle.decode()[y, x]), None)

    def _masks(self, image: UInt8Image) -> list[ObjectMask]:
        found = []
        for colour in COLOURS.values():
            rle = CocoRle.from_mask((image == colour).all(axis=2))
            mask = ObjectMask.measure(rle, predicted_iou=0.9, stability_score=0.95)
            if mask is not None:
                found.append(mask)
        return sorted(found, key=lambda mask: -mask.area_px)


def rectangle(box_xyxy: tuple[int, int, int, int], size_hw: tuple[int, int]) -> ObjectMask:
    x0, y0, x1, y1 = box_xyxy
    mask = np.zeros(size_hw, np.bool_)
    mask[y0:y1, x0:x1] = True
    area = (x1 - x0) * (y1 - y0)
    return ObjectMask(CocoRle.from_mask(mask), box_xyxy, area, 0.9, 0.95, (x0 + 1.0, y0 + 1.0))


def paint(folder: Path) -> None:
    """Write `PICTURES`, each 120 x 80 pixels."""
    for name, squares in PICTURES.items():
        pixels = np.full((80, 120, 3), GREY, np.uint8)
        for colour, (x0, y0, x1, y1) in squares:
            pixels[y0:y1, x0:x1] = COLOURS[colour]
        Image.fromarray(pixels).save(folder / name)


def embedded(folder: Path, name: str, embedder: ColourEmbedder) -> EmbeddedImage:
    image = query_image(str(folder / name), Settings())
    masks = [rectangle(box, image.size_hw) for _, box in PICTURES[name]]
    return embed_segmented([image], [masks], embedder, OPTIONS, embedder.fingerprint, "squares")[0]


def build_index(
    folder: Path, names: Sequence[str] = tuple(PICTURES), embedder: ColourEmbedder | None = None
) -> Settings:
    """Paint and index the named pictures, with a manifest; the settings of their index."""
    embedder = embedder or ColourEmbedder()
    if not (folder / "one.png").exists():
        paint(folder)
    location = str(folder / "index")
    images = [embedded(folder, name, embedder) for name in names]
    index = open_index(IndexOptions(location=location), embedder.dim, create=True)
    index.replace_images(images)
    index.close()
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    rows = [ManifestRow.done(image.ref, image.revision, len(image.objects), at) for image in images]
    manifest = Manifest(manifest_folder(location))
    manifest.append(rows)
    manifest.flush()
    return Settings(index=IndexOptions(location=location))


def add_failures(settings: Settings, folder: Path) -> None:
    """One rejected and one gone image in the manifest."""
    ref = query_image(str(folder / "one.png"), settings).ref
    at = datetime(2026, 1, 31, 13, tzinfo=UTC)

    def row(key: str, kind: str, message: str, *, gone: bool) -> ManifestRow:
        broken = type(ref)("s3", "photos", key, "v", 10)
        failure = Failure(broken, Stage.READ, kind, message, False, not gone, gone)
        return ManifestRow.failure(failure, ImageRevision("v", "f"), at)

    manifest = Manifest(manifest_folder(settings.index.location))
    manifest.append(
        [
            row("broken.jpg", "BadImageError", "expected a whole image, got half", gone=False),
            row("gone.jpg", "ObjectGoneError", "expected a listed object, got 404", gone=True),
        ]
    )
    manifest.flush()
