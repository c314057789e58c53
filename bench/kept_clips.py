"""Draws clips, and keeps on disk what is found in their frames, with what it took."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from pathlib import Path

import numpy as np

from bench.clock import Clock
from pipeline.demo.clips import ClipKind, DrawnClip, draw_clip, write_clip
from pipeline.demo.scenes import SCENE_HW
from pipeline.evaluation.tracking.comparison import TrueMask
from schemas.images import ImageRef, UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.options import DecodeOptions, EmbedderOptions, StoreOptions, VideoOptions
from schemas.videos import DecodedPiece, FoundObject, VideoPiece
from workers.durable_files import replace_file
from workers.embedders.embed_objects import embed_masks
from workers.images.crops import square_image
from workers.protocols import ImageEmbedder, Segmenter
from workers.stores.open import find
from workers.videos.read_piece import read_piece

Frames = list[tuple[float, list[FoundObject]]]


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
class FrameFinder:
    """Segments and embeds frames; `segmenter` None: with the true masks."""

    segmenter: Segmenter | None
    embedder: ImageEmbedder
    options: EmbedderOptions

    @property
    def name(self) -> str:
        return "truth" if self.segmenter is None else self.segmenter.fingerprint[:16]

    def find(
        self, kept: KeptClip, time_s: float, pixels: UInt8Image, clock: Clock
    ) -> list[FoundObject]:
        """A frame's objects; it is embedded as a whole too, for its shot."""
        with clock.of("segment"):
            if self.segmenter is None:
                true = kept.find_truth([time_s])[time_s].values()
                found = (ObjectMask.measure(mask.rle, predicted_iou=1.0) for mask in true)
                masks = [mask for mask in found if mask is not None]
            else:
                masks = self.segmenter.segment([pixels])[0]
        with clock.of("embed"):
            self.embedder.embed_images([square_image(pixels, self.options.cutout_fill)])
            vectors = embed_masks(pixels, masks, self.embedder, self.options)
        return [FoundObject(mask, vector) for mask, vector in zip(masks, vectors, strict=True)]


@dataclass(frozen=True)
class FoundPiece:
    """What was found in a piece, its cuts, and the CPU seconds that each part took."""

    frames: Frames
    cuts_s: list[float]
    spent_s: dict[str, float]

    def split_shots(self) -> list[Frames]:
        """The frames of each shot."""
        shots: list[Frames] = [[]]
        for time_s, found in self.frames:
            begun = sum(cut_s <= time_s + 1e-6 for cut_s in self.cuts_s)
            while len(shots) <= begun:
                shots.append([])
            shots[-1].append((time_s, found))
        return shots


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
    kept: KeptClip, video: VideoOptions, finder: FrameFinder, steps: int | None = None
) -> list[FoundPiece]:
    """What is found in a clip, read in pieces of `steps`; what is kept already is read."""
    file = kept.path.with_suffix(f".{video.fps:g}-{steps}-{finder.name}.json")
    if not file.exists():
        rows = [
            [_to_rows(piece.frames), piece.cuts_s, piece.spent_s]
            for piece in _find(kept, video, finder, steps)
        ]
        with replace_file(file) as open_file:
            open_file.write(json.dumps(rows).encode())
    return [
        FoundPiece(_from_rows(frames), cuts_s, spent_s)
        for frames, cuts_s, spent_s in json.loads(file.read_text())
    ]


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


def _find(
    kept: KeptClip, video: VideoOptions, finder: FrameFinder, steps: int | None
) -> Iterator[FoundPiece]:
    clock = Clock()
    for read in read_pieces(kept, video, steps, clock):
        frames = [
            (frame.time_s, finder.find(kept, frame.time_s, frame.pixels, clock))
            for frame in read.frames
        ]
        yield FoundPiece(frames, list(read.cuts_s), dict(clock.spent))
        clock.spent.clear()


def _to_rows(frames: Frames) -> list[object]:
    return [
        [
            time_s,
            [
                [
                    each.mask.rle.counts,
                    each.mask.predicted_iou,
                    each.mask.stability_score,
                    each.vector.tolist(),
                ]
                for each in found
            ],
        ]
        for time_s, found in frames
    ]


def _from_rows(rows: list[tuple[float, list[tuple[str, float, float, list[float]]]]]) -> Frames:
    frames: Frames = []
    for time_s, found in rows:
        objects = []
        for counts, predicted_iou, stability_score, vector in found:
            mask = ObjectMask.measure(
                CocoRle(SCENE_HW, counts),
                predicted_iou=predicted_iou,
                stability_score=stability_score,
            )
            if mask is not None:
                objects.append(FoundObject(mask, np.array(vector, np.float32)))
        frames.append((time_s, objects))
    return frames
