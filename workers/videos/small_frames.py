"""Keeps frames as small images, of which cuts are found."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from workers.videos.stream_source import TimedFrame

SMALL_HW = (48, 64)
# So many samples of a frame are averaged along a side of each small pixel.
_SAMPLES = 4


class SmallFrames:
    """Frames of a video as small RGB images, 9 KB each, and their times in seconds.

    Made by swscale from the decoded frame: of a large one 16 samples for each small pixel are
    averaged, which takes a tenth of the time of all of them.
    """

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self._images: list[npt.NDArray[np.uint8]] = []
        self._sampler = VideoReformatter()
        self._averager = VideoReformatter()

    def append(self, frame: TimedFrame) -> None:
        self.times_s.append(frame.time_s)
        self._images.append(self._shrink(frame.image))

    def stack(self) -> npt.NDArray[np.uint8]:
        """uint8 (frames, 48, 64, 3) RGB, as they are stored: not turned."""
        return np.array(self._images, np.uint8).reshape(-1, *SMALL_HW, 3)

    def _shrink(self, frame: VideoFrame) -> npt.NDArray[np.uint8]:
        height, width = SMALL_HW
        sampled_wh = width * _SAMPLES, height * _SAMPLES
        if frame.width >= 2 * sampled_wh[0] and frame.height >= 2 * sampled_wh[1]:
            frame = self._sampler.reformat(
                frame, *sampled_wh, interpolation=Interpolation.POINT, threads=1
            )
        small = self._averager.reformat(
            frame, width, height, "rgb24",
            dst_color_range=ColorRange.JPEG, interpolation=Interpolation.AREA, threads=1,
        )  # fmt: skip
        return small.to_ndarray().astype(np.uint8, copy=False)
