"""Converts decoded frames to sRGB: matrix, range, depth, transparency, and high dynamic range."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, ColorTrc, Interpolation, VideoReformatter

from schemas.images import UInt8Image
from schemas.options import Rgb

HDR_NOTE = (
    "its colours are of high dynamic range: they are shown as sRGB without tone mapping, and what "
    "is brighter than white on paper is shown as white"
)
# What a frame says of its matrix (ITU-T H.273, table 4), in swscale's numbers.
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
# By the names of their pixel formats.
_FULL_RANGE = ("yuvj", "rgb", "bgr", "gbr", "argb", "abgr", "pal", "gray")
_BT709, _BT601, _BT2020 = 1, 5, 9
_HD_LINES = 720
_HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
# ITU-R BT.2408: the luminance of white on paper in PQ, and its signal in HLG.
_WHITE_NITS = 203.0
_HLG_WHITE_SIGNAL = 0.75
# ITU-R BT.2087 (its inverse): linear BT.2020 to linear BT.709.
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_LEVELS = 1 << 12
_BAND_ROWS = 64
_T = TypeVar("_T", bound=np.generic)


def is_hdr(frame: VideoFrame) -> bool:
    """Whether a frame is of high dynamic range: PQ or HLG (ITU-R BT.2100)."""
    return frame.color_trc in _HDR


class FrameConverter:
    """Converts frames of one video to RGB of any size.

    By the matrix and range that a frame names. One that names none is taken for limited range, and
    BT.601 below 720 lines, BT.709 from there on. More than 8 bits are rounded. PQ and HLG become
    sRGB without tone mapping: white on paper (203 cd/m2, ITU-R BT.2408) is white, what is brighter
    is clipped, and so is what lies outside sRGB's gamut. What is transparent shows `background`.
    """

    def __init__(self, background: Rgb) -> None:
        self._background = np.array(background, np.float32)
        self._scalers: dict[str, VideoReformatter] = {}

    def to_rgb(self, frame: VideoFrame, size_wh: tuple[int, int]) -> UInt8Image:
        """uint8 (height, width, 3) sRGB, as it is stored: not turned."""
        if is_hdr(frame):
            levels = self._scale(frame, size_wh, "rgb48le").astype(np.uint16, copy=False)
            return _convert_bands(levels, partial(_hdr_to_srgb, transfer=frame.color_trc))
        if not any(component.is_alpha for component in frame.format.components):
            return self._scale(frame, size_wh, "rgb24").astype(np.uint8, copy=False)
        rgba = self._scale(frame, size_wh, "rgba").astype(np.uint8, copy=False)
        return _convert_bands(rgba, self._blend)

    def _blend(self, rgba: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        opacity = rgba[..., 3:].astype(np.float32) / 255
        mixed = rgba[..., :3] * opacity + self._background * (1 - opacity)
        blended: npt.NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
        return blended

    def _scale(
        self, frame: VideoFrame, size_wh: tuple[int, int], format_name: str
    ) -> npt.NDArray[np.generic]:
        scaler = self._scalers.setdefault(format_name, VideoReformatter())
        shrinks = size_wh[0] < frame.width or size_wh[1] < frame.height
        kernel = Interpolation.AREA if shrinks else Interpolation.BICUBIC
        scaled = scaler.reformat(
            frame, *size_wh, format_name,
            src_colorspace=_find_matrix(frame),
            src_color_range=_find_range(frame),
            dst_color_range=ColorRange.JPEG,
            interpolation=kernel | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
            threads=1,
        )  # fmt: skip
        return scaled.to_ndarray()


def _find_matrix(frame: VideoFrame) -> int:
    unknown = _BT601 if frame.height < _HD_LINES else _BT709
    return _MATRICES.get(frame.colorspace, _BT2020 if is_hdr(frame) else unknown)


def _find_range(frame: VideoFrame) -> int:
    if frame.color_range:
        return frame.color_range
    return ColorRange.JPEG if frame.format.name.startswith(_FULL_RANGE) else ColorRange.MPEG


def _convert_bands(pixels: npt.NDArray[_T], convert: Callable[[Any], UInt8Image]) -> UInt8Image:
    """The whole image, converted band by band: on the way floats take many times its memory."""
    image: UInt8Image = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top in range(0, len(pixels), _BAND_ROWS):
        image[top : top + _BAND_ROWS] = convert(pixels[top : top + _BAND_ROWS])
    return image


def _hdr_to_srgb(signal: npt.NDArray[np.uint16], transfer: int) -> UInt8Image:
    """signal: (height, width, 3), BT.2020."""
    linear = np.clip(_linear_levels(transfer)[signal >> 4] @ _TO_BT709.T, 0, 1)
    srgb: UInt8Image = _srgb_levels()[np.rint(linear * (_LEVELS - 1)).astype(np.uint16)]
    return srgb


@cache
def _linear_levels(transfer: int) -> npt.NDArray[np.float32]:
    """Light of 4096 levels of a signal, of which 1 is white on paper."""
    signal = np.linspace(0, 1, _LEVELS)
    light = _pq_light(signal) if transfer == ColorTrc.SMPTE2084 else _hlg_light(signal)
    return light.astype(np.float32)


def _pq_light(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """SMPTE ST 2084."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = signal ** (1 / m2)
    return 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) / _WHITE_NITS


def _hlg_light(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """ITU-R BT.2100, light of the scene."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073

    def to_light(value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.where(value <= 0.5, value**2 / 3, (np.exp((value - c) / a) + b) / 12)

    light: npt.NDArray[np.float64] = to_light(signal) / to_light(np.array(_HLG_WHITE_SIGNAL))
    return light


@cache
def _srgb_levels() -> npt.NDArray[np.uint8]:
    """IEC 61966-2-1, of 4096 levels of light."""
    light = np.linspace(0, 1, _LEVELS)
    curved = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    levels: npt.NDArray[np.uint8] = np.rint(255 * curved).astype(np.uint8)
    return levels
