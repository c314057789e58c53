"""Chooses how frames are segmented: as images are, but quicker, as an object has many frames."""

from __future__ import annotations

from schemas.options import SegmenterOptions, VideoOptions


def choose_frame_options(segmenter: SegmenterOptions, video: VideoOptions) -> SegmenterOptions:
    """The options of a segmenter for frames.

    Where it has a grid of points, and as far as it is not named how that is asked, it has
    `video.points_per_side` and looks at no crops, which take most of the time and find little more.
    None leaves it as of images.
    """
    if video.points_per_side is None:
        return segmenter
    ours = {"points_per_side": video.points_per_side, "crop_n_layers": 0}
    unnamed = {name: value for name, value in ours.items() if getattr(segmenter, name) is None}
    return segmenter.model_copy(update=unnamed)
