"""Builds what a video brings into the index, of its shots and their tracks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from schemas.ids import ImageRevision, image_id, object_id, shot_ordinal
from schemas.images import ImageRef
from schemas.masks import ObjectMask
from schemas.nesting import Level
from schemas.options import VideoOptions
from schemas.pipelines import Pipeline
from schemas.records import (
    VECTOR_NAME,
    EmbeddedImage,
    ImageRecord,
    ObjectRecord,
    TimeSpan,
)
from schemas.videos import Shot, ShotPart, Track, VideoInfo
from workers.videos.summarise_track import summarise_track
from workers.videos.worth import find_track_vector, make_unit


@dataclass(frozen=True, slots=True)
class VideoMaker:
    """What videos are made with: a pipeline that has options of videos."""

    pipeline: Pipeline

    @property
    def options(self) -> VideoOptions:
        """How videos are looked into."""
        return self.pipeline.video or VideoOptions()

    def revision(self, ref: ImageRef) -> ImageRevision:
        """What the records of a video are made from."""
        return ImageRevision(ref.version, self.pipeline.fingerprint)

    def build(self, ref: ImageRef, info: VideoInfo, shots: Sequence[Shot]) -> EmbeddedImage:
        """The video with its shots and tracks, not labelled yet. There is a shot or more."""
        identity, revision = image_id(ref), self.revision(ref)
        wholes = [
            _record_shot(object_id(identity, revision, shot_ordinal(number)), shot.part, number)
            for number, shot in enumerate(shots)
        ]
        tracks = [(number, track) for number, shot in enumerate(shots) for track in shot.tracks]
        objects = [
            _record_track(object_id(identity, revision, ordinal), track, number)
            for ordinal, (number, track) in enumerate(tracks)
        ]
        return EmbeddedImage(
            ref=ref,
            size_hw=info.size_hw,
            revision=revision,
            segmenter=self.pipeline.segmenter,
            embedder=self.pipeline.embedder,
            whole=wholes[0],
            later_shots=tuple(wholes[1:]),
            objects=tuple(objects),
            duration_s=_last_time(info, shots),
        )


def keep_tracks(video: EmbeddedImage, masks: Sequence[ObjectMask | None]) -> EmbeddedImage:
    """The video with these masks for its objects, without those that are None; numbered anew."""
    identity, revision = image_id(video.ref), video.revision
    kept = [
        (record, mask)
        for record, mask in zip(video.objects, masks, strict=True)
        if mask is not None
    ]
    objects = (
        replace(record, object_id=object_id(identity, revision, ordinal), mask=mask)
        for ordinal, (record, mask) in enumerate(kept)
    )
    return replace(video, objects=tuple(objects))


def _record_shot(identity: UUID, part: ShotPart, number: int) -> ImageRecord:
    times = part.times_s
    return ImageRecord(
        identity,
        {VECTOR_NAME: make_unit(part.vector_sum)},
        part.typical_thumbnail,
        TimeSpan(times[0], times[-1], part.typical_s, len(times), number),
    )


def _record_track(identity: UUID, track: Track, shot: int) -> ObjectRecord:
    summary = summarise_track(track)
    span = TimeSpan(
        track.start_s,
        track.end_s,
        track.best.time_s,
        len(track.sightings),
        shot,
        summary.mean_area_frac,
        summary.motion,
    )
    return ObjectRecord(
        identity,
        track.best.mask,
        {VECTOR_NAME: find_track_vector(track)},
        thumbnail=track.thumbnail,
        level=Level.WHOLE,
        span=span,
    )


def _last_time(info: VideoInfo, shots: Iterable[Shot]) -> float:
    seen = max(shot.part.times_s[-1] for shot in shots)
    return round(max(seen, info.duration_s or 0.0), 3)
