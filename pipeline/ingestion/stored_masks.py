"""The masks that an index has, back on the images that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from schemas.errors import VectorIndexError
from schemas.ids import Generation, image_id, object_id
from schemas.images import Failure, ImageRef, Stage
from schemas.manifest import ManifestRow
from schemas.masks import ObjectMask, SegmentedImage
from schemas.payload import PointPayload
from workers.protocols import VectorIndex


def with_masks(
    rows: Sequence[ManifestRow], index: VectorIndex
) -> tuple[list[SegmentedImage], list[Failure]]:
    """The images of rows that are done, with all their masks; those that lack some are failures."""
    wanted = {row.image_id: _object_ids(row) for row in rows}
    stored = index.stored([one for ids in wanted.values() for one in ids])
    images, failures = [], []
    for row in rows:
        ref = ImageRef.from_uri(row.uri, row.version, row.size_bytes)
        payloads = [stored[one].parse_payload() for one in wanted[row.image_id] if one in stored]
        if len(payloads) == row.objects:
            images.append(SegmentedImage.from_ref(ref, map(mask_of, payloads)))
        else:
            error = VectorIndexError(
                f"expected {row.objects} masks in the index, got {len(payloads)} ({row.uri}): "
                "`objseek verify --repair` has the image done again"
            )
            failures.append(Failure.from_error(ref, Stage.EMBED, error))
    return images, failures


def mask_of(payload: PointPayload) -> ObjectMask:
    """The mask of an object's point; its prompt, which is not kept, is the middle of its box."""
    if payload.rle is None:
        raise VectorIndexError(f"expected the mask of an object, got none ({payload.uri})")
    x0, y0, x1, y1 = payload.bbox
    return ObjectMask(
        rle=payload.rle.to_rle(),
        bbox_xyxy=payload.bbox,
        area_px=payload.area,
        predicted_iou=payload.predicted_iou or 0.0,
        stability_score=payload.stability_score or 0.0,
        point_xy=((x0 + x1) / 2, (y0 + y1) / 2),
    )


def _object_ids(row: ManifestRow) -> list[UUID]:
    ref = ImageRef.from_uri(row.uri, row.version, row.size_bytes)
    generation = Generation(row.version, row.fingerprint)
    identity = image_id(ref)
    return [object_id(identity, generation, ordinal) for ordinal in range(row.objects)]
