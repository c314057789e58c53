"""Reads YOLO's datasets as ultralytics does, and fills polygons as OpenCV's `fillPoly` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

BoolMask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.int64]


@dataclass(frozen=True)
class YoloObject:
    label: str
    mask: BoolMask


def read_dataset(folder: Path) -> dict[str, list[YoloObject]]:
    """The objects of each image that is there, by the name of its file."""
    data = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    assert sorted(data["names"]) == list(range(data["nc"]))
    found = {}
    for image in sorted((folder / data["train"]).iterdir()):
        labels = Path(str(image).replace("/images/", "/labels/")).with_suffix(".txt")
        with Image.open(image) as opened:
            size_wh = opened.size
        lines = labels.read_text(encoding="utf-8").splitlines() if labels.exists() else []
        found[image.name] = [read_line(line, data["names"], size_wh) for line in lines]
    return found


def read_line(line: str, names: dict[int, str], size_wh: tuple[int, int]) -> YoloObject:
    """An object of a line. Raises AssertionError for what ultralytics would not take."""
    number, *shares = line.split()
    assert len(shares) >= 6
    assert len(shares) % 2 == 0
    places = np.array(shares, np.float32).reshape(-1, 2)
    assert places.min() >= 0
    assert places.max() <= 1
    points = places * size_wh
    cut_off, rounded = points.astype(np.int64), np.round(points).astype(np.int64)
    assert (cut_off == rounded).all()  # ultralytics does the first, supervision the second
    return YoloObject(names[int(number)], fill_path(cut_off, size_wh))


def fill_path(points: Points, size_wh: tuple[int, int]) -> BoolMask:
    """Pixels on a closed path of pixels, int64 (points, 2), and those within: the even-odd rule."""
    width, height = size_wh
    mask = np.zeros((height, width), bool)
    x = np.arange(width)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        for y in range(min(y0, y1), max(y0, y1)):
            mask[y] ^= x < x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        line = draw_line(start, end)
        mask[line[:, 1], line[:, 0]] = True
    return mask


def draw_line(start: Points, end: Points) -> Points:
    """The pixels of a line, one in each step along its longer side."""
    steps = max(int(np.abs(end - start).max()), 1)
    ways = np.arange(steps + 1)[:, None] / steps
    return np.floor(start + ways * (end - start) + 0.5).astype(np.int64)
