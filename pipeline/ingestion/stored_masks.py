"""Reads the masks of an index back, for images that are to be embedded anew."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from schemas.errors import VectorIndexError
from schemas.ids import ImageRevision, image_id, object_id
from schemas.images import Failure, Stage
from schemas.manifest import ManifestRow
from schemas.masks import ObjectMask
from schemas.points import Point
from schemas.work import WorkItem
from workers.protocols import VectorIndex


def read_stored_masks(
    rows: Sequence[ManifestRow], index: VectorIndex
) -> tuple[list[WorkItem], list[Failure]]:
    """The images of rows that are done, with all their masks.

    Those that lack some, or have broken ones, are failures.
    """
    ids = {row.image_id: _compute_object_ids(row) for row in rows}
    stored = index.stored([identity for row_ids in ids.values() for identity in row_ids])
    items, failures = [], []
    for row in rows:
        ref = row.ref
        points = [stored[identity] for identity in ids[row.image_id] if identity in stored]
        try:
            if len(points) != row.objects:
                raise ValueError(f"expected {row.objects} masks in the index, got {len(points)}")
            items.append(WorkItem(ref, tuple(map(_build_mask, points))))
        except (ValueError, VectorIndexError) as exc:
            error = VectorIndexError(
                f"{exc} ({row.uri}): `objseek verify --repair` has the image done again"
            )
            failures.append(Failure.from_error(ref, Stage.EMBED, error))
    return items, failures


def _build_mask(point: Point) -> ObjectMask:
    """The mask of a point. Raises VectorIndexError, ValueError for one that is broken."""
    payload = point.parse_payload()
    try:
        payload.check_shape()
    except ValueError as exc:
        raise ValueError(f"point {point.id} is broken, {exc}") from exc
    if payload.rle is None:
        raise ValueError(f"expected the mask of an object, point {point.id} has none")
    # The prompt is not stored: the middle of the box stands for it.
    x0, y0, x1, y1 = payload.bbox
    return ObjectMask(
        rle=payload.rle.to_rle(),
        bbox_xyxy=payload.bbox,
        area_px=payload.area,
        predicted_iou=payload.predicted_iou,
        stability_score=payload.stability_score,
        point_xy=((x0 + x1) / 2, (y0 + y1) / 2),
        segmenter_label=payload.segmenter_label,
        segmenter_score=payload.segmenter_score,
    )


def _compute_object_ids(row: ManifestRow) -> list[UUID]:
    revision = ImageRevision(row.version, row.fingerprint)
    identity = image_id(row.ref)
    return [object_id(identity, revision, ordinal) for ordinal in range(row.objects)]
