"""Draws what an embedder is fed of some objects, cut out in every way that settings know.

python -m bench.view_panels docs/views.webp
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageDraw

from bench.kept_scenes import keep_scenes
from pipeline.drawing.fonts import choose_font
from schemas.coco import CocoAnnotation
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import CropOptions
from workers.images.crops import object_views

_OBJECTS = ((5, 29), (8, 51), (10, 67), (5, 26))
"""Scene and annotation, as the truth numbers them: glasses that the image cuts off, a panda behind
a book, a lorry among others, a knife."""
_SEED = 2024
_WAYS = (
    ("cutout", {"views": "cutout"}),
    ("on the mean", {"views": "cutout", "cutout_background": "mean"}),
    ("on the blur", {"views": "cutout", "cutout_background": "blur"}),
    ("squashed", {"views": "cutout", "to_square": "squash"}),
    ("context", {"views": "context"}),
    ("margin 0", {"views": "context", "context_margin": 0}),
    ("margin 0.3", {"views": "context", "context_margin": 0.3}),
    ("padded", {"views": "context", "to_square": "pad"}),
    ("squashed", {"views": "context", "to_square": "squash"}),
)
_CELL_PX, _GAP_PX, _HEAD_PX, _TEXT_PX = 112, 4, 22, 14


def draw_panels(objects: list[tuple[UInt8Image, ObjectMask]]) -> Image.Image:
    """A row for each object of an image, uint8 (height, width, 3), a column for each way."""
    step = _CELL_PX + _GAP_PX
    size = step * len(_WAYS) - _GAP_PX, _HEAD_PX + step * len(objects) - _GAP_PX
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for column, (name, settings) in enumerate(_WAYS):
        text, font = choose_font(name, _TEXT_PX)
        draw.text((column * step, 2), text, fill="black", font=font)
        options = CropOptions.model_validate(settings)
        for row, (image, mask) in enumerate(objects):
            [view] = object_views(image, mask, options)
            cell = Image.fromarray(view).resize((_CELL_PX,) * 2, Image.Resampling.BICUBIC)
            sheet.paste(cell, (column * step, _HEAD_PX + row * step))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    with TemporaryDirectory() as name:
        scenes = keep_scenes(Path(name), max(_OBJECTS)[0], _SEED, held_out=False)
        images = {image.id: image for image in scenes.truth.images}
        chosen = [
            (images[scene], _measure(scenes.truth.annotations[number - 1], images[scene].size_hw))
            for scene, number in _OBJECTS
        ]
        objects = [(scenes.read(image), mask) for image, mask in chosen]
    draw_panels(objects).save(args.out, quality=80, method=6)


def _measure(annotation: CocoAnnotation, size_hw: tuple[int, int]) -> ObjectMask:
    mask = ObjectMask.measure(annotation.to_rle(size_hw))
    assert mask is not None
    return mask


if __name__ == "__main__":
    main()
