"""Decodes bytes to pixels with Pillow: a closed list of formats, limits checked on the header."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageFile, PngImagePlugin, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from schemas.errors import BadImageError, one_line
from schemas.images import DecodedImage, ImageRef, UInt8Image
from schemas.options import DecodeOptions
from workers.images import colours, depths, gif, jpeg, png, tiff
from workers.images.clean_aperture import read_clean_aperture
from workers.images.formats import (
    allowed_formats as allowed_formats,
)
from workers.images.formats import (
    choose_readers,
    explain_unidentified,
    find_format,
    with_article,
)
from workers.images.libtiff_messages import collect_messages
from workers.images.orientation import (
    UPRIGHT,
    is_turned_by_pillow,
    parse_orientation,
    read_stored_orientation,
)

_decoding = threading.Lock()


def decode(data: bytes, ref: ImageRef, options: DecodeOptions) -> DecodedImage:
    """The first frame of an image file, upright, as C-contiguous uint8 (height, width, 3) RGB.

    Colours are sRGB, by the file's profile if it has one that fits. The suffix of the key does not
    matter. Raises BadImageError for whatever is wrong with the bytes, and MemoryError where there
    is not enough. A process decodes one image at a time: for more, use more processes.
    """
    try:
        with _limit_pillow(options.max_pixels), collect_messages() as messages:
            pixels = _decode_pixels(data, ref.uri, options)
    except BadImageError as exc:
        raise BadImageError(f"{exc} ({ref.uri})") from exc.__cause__
    except MemoryError:  # the bytes need not be the cause
        raise
    # Pillow's plugins raise nearly every built-in exception on hostile bytes.
    except Exception as exc:
        reason = "; ".join([one_line(exc), *messages])
        raise BadImageError(f"{_explain(data, reason)} ({ref.uri})") from exc
    return DecodedImage(ref, pixels)


def _explain(data: bytes, reason: str) -> str:
    name = find_format(data)
    if name is None:
        return f"expected a whole image, got: {reason}"
    return f"expected a whole image, got {with_article(name)} that Pillow cannot decode: {reason}"


@contextmanager
def _limit_pillow(max_pixels: int) -> Iterator[None]:
    """Set Pillow's limits to ours and silence its warnings; both are restored afterwards."""
    # Both are global to the process, hence the lock. Pillow's own limit is needed because some
    # plugins allocate the canvas before the size can be checked; Pillow raises above twice that.
    with _decoding, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
        Image.MAX_IMAGE_PIXELS = max_pixels
        PngImagePlugin.MAX_TEXT_CHUNK = png.MAX_INFLATED_BYTES
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = before


def _decode_pixels(data: bytes, uri: str, options: DecodeOptions) -> UInt8Image:
    if data.startswith(png.MAGIC):
        data = png.keep_needed_chunks(data)
    with _open(data, options.max_pixels) as image:
        _check_size(image.size, options)
        if image.format == "PNG":
            png.check_pixel_chunks(data)
        loaded, orientation = _load(image, data, options.max_pixels)
        # A plugin may find another size than the header's while it loads.
        _check_size(loaded.size, options)
        if loaded.mode in depths.DEEP_MODES:
            profile = loaded.info.get("icc_profile")
            loaded = depths.grey_to_8_bits(loaded)
            loaded.info["icc_profile"] = profile
        transform = colours.find_transform(loaded, uri)
        rgb = colours.to_srgb(loaded, transform, options.alpha_background)
        method = UPRIGHT.get(orientation)
        return np.array(rgb if method is None else rgb.transpose(method))


def _open(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    try:
        return Image.open(io.BytesIO(data), formats=choose_readers(data))
    except UnidentifiedImageError as exc:
        opened = tiff.open_by_libtiff(data) if find_format(data) == "TIFF" else None
        if opened is None:
            raise BadImageError(explain_unidentified(data)) from exc
        return opened
    except Image.DecompressionBombError as exc:
        raise BadImageError(
            f"expected at most {max_pixels} pixels, got more than {2 * max_pixels}"
        ) from exc


def _check_size(size_wh: tuple[int, int], options: DecodeOptions) -> None:
    width, height = size_wh
    if width * height > options.max_pixels:
        raise BadImageError(f"expected at most {options.max_pixels} pixels, got {width} x {height}")
    if max(size_wh) > options.max_side_px:
        raise BadImageError(
            f"expected sides of at most {options.max_side_px} pixels, got {width} x {height}"
        )
    if min(size_wh) < options.min_side_px:
        raise BadImageError(
            f"expected sides of at least {options.min_side_px} pixels, got {width} x {height}"
        )


def _load(image: ImageFile.ImageFile, data: bytes, max_pixels: int) -> tuple[Image.Image, int]:
    """The image with its pixels, as what its format needs, and how it has yet to be turned."""

    def open_again(again: bytes) -> Image.Image:
        return _open(again, max_pixels)

    if isinstance(image, TiffImageFile):
        return _load_tiff(image, data, max_pixels)
    frame_box = gif.read_frame_box(image)
    try:
        loaded = _load_colours(image, data, max_pixels)
    except OSError:
        if image.format not in ("JPEG", "MPO"):
            raise
        complete = jpeg.load_without_end(data, open_again)
        if complete is None:
            raise
        loaded = complete
    orientation = parse_orientation(read_stored_orientation(image))  # may stand behind the pixels
    if frame_box is not None:
        loaded = gif.clear_outside(loaded, frame_box)
    if image.format == "AVIF" and (box := read_clean_aperture(data, image.size)) is not None:
        loaded = loaded.crop(box)
    return loaded, orientation


def _load_tiff(image: TiffImageFile, data: bytes, max_pixels: int) -> tuple[Image.Image, int]:
    tiff.mend_directory(image)
    stored = read_stored_orientation(image)
    if tiff.has_deep_planes(image):
        planes = tiff.load_deep_planes(image, data, lambda again: _open(again, max_pixels))
        return planes, parse_orientation(stored)
    loaded = _load_colours(image, data, max_pixels)
    return loaded, 1 if is_turned_by_pillow(stored) else parse_orientation(stored)


def _load_colours(image: ImageFile.ImageFile, data: bytes, max_pixels: int) -> Image.Image:
    """The image, loaded; stretched if it holds fewer bits than its samples have room for."""
    layout = depths.find_low_byte_layout(image)
    image.load()
    if layout is None or not depths.is_of_few_bits(image):
        return image
    low = _open(data, max_pixels)
    depths.read_low_bytes(low, layout)
    joined = depths.join_bytes(image, low, layout)
    joined.info = image.info
    return joined
