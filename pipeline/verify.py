"""Hold manifest, index and source against each other, image by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
from pydantic import ValidationError

from pipeline.listing import ListingCounts, listed_images
from pipeline.manifest import Manifest, manifest_folder
from pipeline.progress import Progress
from pipeline.settings import Settings
from schemas.errors import IndexMissingError
from schemas.ids import Generation, image_id
from schemas.images import ImageRef
from schemas.manifest import ManifestRow, State
from schemas.payload import PointPayload, checksum, digest
from schemas.records import Float32Vector
from schemas.search import RawPoint
from workers.indexes import open_index
from workers.protocols import ObjectStore
from workers.stores import build_store

_STAGE = "verify"
# Of a unit vector in float32, normed once more by the index.
_LENGTH_TOLERANCE = 1e-3
_POINTS_A_NOTE = 50_000


class Fault(StrEnum):
    """What can be wrong with an image.

    missing: points that were written are not in the index. extra: points of an image that should
    have none. stale: points of another generation than the one recorded. altered: the payloads are
    not those that were written. not finite: a vector that is none, or is no unit. changed: the
    source has another version. gone: the source has it no more. new: the source has it, and it was
    never ingested.
    """

    MISSING = "missing"
    EXTRA = "extra"
    STALE = "stale"
    ALTERED = "altered"
    NOT_FINITE = "not finite"
    CHANGED = "changed"
    GONE = "gone"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one image; `points` are those it concerns, 0 where it concerns the image."""

    fault: Fault
    uri: str
    points: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at and found: `images` by their state, `points` of the index.

    `stray` are ids of points that no image should have, `queued` rows that say of damaged images
    that they have to be done again.
    """

    images: Mapping[State, int]
    points: int
    findings: Sequence[Finding]
    stray: Sequence[str]
    queued: Sequence[ManifestRow]


@dataclass(slots=True)
class _Image:
    """What an image should have in the index, and what of it has been seen."""

    state: State
    generation: str
    fingerprint: str
    points: int
    checksum: str
    seen: int = 0
    digests: int = 0
    unreadable: int = 0
    not_finite: int = 0
    listed: bool = False
    changed: bool = False

    def damage(self) -> Iterator[tuple[Fault, int]]:
        """What is wrong with its points, and how many of them."""
        if self.seen != self.points:
            fault = Fault.MISSING if self.seen < self.points else Fault.EXTRA
            yield fault, abs(self.points - self.seen)
        elif self.unreadable:
            yield Fault.ALTERED, self.unreadable
        elif self.checksum and checksum([self.digests]) != self.checksum:
            yield Fault.ALTERED, 0
        if self.not_finite:
            yield Fault.NOT_FINITE, self.not_finite


def verify(
    settings: Settings,
    sources: Sequence[str] = (),
    progress: Progress | None = None,
    *,
    repairing: bool = False,
) -> Report:
    """Compare every point of the index with the manifest, and the manifest with `sources`.

    `repairing`: stray points are deleted, and damaged images are recorded as failed, so that the
    next ingest does them again. Images that have failed are waiting for it already, whatever the
    index has of them. Half a kilobyte of memory an image. Raises IndexMissingError, IndexBusyError,
    and what a listing raises.
    """
    progress = progress or Progress()
    manifest = Manifest(manifest_folder(settings.index.location))
    if not manifest.exists():
        raise IndexMissingError(
            f"expected an index at {settings.index.location!r}, nothing was ingested there"
        )
    # Nothing may be written between what is found and its repair.
    with closing(open_index(settings.index, None)) as index:
        progress.note("reading the manifest")
        comparison = _Comparison(manifest)
        for number, point in enumerate(index.scan()):
            if number % _POINTS_A_NOTE == 0:
                progress.note(f"{number:,} points compared")
            comparison.take_point(point)
        if sources:
            progress.note("listing images")
            for ref in listed_images(sources, settings.store, ListingCounts()):
                comparison.take_listed(ref)
        report = comparison.report([build_store(source, settings.store) for source in sources])
        if repairing:
            if report.stray:
                index.delete_points(report.stray)
            manifest.append(report.queued)
            manifest.flush()
    return report


class _Comparison:
    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._points = 0
        self._stray: list[str] = []
        # By fault and uri; the uri is all that is known of an image without a row.
        self._strays: Counter[tuple[Fault, str]] = Counter()
        self._new: list[str] = []
        self._images = {
            row.image_id: _Image(
                row.state, row.generation, row.fingerprint, row.objects + 1, row.checksum
            )
            for row in manifest.latest()
        }

    def take_point(self, point: RawPoint) -> None:
        self._points += 1
        image = self._images.get(str(point.payload.get("image_id")))
        uri = str(point.payload.get("uri") or f"point {point.id}")
        if image is not None and image.state is State.FAILED:
            return  # the next ingest replaces whatever it has
        if image is None or image.state is not State.DONE:
            self._call_stray(Fault.EXTRA, point.id, uri)
        elif point.payload.get("generation") != image.generation:
            self._call_stray(Fault.STALE, point.id, uri)
        else:
            image.seen += 1
            image.not_finite += not _is_unit(point.vector)
            try:
                payload = PointPayload.model_validate(dict(point.payload))
            except ValidationError:
                image.unreadable += 1
            else:
                image.digests += digest(point.id, payload)

    def _call_stray(self, fault: Fault, point_id: str, uri: str) -> None:
        self._stray.append(point_id)
        self._strays[fault, uri] += 1

    def take_listed(self, ref: ImageRef) -> None:
        image = self._images.get(str(image_id(ref)))
        if image is None or image.state is State.GONE:
            self._new.append(ref.uri)
        else:
            image.listed = True
            image.changed = Generation(ref.version, image.fingerprint).id != image.generation

    def report(self, stores: Sequence[ObjectStore]) -> Report:
        """What has been found; `stores` are those whose images were listed."""
        findings = [Finding(fault, uri, count) for (fault, uri), count in self._strays.items()]
        findings += [Finding(Fault.NEW, uri) for uri in self._new]
        states: Counter[State] = Counter()
        queued = []
        for row in self._manifest.latest():
            image = self._images[row.image_id]
            states[row.state] += 1
            if image.changed:
                findings.append(Finding(Fault.CHANGED, row.uri))
            elif stores and _is_gone(row, image, stores):
                findings.append(Finding(Fault.GONE, row.uri))
            damage = list(image.damage()) if row.state is State.DONE else []
            findings += [Finding(fault, row.uri, count) for fault, count in damage]
            if damage:
                queued.append(_failed(row, [fault for fault, _ in damage]))
        findings.sort(key=lambda finding: (finding.uri, finding.fault))
        return Report(
            {state: states[state] for state in State}, self._points, findings, self._stray, queued
        )


def _is_unit(vector: Float32Vector | None) -> bool:
    return (
        vector is not None
        and bool(np.isfinite(vector).all())
        and abs(float(np.linalg.norm(vector)) - 1) <= _LENGTH_TOLERANCE
    )


def _is_gone(row: ManifestRow, image: _Image, stores: Sequence[ObjectStore]) -> bool:
    if image.listed or row.state is State.GONE:
        return False
    ref = ImageRef.from_uri(row.uri, row.version, row.size_bytes)
    return any(store.covers(ref) for store in stores)


def _failed(row: ManifestRow, faults: Sequence[Fault]) -> ManifestRow:
    """The row that queues an image for the next ingest."""
    return replace(
        row,
        at=datetime.now(UTC),
        state=State.FAILED,
        objects=0,
        stage=_STAGE,
        error_class="VectorIndexError",
        message=f"expected the points that were written, got them {', '.join(faults)} ({row.uri})",
        retryable=True,
        checksum="",
    )
