"""Measures how tracks cover true objects, and whether texts find the tracks of what they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.tracking.compared_video import ComparedVideo, measure_span_iou
from schemas.records import Float32Vector
from workers.videos.worth import find_track_vector

_COVERED_SHARE = 0.5
_SPAN_IOU = 0.5
_FIRST = 10


@dataclass(frozen=True, slots=True)
class ObjectCoverage:
    """Of all videos together, nan without an object or a track.

    `tracks_per_object` are those that show it, of objects without one too; `covered` the share of
    objects of which one track has half of their frames; `empty_tracks` the share of tracks that
    show no object.
    """

    objects: int
    tracks: int
    tracks_per_object: float
    covered: float
    empty_tracks: float


@dataclass(frozen=True, slots=True)
class TextRetrieval:
    """Of the labels of all true objects, each asked among the tracks of all videos.

    `right_first`: the first track shows an object of that label; `right`: one of the first ten
    does; `own`: one of the first ten shows the very object, and its span has an IoU of 0.5 with the
    object's. nan without an object.
    """

    objects: int
    right_first: float
    right: float
    own: float


def measure_coverage(videos: Sequence[ComparedVideo]) -> ObjectCoverage:
    counts, covered = [], []
    for video in videos:
        for object_id, span in video.objects.items():
            mine = video.tracks_of(object_id)
            least = _COVERED_SHARE * span.frame_count
            counts.append(len(mine))
            covered.append(any(video.agreed[place][object_id] >= least for place in mine))
    empty = [shown is None for video in videos for shown in video.shown]
    return ObjectCoverage(len(counts), len(empty), _mean(counts), _mean(covered), _mean(empty))


def measure_text_retrieval(
    videos: Sequence[ComparedVideo],
    labels: Sequence[Mapping[int, str]],
    text_vectors: Mapping[str, Float32Vector],
) -> TextRetrieval:
    """`labels` has those of each video's objects; `text_vectors` a unit vector of each label."""
    rows = [
        (number, place) for number, video in enumerate(videos) for place in range(len(video.tracks))
    ]
    vectors = [find_track_vector(videos[number].tracks[place]) for number, place in rows]
    first, right, own = [], [], []
    for number, video in enumerate(videos):
        for object_id in video.objects:
            label = labels[number][object_id]
            order = np.argsort(
                [-float(vector @ text_vectors[label]) for vector in vectors], kind="stable"
            )
            hits = [rows[row] for row in order[:_FIRST].tolist()]
            is_right = [_label_of(videos[n], place, labels[n]) == label for n, place in hits]
            first.append(is_right[:1] == [True])
            right.append(any(is_right))
            own.append(any(n == number and _is_own(video, place, object_id) for n, place in hits))
    return TextRetrieval(len(right), _mean(first), _mean(right), _mean(own))


def _label_of(video: ComparedVideo, place: int, labels: Mapping[int, str]) -> str | None:
    shown = video.shown[place]
    return None if shown is None else labels[shown]


def _is_own(video: ComparedVideo, place: int, object_id: int) -> bool:
    track, span = video.tracks[place], video.objects[object_id]
    overlap = measure_span_iou((track.start_s, track.end_s), span.span_s, video.step_s)
    return video.shown[place] == object_id and overlap >= _SPAN_IOU


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
