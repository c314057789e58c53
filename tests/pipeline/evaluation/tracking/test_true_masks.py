"""Tracks of true masks in drawn clips, with the vectors that `clip_demo` gives what they show.

What is wrong here is the tracker's: no segmenter stands between.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from support.drawn_tracks import FoundObject
from support.video_pieces import track_pieces

from pipeline.demo.clips import ClipKind, DrawnClip, draw_clip
from pipeline.evaluation.tracking.compared_video import ComparedVideo, TrueFrames, compare_video
from pipeline.evaluation.tracking.comparison import TrueMask
from pipeline.evaluation.tracking.hota import measure_hota
from pipeline.evaluation.tracking.identity import measure_identity
from pipeline.evaluation.tracking.object_coverage import measure_coverage
from schemas.masks import ObjectMask
from schemas.options import EmbedderOptions, VideoOptions
from workers.embedders.embed_objects import embed_masks
from workers.protocols import ImageEmbedder
from workers.registry import build_image_embedder
from workers.videos.join_pieces import join_pieces
from workers.videos.mask_colours import measure_colours
from workers.videos.mask_patches import cut_patch

_STEP_S = 0.5
_OPTIONS = EmbedderOptions(device="cpu")
Frames = list[tuple[float, list[FoundObject]]]


def find_true(clip: DrawnClip, embedder: ImageEmbedder) -> tuple[Frames, TrueFrames]:
    """What a perfect segmenter would find every half second, and the truth."""
    frames, truth = [], {}
    for time_s in clip.times_s[::5]:
        pixels, seen = clip.draw_frame(time_s)
        found = [ObjectMask.measure(each.rle, predicted_iou=1.0) for each in seen]
        masks = [mask for mask in found if mask is not None]
        vectors = embed_masks(pixels, masks, embedder, _OPTIONS)
        colours = measure_colours(pixels, [cut_patch(mask) for mask in masks])
        frames.append((time_s, list(map(FoundObject, masks, vectors, colours))))
        truth[time_s] = {each.object_id: TrueMask(each.rle, each.visible_fraction) for each in seen}
    return frames, truth


def compare(
    clips: Sequence[tuple[DrawnClip, Frames, TrueFrames]], steps: int | None
) -> list[ComparedVideo]:
    compared = []
    for number, (clip, frames, truth) in enumerate(clips):
        shots = join_pieces(track_pieces(frames, clip.cuts_s, steps), VideoOptions())
        tracks = [track for shot in shots for track in shot.tracks]
        assert not any(
            track.start_s < cut_s <= track.end_s for track in tracks for cut_s in clip.cuts_s
        )
        compared.append(compare_video(number, tracks, truth, _STEP_S))
    return compared


@pytest.mark.long
@pytest.mark.parametrize(
    ("kinds", "idf1", "hota", "lost"),
    [
        (("plain", "cut", "plain", "cut"), 0.97, 0.97, 0.02),
        (("twins", "twins", "twins"), 0.93, 0.9, 0.05),
    ],
)
def test_true_masks_become_true_tracks(
    kinds: Sequence[ClipKind], idf1: float, hota: float, lost: float
) -> None:
    embedder = build_image_embedder(_OPTIONS)
    drawn = [draw_clip(8000, number, kind) for number, kind in enumerate(kinds)]
    clips = [(clip, *find_true(clip, embedder)) for clip in drawn]
    whole = compare(clips, None)
    frames = [frame for video in whole for frame in video.frames]
    expected = measure_identity(frames).idf1
    assert expected >= idf1
    assert measure_hota(frames).hota >= hota
    coverage = measure_coverage(whole)
    assert coverage.covered >= 0.96
    assert coverage.empty_tracks == 0
    # In pieces of three and five seconds it is nearly the same: what looks
    # the same is told by how it moves, which is not known where a piece begins.
    for steps in (6, 10):
        pieces = [frame for video in compare(clips, steps) for frame in video.frames]
        assert measure_identity(pieces).idf1 >= expected - lost
