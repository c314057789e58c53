"""Pieces of videos are tracked with few of their crops embedded."""

from __future__ import annotations

import numpy as np
import pytest
from support.fakes import BrightSegmenter, MeanEmbedder
from support.video_pieces import REF

from pipeline.runners.piece_tracker import PieceTracker, choose_wholes
from schemas.options import EmbedderOptions
from schemas.records import Float32Matrix
from schemas.videos import DecodedPiece, SampledFrame, VideoInfo, VideoPiece
from workers.protocols import UInt8Crops

SIZE_HW = (48, 64)


class CountingEmbedder(MeanEmbedder):
    """How many crops it was given, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []

    def embed_images(self, crops: UInt8Crops) -> Float32Matrix:
        self.counts.append(len(crops))
        return super().embed_images(crops)


def draw_piece(frames: int, cuts_s: tuple[float, ...] = ()) -> DecodedPiece:
    """A bright square that goes to the right by two pixels every half second."""
    drawn = []
    for k in range(frames):
        pixels = np.full((*SIZE_HW, 3), 20, np.uint8)
        pixels[20:32, 10 + 2 * k : 22 + 2 * k] = 255
        drawn.append(SampledFrame(k / 2, pixels))
    return DecodedPiece(VideoPiece(REF, 0, frames), VideoInfo(SIZE_HW), tuple(drawn), cuts_s, True)


def test_of_each_track_three_sightings_are_embedded_and_a_frame_every_four_seconds() -> None:
    embedder = CountingEmbedder()
    options = EmbedderOptions(device="cpu")
    tracker = PieceTracker(BrightSegmenter().segment, embedder, options, 0)
    piece = tracker.track(draw_piece(20, cuts_s=(6.0,)))
    assert [len(shot.times_s) for shot in piece.shots] == [12, 8]
    counts = [sorted(len(track.sightings) for track in tracks) for tracks in piece.tracks]
    views = len(options.view_weights)
    expected = views * sum(min(3, count) for tracks in counts for count in tracks)
    # The crops of all shots together; then the frames of each.
    assert embedder.counts == [expected, 2, 1]
    assert counts[0][-1] == 12


def test_the_sum_of_a_shot_is_that_of_all_its_frames() -> None:
    tracker = PieceTracker(
        BrightSegmenter().segment, MeanEmbedder(), EmbedderOptions(device="cpu"), 0
    )
    (shot,) = tracker.track(draw_piece(12)).shots
    # All frames have one mean colour.
    assert shot.vector_sum == pytest.approx(12 * shot.typical_vector, rel=1e-5)
    assert shot.typical_s in shot.times_s


@pytest.mark.parametrize(
    ("times_s", "chosen"),
    [
        ([0.0], [0]),
        ([0.0, 0.5], [1]),
        ([0.0, 0.5, 1.0, 1.5, 2.0], [2]),
        ([k / 2 for k in range(9)], [4]),
        ([k / 2 for k in range(10)], [2, 7]),
        ([0.0, 30.0], [0, 1]),
    ],
)
def test_frames_that_stand_for_a_shot_are_spread_over_it(
    times_s: list[float], chosen: list[int]
) -> None:
    assert choose_wholes(times_s) == chosen
