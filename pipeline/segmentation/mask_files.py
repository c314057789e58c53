"""Writes masks as lines of JSON, as PNGs, and drawn on their pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

import numpy as np
from PIL import Image

from pipeline.drawing.overlay import draw_overlay
from pipeline.segmentation.results import FileNames, SegmentedImage, describe_mask
from schemas.errors import UsageError
from workers.durable_files import write_output

PICTURE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@contextmanager
def open_lines(path: Path) -> Iterator[LinesFile]:
    """A file of a mask a line, which is there when the block ends well."""
    with write_output(path, "the masks") as file, TextIOWrapper(file, encoding="utf-8") as text:
        yield LinesFile(text)


class LinesFile:
    """A line of JSON for each mask: its image's uri, box, area, scores, and COCO's RLE."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, result: SegmentedImage) -> None:
        """Add the masks of an image."""
        for mask in result.masks:
            self._file.write(json.dumps({"uri": result.uri, **describe_mask(mask)}) + "\n")


class MaskPngs:
    """A folder of PNGs of 1 bit, white where a mask is: name-001.png, in the order of the masks."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._names = make_folder(folder), FileNames()

    def write(self, result: SegmentedImage) -> None:
        """Write the masks of an image. Raises UsageError for the folder that the image is in."""
        _require_elsewhere(self._folder, result)
        name = self._names.choose(result)
        for number, mask in enumerate(result.masks, 1):
            shape = Image.fromarray(mask.rle.decode().astype(np.uint8) * 255).convert("1")
            with write_output(self._folder / f"{name}-{number:03}.png", "a mask") as file:
                shape.save(file, "PNG")


class Overlays:
    """Pictures with their masks drawn: one file, or a folder of a PNG each."""

    def __init__(self, path: Path) -> None:
        self._file = path if path.suffix.lower() in PICTURE_FORMATS else None
        self._folder = path if self._file else make_folder(path)
        self._names = FileNames()

    def write(self, result: SegmentedImage) -> None:
        """Write the picture of an image. Raises UsageError where that or others might be lost."""
        _require_elsewhere(self._file or self._folder, result)
        path = self._file or self._folder / f"{self._names.choose(result)}.png"
        with write_output(path, "the overlay") as file:
            drawn = draw_overlay(result.image.pixels, result.masks)
            drawn.save(file, PICTURE_FORMATS[path.suffix.lower()])


def _require_elsewhere(target: Path, result: SegmentedImage) -> None:
    """Raise UsageError where an image, or the folder that it is in, is to be written to."""
    ref = result.image.ref
    source = Path(ref.key).resolve()
    if ref.store == "file" and target.resolve() in (source, source.parent):
        raise UsageError(
            f"expected another place to write to than that of the images, got {str(target)!r}"
        )


def make_folder(path: Path) -> Path:
    """The folder, made if it is not there. Raises UsageError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"expected a folder to write to, got {path}: {exc.strerror}") from exc
    return path
