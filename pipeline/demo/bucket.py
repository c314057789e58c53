"""Writes scenes as a bucket would hold them, with their ground truth in COCO format."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from pipeline.demo.scenes import SCENE_HW, Scene, compose
from pipeline.demo.sprites import Sprite, bundled_sprites
from schemas.coco import CocoAnnotation, CocoCategory, CocoImage, CocoTruth
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.masks import CocoRle
from workers.durable_files import replace_file
from workers.models.threads import count_usable_cpus
from workers.stores.selection import NO_VIDEO_READER, can_read_videos

TRUTH_FILE = "truth.json"
_JPEG_QUALITY = (60, 96)


def _annotate(scene: Scene, image_id: int, category_of: dict[str, int]) -> list[CocoAnnotation]:
    """The truth of a scene; annotations are numbered from 1."""
    annotations: list[CocoAnnotation] = []
    for item in scene.objects:
        rows = np.flatnonzero(item.mask.any(axis=1))
        columns = np.flatnonzero(item.mask.any(axis=0))
        x, y = int(columns[0]), int(rows[0])
        rle = CocoRle.from_mask(item.mask)
        annotations.append(
            CocoAnnotation(
                id=1 + len(annotations),
                image_id=image_id,
                category_id=category_of[item.concept.name],
                bbox=(x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y),
                area=int(item.mask.sum()),
                segmentation={"size": list(rle.size_hw), "counts": rle.counts},
                visible_fraction=round(item.visible_fraction, 4),
                style=item.style,
            )
        )
    return annotations


def _list_categories(sprites: Sequence[Sprite]) -> list[CocoCategory]:
    concepts = {sprite.concept.name: sprite.concept for sprite in sprites}
    return [
        CocoCategory(id=number, name=concept.label, keywords=list(concept.keywords))
        for number, concept in enumerate(concepts.values(), start=1)
    ]


def draw_scene(
    seed: int, number: int, sprites: Sequence[Sprite], scale: int = 1
) -> tuple[Scene, bytes]:
    """One scene of a seed, and its JPEG; landscapes of `SCENE_HW` times `scale`, some upright."""
    rng = np.random.default_rng([seed, number])
    hw = SCENE_HW if rng.random() < 0.8 else SCENE_HW[::-1]
    scene = compose(rng, sprites, (hw[0] * scale, hw[1] * scale))
    return scene, _encode_jpeg(scene.image, int(rng.integers(*_JPEG_QUALITY)))


def write_bucket(
    folder: Path, scenes: int, seed: int, sprites: Sequence[Sprite] | None = None
) -> CocoTruth:
    """Compose `scenes` images of held-out sprites into `folder`/scenes, and write their truth.

    Without `sprites`, of those in styles that the models have seen other drawings of.

    The same seed gives the same scenes; files that have them already stay untouched. Returns the
    truth, which `folder`/truth.json holds.
    """
    sprites = bundled_sprites() if sprites is None else sprites
    names = list(dict.fromkeys(sprite.concept.name for sprite in sprites))
    category_of = {name: number for number, name in enumerate(names, start=1)}
    (folder / "scenes").mkdir(parents=True, exist_ok=True)
    images: list[CocoImage] = []
    annotations: list[CocoAnnotation] = []

    def make(number: int) -> tuple[CocoImage, list[CocoAnnotation]]:
        scene, content = draw_scene(seed, number, sprites)
        name = f"scenes/{number:04d}.jpg"
        _write_if_other(folder / name, content)
        height, width = scene.image.shape[:2]
        image = CocoImage(id=number, file_name=name, width=width, height=height)
        return image, _annotate(scene, number, category_of)

    with ThreadPoolExecutor(count_usable_cpus()) as pool:
        for image, shown in pool.map(make, range(1, scenes + 1)):
            images.append(image)
            for annotation in shown:
                number = len(annotations) + 1
                annotations.append(annotation.model_copy(update={"id": number}))
    truth = CocoTruth(images=images, annotations=annotations, categories=_list_categories(sprites))
    text = json.dumps(truth.model_dump(exclude_none=True), indent=None)
    _write_if_other(folder / TRUTH_FILE, text.encode())
    return truth


def write_clip_bucket(folder: Path, clips: int, seed: int) -> list[str]:
    """Write so many clips into `folder`/clips; what their objects depict, each as often as shown.

    The same seed gives the same clips; files that have them already stay untouched, as they are
    known by when they were written. Raises UsageError where what writes videos is not installed.
    """
    if not can_read_videos():
        raise UsageError(f"expected no clip, got {NO_VIDEO_READER}")
    # Its library is an extra.
    from pipeline.demo.clips import draw_demo_clip, write_demo_clips

    (folder / "clips").mkdir(parents=True, exist_ok=True)
    labels: list[str] = []
    with TemporaryDirectory() as temporary:
        for number, path in enumerate(write_demo_clips(Path(temporary), clips, seed), start=1):
            _write_if_other(folder / "clips" / path.name, path.read_bytes())
            shown = draw_demo_clip(seed, number).concepts.values()
            labels += (concept.label for concept in shown)
    return labels


def _encode_jpeg(pixels: UInt8Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _write_if_other(path: Path, content: bytes) -> None:
    """Write a file whole, unless it has this content already."""
    try:
        if path.read_bytes() == content:
            return
    except FileNotFoundError:
        pass
    with replace_file(path) as file:
        file.write(content)
