"""The figures of tracks of drawn clips, each with the gate that it has to pass and its aim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.tracked_clips import Tracked
from pipeline.evaluation.tracking.clear import measure_clear
from pipeline.evaluation.tracking.cuts import CutCounts
from pipeline.evaluation.tracking.hota import measure_hota
from pipeline.evaluation.tracking.identity import measure_identity
from pipeline.evaluation.tracking.mask_quality import measure_mask_quality
from pipeline.evaluation.tracking.object_coverage import measure_coverage, measure_text_retrieval
from schemas.masks import CocoRle
from schemas.videos import Track
from workers.protocols import TextEmbedder

Gates = tuple[tuple[float | None, float | None], tuple[float | None, float | None]]
"""The gate and the aim of IDF1, and those of HOTA."""


@dataclass(frozen=True)
class Row:
    """A figure with its gate and aim; `is_least`: it should be at least that."""

    name: str
    value: float
    gate: float | None = None
    aim: float | None = None
    is_least: bool = True

    def __str__(self) -> str:
        sign = ">=" if self.is_least else "<="
        told = [f"{sign} {level:g}" if level is not None else "" for level in (self.gate, self.aim)]
        return f"| {self.name} | {self.value:.3f} | {told[0]} | {told[1]} | {self._verdict()} |"

    def _verdict(self) -> str:
        for level, verdict in ((self.aim, "aim"), (self.gate, "gate")):
            if level is None:
                continue
            if self.value >= level if self.is_least else self.value <= level:
                return verdict
        return "" if self.gate is None else "MISSED"


def measure_identities(name: str, tracked: Sequence[Tracked], gates: Gates) -> list[Row]:
    """IDF1 and HOTA of clips together, with the gate and aim of each."""
    frames = [frame for each in tracked for frame in each.compared.frames]
    return [
        Row(f"{name}IDF1", measure_identity(frames).idf1, *gates[0]),
        Row(f"{name}HOTA", measure_hota(frames).hota, *gates[1]),
    ]


def measure_tracks(tracked: Sequence[Tracked], embedder: TextEmbedder) -> list[Row]:
    """The other figures of tracks of clips together."""
    videos = [each.compared for each in tracked]
    frames = [frame for video in videos for frame in video.frames]
    clear, hota = measure_clear(frames), measure_hota(frames)
    coverage = measure_coverage(videos)
    labels = [each.kept.labels for each in tracked]
    names = sorted({label for named in labels for label in named.values()})
    texts = dict(zip(names, embedder.embed_texts(names), strict=True))
    retrieval = measure_text_retrieval(videos, labels, texts)
    across = sum(
        track.start_s < cut_s <= track.end_s
        for each in tracked
        for cut_s in each.kept.clip.cuts_s
        for track in each.compared.tracks
    )
    cuts = sum((each.cuts for each in tracked), CutCounts())
    return [
        Row("DetA", hota.det_a),
        Row("AssA", hota.ass_a),
        Row("MOTA", clear.mota),
        Row("ID switches", clear.switches),
        Row("J&F", _measure_j_and_f(tracked)),
        Row("tracks a true object", coverage.tracks_per_object, 1.15, 1.05, is_least=False),
        Row("objects covered in half of their frames", coverage.covered, 0.88, 0.96),
        Row("tracks that show no object", coverage.empty_tracks, 0.17, 0.08, is_least=False),
        Row("text: its first track is right", retrieval.right_first),
        Row("text: a right track in the first ten", retrieval.right, 0.85, 0.94),
        Row("text: its own, span IoU >= 0.5", retrieval.own, 0.80, 0.90),
        Row("tracks across a cut", across, 0, 0, is_least=False),
        Row("cuts F1", cuts.f1, 0.97, 1.0),
    ]


def _measure_j_and_f(tracked: Sequence[Tracked]) -> float:
    """The mean over true objects that count, in the frames in which they do."""
    scores = []
    for each in tracked:
        true: dict[int, dict[int, CocoRle]] = {number: {} for number in each.compared.objects}
        for frame, masks in enumerate(each.kept.find_truth(each.times_s).values()):
            for number, mask in masks.items():
                if number in true and mask.counts:
                    true[number][frame] = mask.rle
        tracks = [_by_frame(track, each.times_s) for track in each.compared.tracks]
        scores += [quality.j_and_f for quality in measure_mask_quality([*true.values()], tracks)]
    return float(np.mean(scores))


def _by_frame(track: Track, times_s: Sequence[float]) -> dict[int, CocoRle]:
    return {times_s.index(each.time_s): each.mask.rle for each in track.sightings}
