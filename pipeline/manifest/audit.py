"""Compares an index with its manifest, image by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
from pydantic import ValidationError

from pipeline.manifest.manifest import Manifest
from pipeline.manifest.touched_files import is_recorded
from pipeline.manifest.track_files import TrackFiles
from pipeline.messages import quantify
from schemas.added import AddedObject
from schemas.checksums import checksum, digest
from schemas.errors import ObjseekError, VectorIndexError
from schemas.ids import image_id
from schemas.images import ImageRef
from schemas.manifest import ManifestRow, State
from schemas.payload import PointPayload
from schemas.points import Point
from schemas.records import Float32Vector
from schemas.thumbnails import thumbnail_check
from workers.protocols import ObjectStore
from workers.stores.selection import ARCHIVED

_STAGE = "verify"
# Of a unit vector in float32, normed once more by the index.
_LENGTH_TOLERANCE = 1e-3


class Fault(StrEnum):
    """What can be wrong with an image.

    missing: points that were written are not in the index, or objects that were added by hand.
    extra: points of an image that should have none, and objects that are called added and were
    never recorded, or were removed. stale: points of another revision than the one recorded.
    altered: the payloads are not those that were written. broken: a box, area or mask that does not
    fit its image; nothing else is compared with such a mask. no thumbnail, foreign thumbnail: one
    that was written is not there, or is another's. no masks: those of a video's frames are not
    kept, or are of another revision. not finite: a vector that is absent, not finite,
    or not of unit length. changed: the source has another version. gone: it is no longer in the
    source. new: it is in the source, and was never ingested.
    """

    MISSING = "missing"
    EXTRA = "extra"
    STALE = "stale"
    ALTERED = "altered"
    BROKEN = "broken"
    NO_THUMBNAIL = "no thumbnail"
    FOREIGN_THUMBNAIL = "foreign thumbnail"
    NO_MASKS = "no masks"
    NOT_FINITE = "not finite"
    CHANGED = "changed"
    GONE = "gone"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one image; `points` is how many it concerns, 0 where it concerns the image.

    `point_ids` are theirs where they are known: of those that are broken, or whose thumbnail is.
    """

    fault: Fault
    uri: str
    points: int = 0
    point_ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.uri} ({self.fault}: {self.points})"


@dataclass(frozen=True, slots=True)
class Report:
    """The result: how many `images` there are by state, `points` in the index, and the findings.

    `stray` are ids of points that no image should have, `queued` the rows with which damaged images
    are to be done again.
    """

    images: Mapping[State, int]
    points: int
    findings: Sequence[Finding]
    stray: Sequence[str]
    queued: Sequence[ManifestRow]


@dataclass(slots=True)
class _Image:
    """What an image should have in the index, and what has been seen of it.

    `unsettled`: it may be being written right now, and is not judged.
    """

    state: State
    generation: str
    fingerprint: str
    points: int
    checksum: str
    version: str
    stamp: str
    seen: int = 0
    digests: int = 0
    unreadable: int = 0
    not_finite: int = 0
    broken: tuple[str, ...] = ()
    no_thumbnail: tuple[str, ...] = ()
    foreign_thumbnail: tuple[str, ...] = ()
    listed: bool = False
    changed: bool = False
    unsettled: bool = False
    added: dict[str, AddedObject] = field(default_factory=dict)
    """Those that were added by hand, and have not been seen."""
    altered_added: int = 0

    def take_added(self, point_id: str, payload: PointPayload) -> None:
        """Look at the payload of a point that was added by hand, and recorded."""
        self.altered_added += not _is_as_recorded(payload, self.added.pop(point_id))
        self._check_payload(point_id, payload)

    def take_payload(self, point_id: str, payload: PointPayload) -> None:
        """Look at the payload of one of its points."""
        self.digests += digest(point_id, payload)
        self._check_payload(point_id, payload)

    def _check_payload(self, point_id: str, payload: PointPayload) -> None:
        if not payload.has_sound_shape():
            self.broken += (point_id,)
        if payload.thumbnail_check is None:
            return
        if payload.thumbnail is None:
            self.no_thumbnail += (point_id,)
        elif thumbnail_check(point_id, payload.thumbnail) != payload.thumbnail_check:
            self.foreign_thumbnail += (point_id,)

    def point_ids(self, fault: Fault) -> tuple[str, ...]:
        """The points that a fault concerns, as far as they are known."""
        known = {
            Fault.BROKEN: self.broken,
            Fault.NO_THUMBNAIL: self.no_thumbnail,
            Fault.FOREIGN_THUMBNAIL: self.foreign_thumbnail,
        }
        return known.get(fault, ())

    def damage(self) -> Iterator[tuple[Fault, int]]:
        """What is wrong with its points, and how many of them."""
        missing = max(0, self.points - self.seen) + len(self.added)
        extra = max(0, self.seen - self.points)
        if missing:
            yield Fault.MISSING, missing
        if extra:
            yield Fault.EXTRA, extra
        if not missing and not extra:  # or else nothing can be held against the checksum
            yield from self._alterations()
        for fault in (Fault.NO_THUMBNAIL, Fault.FOREIGN_THUMBNAIL):
            concerned = self.point_ids(fault)
            if concerned and self.seen == self.points:
                yield fault, len(concerned)
        if self.not_finite:
            yield Fault.NOT_FINITE, self.not_finite

    def _alterations(self) -> Iterator[tuple[Fault, int]]:
        """The first thing that is wrong with payloads of points that are all there."""
        if self.unreadable or self.altered_added:
            yield Fault.ALTERED, self.unreadable + self.altered_added
        elif self.broken:
            yield Fault.BROKEN, len(self.broken)
        elif self.checksum and checksum([self.digests]) != self.checksum:
            yield Fault.ALTERED, 0


