"""Draws what the segmenters with bundled weights find in scenes that no training has seen.

python -m bench.segmenter_panels docs/segmenters.webp
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.demo.bucket import write_bucket
from pipeline.demo.scenes import SCENE_HW
from pipeline.drawing.overlay import draw_overlay
from schemas.images import UInt8Image
from schemas.options import SegmenterOptions
from workers.registry import build_segmenter

SEGMENTERS = ("sam_demo", "maskrcnn_demo", "segformer_demo")
_SCENES, _SEED = 2, 2024
_PANEL_WIDTH, _GAP_PX = 420, 4


def compose_panels(images: list[UInt8Image]) -> Image.Image:
    """A row for each image: itself, then what each of `SEGMENTERS` finds in it."""
    rows = [[Image.fromarray(image)] for image in images]
    for name in SEGMENTERS:
        segmenter = build_segmenter(SegmenterOptions(name=name, device="cpu"))
        for row, image, masks in zip(rows, images, segmenter.segment(images), strict=True):
            row.append(draw_overlay(image, masks))
    height = round(_PANEL_WIDTH * SCENE_HW[0] / SCENE_HW[1])
    step_x, step_y = _PANEL_WIDTH + _GAP_PX, height + _GAP_PX
    size = (step_x * len(rows[0]) - _GAP_PX, step_y * len(rows) - _GAP_PX)
    sheet = Image.new("RGB", size, "white")
    for y, row in enumerate(rows):
        for x, panel in enumerate(row):
            sheet.paste(panel.resize((_PANEL_WIDTH, height)), (x * step_x, y * step_y))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        truth = write_bucket(Path(name), 4 * _SCENES, _SEED)
        landscapes = [image for image in truth.images if image.size_hw == SCENE_HW][:_SCENES]
        paths = (Path(name) / image.file_name for image in landscapes)
        images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    compose_panels(images).save(args.out, quality=70, method=6)


if __name__ == "__main__":
    main()
