"""Draws clips, and keeps on disk the masks that are found in their frames, with what it took."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from pathlib import Path

from bench.clock import Clock
from pipeline.demo.clips import ClipKind, DrawnClip, draw_clip, write_clip
from pipeline.demo.scenes import SCENE_HW
from pipeline.evaluation.tracking.comparison import TrueMask
from schemas.images import ImageRef
from schemas.masks import CocoRle, ObjectMask
from schemas.options import DecodeOptions, StoreOptions, VideoOptions
from schemas.videos import DecodedPiece, SampledFrame, VideoPiece
from workers.durable_files import replace_file
from workers.segmenter_protocols import Segmenter
from workers.stores.open import find
from workers.videos.read_piece import read_piece

Frames = list[tuple[float, list[ObjectMask]]]
"""Times, in seconds, and the masks of what is to be seen then."""


@dataclass(frozen=True)
class KeptClip:
    """A clip in a folder; what is found in its frames is kept beside it."""

    clip: DrawnClip
    path: Path

    @cached_property
    def labels(self) -> dict[int, str]:
        return {number: concept.label for number, concept in self.clip.concepts.items()}

    def find_truth(self, times_s: Sequence[float]) -> dict[float, dict[int, TrueMask]]:
        """The true objects of frames."""
        return {
            time_s: {
                seen.object_id: TrueMask(seen.rle, seen.visible_fraction)
                for seen in self.clip.draw_frame(round(time_s, 3))[1]
            }
            for time_s in times_s
        }

    def find_ref(self) -> ImageRef:
        ref = find(ImageRef("file", "", str(self.path.resolve()), "", 0), StoreOptions())
        if ref is None:
            raise FileNotFoundError(self.path)
        return ref


@dataclass(frozen=True)
class MaskFinder:
    """Finds the masks of frames; `segmenter` None: the true ones."""

    segmenter: Segmenter | None

    @property
    def name(self) -> str:
        return "truth" if self.segmenter is None else self.segmenter.fingerprint[:16]

    def find(self, kept: KeptClip, frame: SampledFrame) -> list[ObjectMask]:
        if self.segmenter is not None:
            return self.segmenter.segment([frame.pixels])[0]
        true = kept.find_truth([frame.time_s])[frame.time_s].values()
        found = (ObjectMask.measure(mask.rle, predicted_iou=1.0) for mask in true)
        return [mask for mask in found if mask is not None]


@dataclass(frozen=True)
class FoundPiece:
    """A piece that was read, the masks of its frames, and the CPU seconds that it took."""

    piece: DecodedPiece
    frames: Frames
    read_s: float
    segment_s: float


def keep_clips(folder: Path, seed: int, kinds: Sequence[ClipKind]) -> list[KeptClip]:
    """Clips of a seed, one of each of `kinds`, which may be there several times."""
    folder = folder / str(seed)
    folder.mkdir(parents=True, exist_ok=True)
    kept = []
    for number, kind in enumerate(kinds):
        clip = draw_clip(seed, number, kind)
        path = folder / f"{number:02d}-{kind}.mp4"
        if not path.exists():
            write_clip(clip, path)
        kept.append(KeptClip(clip, path))
    return kept


def find_pieces(
    kept: KeptClip, video: VideoOptions, finder: MaskFinder, steps: int | None = None
) -> Iterator[FoundPiece]:
    """A clip in pieces of `steps`, each with its masks; those that are kept already are read."""
    file = kept.path.with_suffix(f".{video.fps:g}-{steps}-{finder.name}.masks.json")
    rows = json.loads(file.read_text()) if file.exists() else []
    is_kept, clock = bool(rows), Clock()
    for number, piece in enumerate(read_pieces(kept, video, steps, clock)):
        if not is_kept:
            rows.append(_segment(kept, piece, finder))
        read_s = clock.spent.pop("read")
        frames, segment_s = rows[number]
        yield FoundPiece(piece, _from_rows(frames), read_s, segment_s)
    if not is_kept:
        with replace_file(file) as open_file:
            open_file.write(json.dumps(rows).encode())


def _segment(kept: KeptClip, piece: DecodedPiece, finder: MaskFinder) -> tuple[list[object], float]:
    clock = Clock()
    with clock.of("segment"):
        frames = [(frame.time_s, finder.find(kept, frame)) for frame in piece.frames]
    return _to_rows(frames), clock.spent["segment"]


def read_pieces(
    kept: KeptClip, video: VideoOptions, steps: int | None = None, clock: Clock | None = None
) -> Iterator[DecodedPiece]:
    """A clip's pieces; reading them counts for the clock."""
    clock = clock or Clock()
    piece = VideoPiece(kept.find_ref(), steps=steps)
    for number in count():
        with clock.of("read"):
            read = read_piece(replace(piece, number=number), StoreOptions(), DecodeOptions(), video)
        yield read
        if read.is_last:
            return
        piece = read.piece


def _to_rows(frames: Frames) -> list[object]:
    return [
        [
            time_s,
            [[mask.rle.counts, mask.predicted_iou, mask.stability_score] for mask in masks],
        ]
        for time_s, masks in frames
    ]


def _from_rows(rows: list[tuple[float, list[tuple[str, float, float]]]]) -> Frames:
    frames: Frames = []
    for time_s, found in rows:
        measured = (
            ObjectMask.measure(
                CocoRle(SCENE_HW, counts),
                predicted_iou=predicted_iou,
                stability_score=stability_score,
            )
            for counts, predicted_iou, stability_score in found
        )
        frames.append((time_s, [mask for mask in measured if mask is not None]))
    return frames