@dataclass(frozen=True, slots=True)
class _Stray:
    fault: Fault
    point_id: str
    image_id: str
    uri: str


class Comparison:
    """Takes every point of an index, then reports what is wrong. Uses half a kilobyte per image.

    `settled_before`: what was written later may not be complete yet; None where all of it is.
    `tracks`: where the masks of videos are kept, None: they are not looked for.
    """

    def __init__(
        self,
        manifest: Manifest,
        settled_before: datetime | None = None,
        tracks: TrackFiles | None = None,
    ) -> None:
        self._manifest = manifest
        self._tracks = tracks
        self._settled_before = settled_before
        self._points = 0
        self._strays: list[_Stray] = []
        self._new: list[str] = []
        added = manifest.added.by_image()
        self._images = {
            row.image_id: _Image(
                row.state,
                row.generation,
                row.fingerprint,
                row.points,
                row.checksum,
                row.version,
                row.stamp,
                added={
                    each.object_id: each
                    for each in added.get(row.image_id, ())
                    if each.version == row.version
                },
            )
            for row in manifest.latest()
        }

    def take_point(self, point: Point) -> None:
        """Count one point of the index."""
        self._points += 1
        identity = str(point.payload.get("image_id"))
        image = self._images.get(identity)
        if self._is_recent(point.payload.get("ingested_at")):
            if image is not None:
                image.unsettled = True
            return
        if image is not None and image.state is State.FAILED:
            return  # the next ingest replaces whatever points it has
        # For an image without a row the uri is all there is.
        uri = str(point.payload.get("uri") or f"point {point.id}")
        if image is None or image.state is not State.DONE:
            self._strays.append(_Stray(Fault.EXTRA, point.id, identity, uri))
        elif point.payload.get("generation") != image.generation:
            self._strays.append(_Stray(Fault.STALE, point.id, identity, uri))
        elif point.payload.get("added"):
            self._take_added(image, point, uri)
        else:
            image.seen += 1
            image.not_finite += not _is_unit(point.vector)
            payload = _parse(point)
            if payload is None:
                image.unreadable += 1
            else:
                image.take_payload(point.id, payload)

    def _take_added(self, image: _Image, point: Point, uri: str) -> None:
        if point.id not in image.added:
            self._strays.append(_Stray(Fault.EXTRA, point.id, str(point.payload["image_id"]), uri))
            return
        image.not_finite += not _is_unit(point.vector)
        payload = _parse(point)
        if payload is None:
            image.unreadable += 1
            del image.added[point.id]
        else:
            image.take_added(point.id, payload)

    def _is_recent(self, at: object) -> bool:
        if self._settled_before is None:
            return False
        try:
            return datetime.fromisoformat(str(at)) >= self._settled_before
        except (ValueError, TypeError):  # no time, or one without a zone: not written by objseek
            return False

    def take_listed(self, ref: ImageRef) -> None:
        """Count one image of the source."""
        image = self._images.get(str(image_id(ref)))
        if image is None or image.state is State.GONE:
            self._new.append(ref.uri)
        else:
            image.listed = True
            # Of an image whose version was never known, any is as good.
            image.changed = bool(image.version) and not is_recorded(ref, image.version, image.stamp)

    def take_skipped(self, reason: str, uri: str) -> None:
        """Count an object that a listing left out; a `Skipped`. What is archived is not gone."""
        if reason == ARCHIVED:
            ref = ImageRef.from_uri(uri, version="", size_bytes=0)
            image = self._images.get(str(image_id(ref)))
            if image is not None:
                image.listed = True

    def report(self, stores: Sequence[ObjectStore] = ()) -> Report:
        """The findings; `stores` are those whose images were listed."""
        findings = [Finding(Fault.NEW, uri) for uri in self._new]
        states: Counter[State] = Counter()
        queued = []
        for row in self._manifest.latest():
            states[row.state] += 1
            image = self._images.get(row.image_id)
            if image is None:  # ingested since
                continue
            image.unsettled |= self._settled_before is not None and row.at >= self._settled_before
            if image.changed:
                findings.append(Finding(Fault.CHANGED, row.uri))
            elif stores and _is_gone(row, image, stores):
                findings.append(Finding(Fault.GONE, row.uri))
            if row.state is State.DONE and not image.unsettled:
                damage = list(image.damage())
                if row.shots and self._tracks and not self._tracks.has(row):
                    damage.append((Fault.NO_MASKS, 0))
                findings += [
                    Finding(fault, row.uri, count, image.point_ids(fault))
                    for fault, count in damage
                ]
                if damage:
                    queued.append(damaged_row(row, [fault for fault, _ in damage]))
        strays = [stray for stray in self._strays if self._is_settled(stray.image_id)]
        counts = Counter((stray.fault, stray.uri) for stray in strays)
        findings += [Finding(fault, uri, count) for (fault, uri), count in counts.items()]
        findings.sort(key=lambda finding: (finding.uri, finding.fault))
        return Report(
            images={state: states[state] for state in State},
            points=self._points,
            findings=findings,
            stray=[stray.point_id for stray in strays],
            queued=queued,
        )

    def check(self, error: type[ObjseekError] = VectorIndexError) -> None:
        """Raise `error`, which names the first image, unless all points match the rows."""
        findings = self.report().findings
        if findings:
            raise error(
                "expected the points that the rows of images tell of, got others for "
                f"{quantify(len(findings), 'image')}, the first is {findings[0]}: "
                "`objseek verify --repair` mends the index that they are of"
            )

    def _is_settled(self, identity: str) -> bool:
        image = self._images.get(identity)
        return image is None or not image.unsettled


def _parse(point: Point) -> PointPayload | None:
    """The payload, None if it is none of objseek's."""
    try:
        return PointPayload.model_validate(dict(point.payload))
    except ValidationError:
        return None


def _is_as_recorded(payload: PointPayload, record: AddedObject) -> bool:
    same_mask = payload.rle is not None and payload.rle.to_rle() == record.rle
    return same_mask and payload.segmenter_label == record.label


def _is_unit(vector: Float32Vector | None) -> bool:
    return (
        vector is not None
        and bool(np.isfinite(vector).all())
        and abs(float(np.linalg.norm(vector)) - 1) <= _LENGTH_TOLERANCE
    )


def _is_gone(row: ManifestRow, image: _Image, stores: Sequence[ObjectStore]) -> bool:
    if image.listed or row.state is State.GONE:
        return False
    return any(store.covers(row.ref) for store in stores)


def damaged_row(row: ManifestRow, faults: Sequence[Fault]) -> ManifestRow:
    """The row that queues an image for the next ingest."""
    message = f"expected the points that were written, got them {', '.join(faults)} ({row.uri})"
    now, kind = datetime.now(UTC), VectorIndexError.__name__
    return row.with_failure(State.FAILED, _STAGE, kind, message, now, retryable=True)
