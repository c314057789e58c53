"""Draws clips, and keeps on disk what is found in their frames, with what it took."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import av
import numpy as np

from bench.clock import Clock
from pipeline.demo.clips import ClipKind, DrawnClip, draw_clip, write_clip
from pipeline.evaluation.tracking.comparison import TrueMask
from schemas.masks import CocoRle, ObjectMask
from schemas.options import EmbedderOptions
from schemas.videos import FoundObject, SampledFrame
from workers.durable_files import replace_file
from workers.embedders.embed_objects import embed_masks
from workers.protocols import ImageEmbedder, Segmenter


@dataclass(frozen=True)
class KeptClip:
    """A clip in a folder; what is found in its frames is kept beside it."""

    clip: DrawnClip
    path: Path

    @cached_property
    def labels(self) -> dict[int, str]:
        return {number: concept.label for number, concept in self.clip.concepts.items()}

    def read_frames(self, fps: float) -> Iterator[SampledFrame]:
        """The first frame at or after every step of 1 / fps seconds, decoded."""
        due_s, start_s = 0.0, None
        with av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            for frame in container.decode(stream):
                start_s = frame.time if start_s is None else start_s
                time_s = round(frame.time - start_s, 3)
                if time_s >= due_s - 1e-6:
                    yield SampledFrame(time_s, frame.to_ndarray(format="rgb24"))
                    due_s = (np.floor(time_s * fps + 1e-6) + 1) / fps

    def find_truth(self, times_s: Sequence[float]) -> dict[float, dict[int, TrueMask]]:
        """The true objects of frames."""
        return {
            time_s: {
                seen.object_id: TrueMask(seen.rle, seen.visible_fraction)
                for seen in self.clip.draw_frame(time_s)[1]
            }
            for time_s in times_s
        }


class TruthSegmenter:
    """Finds what is true in the frames of a clip, as if it were a segmenter."""

    fingerprint = "truth"

    def __init__(self, kept: KeptClip) -> None:
        self._kept = kept

    def segment_frame(self, frame: SampledFrame) -> list[ObjectMask]:
        true = self._kept.find_truth([frame.time_s])[frame.time_s].values()
        masks = (ObjectMask.measure(mask.rle, predicted_iou=1.0) for mask in true)
        return [mask for mask in masks if mask is not None]


@dataclass(frozen=True)
class FrameFinder:
    """Segments and embeds frames; `segmenter` None: with the true masks."""

    segmenter: Segmenter | None
    embedder: ImageEmbedder
    options: EmbedderOptions

    @property
    def fingerprint(self) -> str:
        return self.segmenter.fingerprint if self.segmenter else TruthSegmenter.fingerprint

    def find(self, kept: KeptClip, frame: SampledFrame, clock: Clock) -> list[FoundObject]:
        with clock.of("segment"):
            if self.segmenter is None:
                masks = TruthSegmenter(kept).segment_frame(frame)
            else:
                masks = self.segmenter.segment([frame.pixels])[0]
        with clock.of("embed"):
            vectors = embed_masks(frame.pixels, masks, self.embedder, self.options)
        return [FoundObject(mask, vector) for mask, vector in zip(masks, vectors, strict=True)]


@dataclass(frozen=True)
class FoundFrames:
    """What was found in the frames of a clip, and the CPU seconds that its parts took."""

    frames: list[tuple[float, list[FoundObject]]]
    spent_s: dict[str, float]


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


def find_objects(kept: KeptClip, fps: float, finder: FrameFinder) -> FoundFrames:
    """What is found in a clip; what is kept already is read."""
    file = kept.path.with_suffix(f".{fps:g}-{finder.fingerprint[:16]}.json")
    if not file.exists():
        clock = Clock()
        frames = []
        sampled = kept.read_frames(fps)
        while True:
            with clock.of("decode"):
                frame = next(sampled, None)
            if frame is None:
                break
            frames.append((frame.time_s, finder.find(kept, frame, clock)))
        with replace_file(file) as open_file:
            open_file.write(_to_json(frames, clock).encode())
    return _from_json(kept, file.read_text())


def _to_json(frames: Sequence[tuple[float, Sequence[FoundObject]]], clock: Clock) -> str:
    rows = [
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
    return json.dumps({"frames": rows, "spent_s": dict(clock.spent)})


def _from_json(kept: KeptClip, text: str) -> FoundFrames:
    told = json.loads(text)
    frames = []
    from pipeline.demo.scenes import SCENE_HW

    for time_s, rows in told["frames"]:
        found = []
        for counts, predicted_iou, stability, vector in rows:
            mask = ObjectMask.measure(
                CocoRle(SCENE_HW, counts),
                predicted_iou=predicted_iou,
                stability_score=stability,
            )
            assert mask is not None
            found.append(FoundObject(mask, np.array(vector, np.float32)))
        frames.append((time_s, found))
    return FoundFrames(frames, told["spent_s"])
