"""Embeds videos anew by the masks that are kept of them: of each track its best frames.

Such a frame is worked on as an image whose objects are known, so a video is as many as it has of
them; when all have come back, the video is put together and labelled.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np

from pipeline.manifest.track_files import TrackFiles
from schemas.errors import ObjseekError, VectorIndexError
from schemas.ids import ImageRevision, image_id, object_id, shot_ordinal
from schemas.images import Failure, ImageRef, Stage
from schemas.manifest import ManifestRow
from schemas.masks import ObjectMask
from schemas.payload import PointPayload
from schemas.pipelines import Pipeline
from schemas.records import (
    VECTOR_NAME,
    EmbeddedImage,
    Float32Vector,
    ImageRecord,
    ObjectRecord,
    Result,
    TimeSpan,
)
from schemas.videos import Sighting, Track
from schemas.work import Worked, WorkItem
from workers.protocols import VectorIndex
from workers.videos.worth import BEST_FRAMES, make_unit, measure_worth

# Times in an index are rounded.
_SLACK_S = 1e-5


@dataclass
class _OpenVideo:
    """A video whose frames are out. `frames`: of each time the ordinals of what is looked at."""

    ref: ImageRef
    shots: Sequence[PointPayload]
    objects: Sequence[PointPayload]
    sightings: Sequence[Sequence[Sighting]]
    frames: dict[float, list[int]]
    came: dict[float, EmbeddedImage] = field(default_factory=dict)


class ReembeddedVideos:
    """Hands out frames of videos, and puts videos together from what becomes of them.

    `kept` are the masks in the generation before, `tracks` those of the new one; `pipeline` is the
    new one of videos.
    """

    def __init__(
        self, old: VectorIndex, kept: TrackFiles, tracks: TrackFiles, pipeline: Pipeline
    ) -> None:
        self._old, self._kept, self._tracks = old, kept, tracks
        self._pipeline = pipeline
        self._open: dict[ImageRef, _OpenVideo] = {}
        self._due: deque[WorkItem] = deque()
        self._failed: list[Failure] = []

    def items(self, rows: Iterable[ManifestRow], batch_size: int) -> Iterator[list[WorkItem]]:
        """Chunks of frames, a video at a time; an empty one: their results are waited for."""
        for row in rows:
            frames = self._begin(row)
            for first in range(0, len(frames), batch_size):
                yield frames[first : first + batch_size]
            while self._due:
                yield [self._due.popleft()]
        while self._open:
            yield [self._due.popleft()] if self._due else []

    def take(self, worked: Sequence[Worked]) -> list[Result]:
        """Those of the results that are final. Raises what `Parts` raise."""
        final: list[Result] = [*self._failed]
        self._failed = []
        for result in worked:
            if not isinstance(result, EmbeddedImage | Failure):
                continue
            ref = replace(result.ref, time_s=None)
            video = self._open.get(ref)
            if video is None:
                continue
            if isinstance(result, Failure):
                del self._open[ref]
                final.append(replace(result, ref=ref))
            elif result.ref.time_s is not None:
                video.came[result.ref.time_s] = result
                if len(video.came) == len(video.frames):
                    self._due.append(WorkItem(ref, video=self._build(video)))
            else:
                del self._open[ref]
                self._keep_tracks(video, result)
                final.append(result)
        return final

    def _begin(self, row: ManifestRow) -> list[WorkItem]:
        """The frames of a video that are to be looked at; none of one whose masks are not there."""
        try:
            video = self._read(row)
        except (ValueError, ObjseekError) as exc:
            error = VectorIndexError(
                f"{exc} ({row.uri}): `objseek verify --repair` has the video done again"
            )
            self._failed.append(Failure.from_error(row.ref, Stage.EMBED, error))
            return []
        self._open[video.ref] = video
        return [
            WorkItem(replace(video.ref, time_s=time_s), self._masks_at(video, time_s))
            for time_s in sorted(video.frames)
        ]

    def _masks_at(self, video: _OpenVideo, time_s: float) -> tuple[ObjectMask, ...]:
        return tuple(
            next(each.mask for each in video.sightings[ordinal] if each.time_s == time_s)
            for ordinal in video.frames[time_s]
        )

    def _read(self, row: ManifestRow) -> _OpenVideo:
        revision = ImageRevision(row.version, row.fingerprint)
        identity = UUID(row.image_id)
        shots = self._read_points(
            [object_id(identity, revision, shot_ordinal(shot)) for shot in range(row.shots)]
        )
        objects = self._read_points(
            [object_id(identity, revision, ordinal) for ordinal in range(row.objects)]
        )
        sightings = self._kept.read_all(row.image_id, revision.id)
        if len(sightings) != len(objects):
            raise ValueError(f"expected masks of {len(objects)} objects, got {len(sightings)}")
        frames: dict[float, list[int]] = defaultdict(list)
        for shot in shots:
            frames[shot.t_key or 0.0] = []
        for ordinal, seen in enumerate(sightings):
            for each in _choose_best(seen):
                frames[each.time_s].append(ordinal)
        return _OpenVideo(row.ref, shots, objects, sightings, dict(frames))

    def _read_points(self, ids: Sequence[UUID]) -> list[PointPayload]:
        found = self._old.stored(ids)
        if len(found) != len(ids):
            raise ValueError(f"expected {len(ids)} points of a video, got {len(found)}")
        return [found[identity].parse_payload() for identity in ids]

    def _build(self, video: _OpenVideo) -> EmbeddedImage:
        """The video with new vectors, not labelled yet."""
        identity = image_id(video.ref)
        revision = ImageRevision(video.ref.version, self._pipeline.fingerprint)
        wholes = [
            ImageRecord(
                object_id(identity, revision, shot_ordinal(number)),
                {VECTOR_NAME: _mean_of_shot(video, shot)},
                video.came[shot.t_key or 0.0].whole.thumbnail,
                _span_of(shot),
            )
            for number, shot in enumerate(video.shots)
        ]
        objects = (
            self._build_object(video, ordinal, object_id(identity, revision, ordinal))
            for ordinal in range(len(video.objects))
        )
        first = video.shots[0]
        return EmbeddedImage(
            ref=video.ref,
            size_hw=(first.height, first.width),
            revision=revision,
            segmenter=first.segmenter,
            embedder=self._pipeline.embedder,
            whole=wholes[0],
            later_shots=tuple(wholes[1:]),
            objects=tuple(objects),
            duration_s=first.video_duration,
        )

    def _build_object(self, video: _OpenVideo, ordinal: int, identity: UUID) -> ObjectRecord:
        best = _choose_best(video.sightings[ordinal])
        records = [
            video.came[each.time_s].objects[video.frames[each.time_s].index(ordinal)]
            for each in best
        ]
        total: Float32Vector = np.sum([record.vectors[VECTOR_NAME] for record in records], axis=0)
        payload = video.objects[ordinal]
        # The masks of frames do not have the text by which a track was chosen.
        mask = replace(
            best[0].mask,
            segmenter_label=payload.segmenter_label,
            segmenter_score=payload.segmenter_score,
        )
        return ObjectRecord(
            identity,
            mask,
            {VECTOR_NAME: make_unit(total)},
            thumbnail=records[0].thumbnail,
            level=payload.level,
            span=replace(_span_of(payload), key_s=best[0].time_s),
        )

    def _keep_tracks(self, video: _OpenVideo, result: EmbeddedImage) -> None:
        nothing = np.zeros(0, np.float32)
        tracks = [Track(tuple(seen), nothing) for seen in video.sightings]
        self._tracks.write(result, tracks, str(image_id(video.ref)))


def _choose_best(sightings: Sequence[Sighting]) -> list[Sighting]:
    """Those by whose vectors a track is searched, the best first."""
    ranked = sorted(sightings, key=lambda each: (-measure_worth(each.mask), each.time_s))
    return ranked[:BEST_FRAMES]


def _mean_of_shot(video: _OpenVideo, shot: PointPayload) -> Float32Vector:
    """The unit mean of the shot's frames that are looked at."""
    start_s, end_s = shot.t_start or 0.0, shot.t_end or 0.0
    within = [
        image.whole.vectors[VECTOR_NAME]
        for time_s, image in video.came.items()
        if time_s == shot.t_key or start_s - _SLACK_S <= time_s <= end_s + _SLACK_S
    ]
    total: Float32Vector = np.sum(within, axis=0)
    return make_unit(total)


def _span_of(payload: PointPayload) -> TimeSpan:
    return TimeSpan(
        payload.t_start or 0.0,
        payload.t_end or 0.0,
        payload.t_key or 0.0,
        payload.frames or 1,
        payload.shot or 0,
        payload.mean_area_frac,
        payload.motion,
    )
