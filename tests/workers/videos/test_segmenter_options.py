"""How frames are segmented: quicker than images, but where the options say how."""

from schemas.options import SegmenterOptions, VideoOptions
from workers.videos.segmenter_options import choose_frame_options


def test_frames_are_asked_fewer_points_unless_it_is_named_how_many() -> None:
    chosen = choose_frame_options(SegmenterOptions(preset="thorough"), VideoOptions())
    assert (chosen.points_per_side, chosen.crop_n_layers) == (VideoOptions().points_per_side, 0)
    named = SegmenterOptions(points_per_side=32, crop_n_layers=1)
    assert choose_frame_options(named, VideoOptions()) == named
    as_images = VideoOptions(points_per_side=None)
    assert choose_frame_options(SegmenterOptions(), as_images) == SegmenterOptions()
