"""Measures objects through time: drawn clips are read, segmented, tracked and held against truth.

    python -m bench.video [--clips 20] [--twins 4] [--true-masks] [--fps 2] [--seed N] [--folder F]

Clips of seeds on which nothing was tuned. The masks of their frames are kept in the folder with the
CPU seconds that they took; all else is done anew by every run. The speed of the image path is
measured on some of the same frames, each segmented and embedded as an image at the defaults.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from bench.clock import Clock
from bench.kept_clips import KeptClip, MaskFinder, find_pieces, keep_clips, read_pieces
from bench.track_figures import Gates, Row, measure_identities, measure_tracks
from bench.tracked_clips import Tracked, count_clip_cuts, track_clip
from pipeline.demo.clips import ClipKind
from pipeline.evaluation.tracking.cuts import CutCounts
from pipeline.runners.recipe import frame_options
from pipeline.settings import Settings
from schemas.images import DecodedImage
from schemas.options import EmbedderOptions, SegmenterOptions, VideoOptions
from workers.embedders.embed_objects import embed_segmented
from workers.registry import build_embedder, build_segmenter

_TEST_SEED, _CUT_SEED = 7000, 7002
"""Nothing is chosen by these, nor by the one between them, of which the twins are."""
_KINDS: tuple[ClipKind, ...] = ("plain", "cut")
_CUT_KINDS: tuple[ClipKind, ...] = ("flash", "dissolve", "jump")
_CLIP_S = 10.0
_GATES: Gates = ((0.82, 0.88), (0.70, 0.78))
_TRUE_GATES: Gates = ((0.97, 0.99), (0.97, 0.99))
_TWIN_GATES: Gates = ((0.93, 0.99), (None, None))
_NO_GATES: Gates = ((None, None), (None, None))


def measure_speed(tracked: Sequence[Tracked], image_s: float | None) -> list[Row]:
    """What the parts take for a second of video; `image_s`: what a frame takes as an image."""
    video_s = _CLIP_S * len(tracked)
    part_s = {
        part: sum(each.spent_s[part] for each in tracked) / video_s
        for part in ("read", "segment", "embed", "follow")
    }
    rows = [Row(f"CPU s a video s: {part}", took_s) for part, took_s in part_s.items()]
    rest = (sum(part_s.values()) - part_s["segment"]) / part_s["segment"]
    rows += [
        Row("masks a video s", sum(each.found for each in tracked) / video_s),
        Row(
            "crops and frames embedded a video s", sum(each.embedded for each in tracked) / video_s
        ),
        Row("all but segmenting, to segmenting", rest, 0.10, 0.04, is_least=False),
    ]
    if image_s is not None:
        images_s = image_s * sum(len(each.times_s) for each in tracked) / video_s
        rows += [
            Row("CPU s a video s: every frame as an image", images_s),
            Row("image path to video path", images_s / sum(part_s.values()), 3, 8),
        ]
    return rows


def time_images(kept: Sequence[KeptClip], frames: int, options: EmbedderOptions) -> float:
    """CPU seconds that a frame takes as an image at the defaults, segmented and embedded."""
    segmenter = build_segmenter(SegmenterOptions(device="cpu"))
    embedder = build_embedder(options)
    drawn = [kept[k % len(kept)].clip.draw_frame(0.5 + k % 9)[0] for k in range(frames)]
    images = [DecodedImage(kept[0].find_ref(), pixels) for pixels in (drawn[0], *drawn)]
    clock = Clock()
    for number, image in enumerate(images):
        with clock.of("image" if number else "warm up"):
            masks = segmenter.segment([image.pixels])
            embed_segmented([image], masks, embedder, options, "", "")
    return clock.spent["image"] / frames


def measure_cuts(folder: Path, count: int, video: VideoOptions) -> list[Row]:
    """Cuts of clips that make them hard to find: nothing is segmented."""
    counts = {kind: CutCounts() for kind in _CUT_KINDS}
    for kept in keep_clips(folder, _CUT_SEED, [_CUT_KINDS[k % 3] for k in range(count)]):
        found = [cut_s for piece in read_pieces(kept, video) for cut_s in piece.cuts_s]
        counts[kept.clip.kind] += count_clip_cuts(kept, found)
    return [
        Row("false cuts at flashes", counts["flash"].false, 0, 0, is_least=False),
        Row("cuts F1, dissolves", counts["dissolve"].f1),
        Row("cuts F1, jumps on one background", counts["jump"].f1),
    ]


def measure(given: argparse.Namespace, folder: Path) -> list[Row]:
    """All figures, as asked for."""
    video = VideoOptions(fps=given.fps)
    if given.points_per_side is not None:
        video = video.model_copy(update={"points_per_side": given.points_per_side})
    options = EmbedderOptions(device="cpu")
    embedder = build_embedder(options)
    segmenter = None
    if not given.true_masks:
        settings = Settings(segmenter=SegmenterOptions(device="cpu"), video=video)
        segmenter = build_segmenter(frame_options(settings))
    finder = MaskFinder(segmenter)

    def track(seed: int, kinds: Sequence[ClipKind]) -> list[Tracked]:
        return [
            track_clip(
                number, kept, find_pieces(kept, video, finder, given.steps), embedder, options
            )
            for number, kept in enumerate(keep_clips(folder, seed, kinds))
        ]

    tracked = track(given.seed, [_KINDS[k % 2] for k in range(given.clips)])
    rows = measure_identities("", tracked, _TRUE_GATES if given.true_masks else _GATES)
    rows += measure_tracks(tracked, embedder)
    if given.twins:
        twins = track(given.seed + 1, ["twins"] * given.twins)
        gates = _TWIN_GATES if given.true_masks else _NO_GATES
        rows += measure_identities("twins: ", twins, gates)
    if given.cut_clips:
        rows += measure_cuts(folder, given.cut_clips, video)
    if not given.true_masks:
        kept = [each.kept for each in tracked]
        image_s = time_images(kept, given.images, options) if given.images else None
        rows += measure_speed(tracked, image_s)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--seed", type=int, default=_TEST_SEED, help="another one to choose by")
    parser.add_argument("--twins", type=int, default=4)
    parser.add_argument("--cut-clips", type=int, default=18)
    parser.add_argument("--images", type=int, default=20, help="frames timed as images, 0: none")
    parser.add_argument("--fps", type=float, default=VideoOptions().fps)
    parser.add_argument("--points-per-side", type=int, help="default: the product's")
    parser.add_argument("--steps", type=int, help="of a piece, default: as many as it chooses")
    parser.add_argument("--true-masks", action="store_true", help="instead of the segmenter's")
    parser.add_argument("--folder", type=Path, help="where clips and what is found are kept")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        rows = measure(given, given.folder or Path(temporary))
    print("| figure | value | gate | aim | |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
