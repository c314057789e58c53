"""Puts together what a video shows when."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.drawing.clip import choose_span
from schemas.api import ShotAnswer, TimelineAnswer, TrackAnswer
from schemas.payload import PointPayload
from schemas.points import Point

_MAX_SHOTS = 10_000


def build_timeline(
    video: PointPayload,
    shots: Sequence[tuple[Point, PointPayload]],
    tracks: Sequence[tuple[Point, PointPayload]],
    limit: int,
) -> TimelineAnswer:
    """All shots, and at most `limit` tracks: those that cover most, by mean area and frames."""

    def weight(entry: tuple[Point, PointPayload]) -> tuple[float, str]:
        point, payload = entry
        area = payload.mean_area_frac or payload.area_frac or 0.0
        return -area * (payload.frames or 1), point.id

    tracks = sorted(tracks, key=weight)
    shot_of = {payload.shot: payload for _, payload in shots}
    in_order = sorted(shots, key=lambda entry: (entry[1].t_start or 0.0, entry[0].id))
    return TimelineAnswer(
        image_id=video.image_id,
        uri=video.uri,
        width=video.width,
        height=video.height,
        duration=video.video_duration,
        shots=tuple(_answer_shot(*entry) for entry in in_order[:_MAX_SHOTS]),
        tracks=tuple(
            _answer_track(point, payload, shot_of.get(payload.shot))
            for point, payload in tracks[:limit]
        ),
        left_out=max(len(tracks) - limit, 0),
    )


def _answer_shot(point: Point, payload: PointPayload) -> ShotAnswer:
    return ShotAnswer(
        object_id=point.id,
        shot=payload.shot or 0,
        t_start=payload.t_start or 0.0,
        t_end=payload.t_end or 0.0,
        clip=choose_span(payload, payload),
    )


def _answer_track(point: Point, payload: PointPayload, shot: PointPayload | None) -> TrackAnswer:
    start_s, end_s = payload.t_start or 0.0, payload.t_end or 0.0
    label = payload.labels[0] if payload.labels else payload.segmenter_label
    thumbnail = f"/v1/objects/{point.id}/thumbnail.webp"
    return TrackAnswer(
        object_id=point.id,
        label=label,
        shot=payload.shot,
        t_start=start_s,
        t_end=end_s,
        t_key=payload.t_key or start_s,
        duration=payload.duration or 0.0,
        clip=choose_span(payload, shot),
        thumbnail=None if payload.thumbnail_check is None else thumbnail,
    )
