"""Converts decoded colours to sRGB, by the profile that the file has, over a background."""

from __future__ import annotations

import hashlib
import io
import logging
from dataclasses import dataclass

import numpy as np
from cachetools import LRUCache, cached
from PIL import Image, ImageChops, ImageCms

from schemas.errors import one_line

_log = logging.getLogger(__name__)
_ROWS = 64  # processed at a time
_KEPT_PROFILES = 16
_SAME_LEVELS = 2  # two ways to compute the curve of sRGB differ by as much
_GRID = np.linspace(0, 255, 18).round().astype(np.uint8)
# The space of a profile, as ICC.1 signs it, and the mode whose channels it describes.
_CHANNELS = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_MODES = {
    "RGB ": ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "YCbCr"),
    "GRAY": ("L", "LA", "La"),
    "CMYK": ("CMYK",),
}
_DEVICES = ("scnr", "mntr", "prtr", "spac")  # classes of profiles that describe stored colours


@dataclass(frozen=True, slots=True)
class SrgbTransform:
    """From the space of a profile to sRGB; `mode` is what it is applied to: RGB, L or CMYK."""

    mode: str
    transform: ImageCms.ImageCmsTransform

    def apply(self, image: Image.Image) -> Image.Image:
        """RGB of an image of the same mode; of RGB the same image, changed."""
        if self.mode == "RGB":
            self.transform.apply_in_place(image)
            return image
        return self.transform.apply(image)


@dataclass(frozen=True, slots=True)
class _Profile:
    """`flaw` is why it says nothing of colours; `transform` is None where it is that of sRGB."""

    space: str = ""
    transform: SrgbTransform | None = None
    flaw: str = ""


def find_transform(image: Image.Image, where: str) -> SrgbTransform | None:
    """What the image's profile does to its colours; None if there is none, or it is sRGB's.

    A broken profile, or one of another space than the image's, is left out with a line in the log
    that names `where`.
    """
    content = image.info.get("icc_profile")
    if not isinstance(content, bytes) or not content or image.mode == "1":
        return None
    profile = _read_profile(content)
    flaw = profile.flaw
    if not flaw and image.mode not in _MODES[profile.space]:
        flaw = f"expected one for {image.mode}, got one for {profile.space.strip()}"
    if flaw:
        _log.info("the colour profile of %s is ignored: %s", where, flaw)
        return None
    return profile.transform


def to_srgb(
    image: Image.Image, transform: SrgbTransform | None, background: tuple[int, int, int]
) -> Image.Image:
    """RGB in sRGB; `image` itself may be changed. What is transparent shows the background."""
    if image.has_transparency_data:
        return _composite(image, transform, background)
    if transform is None:
        return image if image.mode == "RGB" else image.convert("RGB")
    return transform.apply(image if image.mode == transform.mode else image.convert(transform.mode))


def _composite(
    image: Image.Image, transform: SrgbTransform | None, background: tuple[int, int, int]
) -> Image.Image:
    """The image over the background; a few rows at a time, to save memory."""
    width, height = image.size
    rgb = Image.new("RGB", image.size)
    for top in range(0, height, _ROWS):
        box = (0, top, width, min(top + _ROWS, height))
        strip = image.crop(box).convert("RGBA")
        if transform is not None:
            alpha = strip.getchannel("A")
            colours = strip.getchannel("R") if transform.mode == "L" else strip.convert("RGB")
            strip = transform.apply(colours)
            strip.putalpha(alpha)
        canvas = Image.new("RGBA", strip.size, (*background, 255))
        rgb.paste(Image.alpha_composite(canvas, strip).convert("RGB"), box)
    return rgb


@cached(LRUCache(_KEPT_PROFILES), key=lambda content: hashlib.sha256(content).digest())
def _read_profile(content: bytes) -> _Profile:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        space = str(profile.profile.xcolor_space)
        device = str(profile.profile.device_class)
        if space not in _CHANNELS or device not in _DEVICES:
            flaw = f"expected one of an RGB, grey or CMYK device, got {device!r} of {space!r}"
            return _Profile(flaw=flaw)
        mode = _CHANNELS[space]
        perceptual, colorimetric = (
            SrgbTransform(
                mode, ImageCms.buildTransform(profile, _build_srgb(), mode, "RGB", intent)
            )
            for intent in (ImageCms.Intent.PERCEPTUAL, ImageCms.Intent.RELATIVE_COLORIMETRIC)
        )
        # Some profiles of sRGB have tables of another rendering besides (ICC's own of version 4).
        is_srgb = any(_changes_nothing(transform) for transform in (perceptual, colorimetric))
    # Little CMS refuses broken profiles with several kinds of errors.
    except Exception as exc:
        return _Profile(flaw=one_line(exc))
    return _Profile(space, None if is_srgb else perceptual)


def _build_srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _changes_nothing(transform: SrgbTransform) -> bool:
    """Whether colours of all kinds stay where they are, but for rounding."""
    if transform.mode == "CMYK":
        return False
    if transform.mode == "L":
        probe = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    else:
        grid = np.stack(np.meshgrid(_GRID, _GRID, _GRID), axis=-1).reshape(1, -1, 3)
        probe = Image.fromarray(grid)
    difference = ImageChops.difference(transform.apply(probe.copy()), probe.convert("RGB"))
    return int(np.asarray(difference).max()) <= _SAME_LEVELS
