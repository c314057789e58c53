"""Mends what Pillow gets wrong of TIFFs: colours in planes of 16 bits, palettes of 8 bits."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImagePalette, TiffImagePlugin, UnidentifiedImageError
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    COLORMAP,
    COMPRESSION,
    EXTRASAMPLES,
    FILLORDER,
    IMAGELENGTH,
    IMAGEWIDTH,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    PREDICTOR,
    ROWSPERSTRIP,
    SAMPLESPERPIXEL,
    STRIPBYTECOUNTS,
    STRIPOFFSETS,
    TILEBYTECOUNTS,
    TILELENGTH,
    TILEOFFSETS,
    TILEWIDTH,
    ImageFileDirectory_v2,
    TiffImageFile,
)

from schemas.errors import BadImageError
from workers.images.depths import colours_to_8_bits

_SEPARATE = 2  # of PlanarConfiguration: each channel in strips of its own
_BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II": "little", b"MM": "big"}
_LONG = 4  # a type of values in a TIFF
_ONE_CHANNEL = ("1", "L", "P", "I;16", "I;16B", "I", "F")  # Pillow's modes
_PLANES = {"RGB": 3, "RGBA": 4, "CMYK": 4}  # by mode
# Of the directory, what describes one plane's strips and tiles as well.
_KEPT = (
    IMAGEWIDTH,
    IMAGELENGTH,
    COMPRESSION,
    FILLORDER,
    PREDICTOR,
    ROWSPERSTRIP,
    TILEWIDTH,
    TILELENGTH,
)
_PREMULTIPLIED = 1  # of ExtraSamples


def open_by_libtiff(data: bytes) -> ImageFile.ImageFile | None:
    """A TIFF that Pillow refuses for the layout of its strips, not yet loaded; else None.

    So it does with planes that are no colours behind those that are.
    """
    before, TiffImagePlugin.READ_LIBTIFF = TiffImagePlugin.READ_LIBTIFF, True
    try:
        return Image.open(io.BytesIO(data), formats=("TIFF",))
    except UnidentifiedImageError:
        return None
    finally:
        TiffImagePlugin.READ_LIBTIFF = before


def mend_directory(image: TiffImageFile) -> None:
    """Correct what Pillow made of the directory; before the image is loaded."""
    tags = image.tag_v2
    if tags.get(PLANAR_CONFIGURATION) == _SEPARATE and image.mode in _ONE_CHANNEL:
        _keep_first_plane(tags)
        image._setup()
    colours = tags.get(COLORMAP)
    # The specification has 16 bits; libtiff tells files of 8 by the same sign.
    if image.mode in ("P", "PA") and colours and max(colours) < 256:
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))


def _keep_first_plane(tags: ImageFileDirectory_v2) -> None:
    """Describe the first plane alone, which is all of a grey image or palette."""
    # Of one channel planes mean nothing, but Pillow takes the layout of samples for another.
    for tag in (STRIPOFFSETS, TILEOFFSETS):
        if tag in tags:
            tags[tag] = tags[tag][: len(tags[tag]) // tags.get(SAMPLESPERPIXEL, 1)]
    tags[PLANAR_CONFIGURATION] = tags[SAMPLESPERPIXEL] = 1
    tags[BITSPERSAMPLE] = tags.get(BITSPERSAMPLE, (1,))[:1]
    tags.pop(EXTRASAMPLES, None)


def has_deep_planes(image: TiffImageFile) -> bool:
    """Whether colours are in planes of 16 bits, of which Pillow makes noise."""
    tags = image.tag_v2
    return (
        tags.get(PLANAR_CONFIGURATION) == _SEPARATE
        and image.mode in _PLANES
        and set(tags.get(BITSPERSAMPLE, ())) == {16}
    )


def load_deep_planes(
    image: TiffImageFile, data: bytes, open_image: Callable[[bytes], Image.Image]
) -> Image.Image:
    """The image, loaded from its planes, in 8 bits and not turned. Raises BadImageError."""
    planes = []
    for number in range(_PLANES[image.mode]):
        plane = open_image(_build_plane(data, image.tag_v2, number))
        plane.load()
        planes.append(plane)

    def read_rows(top: int, bottom: int) -> npt.NDArray[np.uint16]:
        strips = [np.asarray(plane.crop((0, top, plane.width, bottom))) for plane in planes]
        return np.stack(strips, axis=2).astype(np.uint16)

    extra = image.tag_v2.get(EXTRASAMPLES, ())
    loaded = colours_to_8_bits(read_rows, planes[0].size, image.mode)
    if image.mode == "RGBA" and _PREMULTIPLIED in extra:
        loaded = Image.frombytes("RGBa", loaded.size, loaded.tobytes()).convert("RGBA")
    loaded.info = image.info
    return loaded


def _build_plane(data: bytes, tags: ImageFileDirectory_v2, number: int) -> bytes:
    """A TIFF of one grey plane: its strips or tiles as they are, behind a directory of its own."""
    is_tiled = TILEOFFSETS in tags
    offsets = tags[TILEOFFSETS if is_tiled else STRIPOFFSETS]
    lengths = tags.get(TILEBYTECOUNTS if is_tiled else STRIPBYTECOUNTS, ())
    samples = tags[SAMPLESPERPIXEL]
    per_plane = len(offsets) // samples
    if per_plane < 1 or len(lengths) != len(offsets):
        raise BadImageError(
            f"expected strips or tiles of {samples} planes, got {len(offsets)} with "
            f"{len(lengths)} lengths"
        )
    chosen = range(number * per_plane, (number + 1) * per_plane)
    parts = [memoryview(data)[offsets[n] : offsets[n] + lengths[n]] for n in chosen]
    order = bytes(tags.prefix)
    header = order + (42).to_bytes(2, _BYTE_ORDERS[order])
    header += len(header + bytes(4)).to_bytes(4, _BYTE_ORDERS[order])
    directory = ImageFileDirectory_v2(header)
    for tag in _KEPT:
        if tag in tags:
            directory[tag] = tags[tag]
    directory[BITSPERSAMPLE] = 16
    directory[SAMPLESPERPIXEL] = directory[PHOTOMETRIC_INTERPRETATION] = 1
    starts = np.cumsum([0, *(len(part) for part in parts)])[:-1]
    for tag, numbers in (
        (TILEOFFSETS if is_tiled else STRIPOFFSETS, starts),
        (TILEBYTECOUNTS if is_tiled else STRIPBYTECOUNTS, [len(part) for part in parts]),
    ):
        directory.tagtype[tag] = _LONG
        directory[tag] = tuple(int(number) for number in numbers)
    written = directory.tobytes(len(header))
    if is_tiled:  # Pillow itself moves the offsets of strips behind the directory
        directory[TILEOFFSETS] = tuple(int(n) for n in starts + len(header) + len(written))
        written = directory.tobytes(len(header))
    return b"".join([header, written, *parts])
