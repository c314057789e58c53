"""Leaves transparent what the first frame of a GIF does not cover of its canvas."""

from __future__ import annotations

from PIL import Image


def read_frame_box(image: Image.Image) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of a GIF's frame, before it is loaded; None if it is all."""
    tiles = getattr(image, "tile", [])
    if image.format != "GIF" or not tiles:
        return None
    left, top, right, bottom = (int(edge) for edge in tiles[0][1])
    return None if (left, top, right, bottom) == (0, 0, *image.size) else (left, top, right, bottom)


def clear_outside(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """RGBA: the image, transparent outside of the box; Pillow fills that with the first colour."""
    canvas = Image.new("RGBA", image.size, (0, 0, 0, 0))
    canvas.paste(image.crop(box).convert("RGBA"), box)
    return canvas
