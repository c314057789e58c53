"""Computes checksums of the payloads of an image's points."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime

from schemas.payload import FLOAT_FIELDS, OWN, TIME_FIELDS, OwnValue, PointPayload, payload_of
from schemas.records import EmbeddedImage
from schemas.thumbnails import THUMBNAIL

# They depend on the run, follow from other fields, or may be given again at any time.
_NOT_DIGESTED = {
    "ingested_at", "run_started_at", "labels", "label_scores", "label_logsumexp", "labelled_by",
    "center_x_frac", "center_y_frac", "level", "parent_id", "tags",
    THUMBNAIL,  # its check stands for it
}  # fmt: skip
# Points of older indexes have been digested without them.
_DIGESTED_IF_THERE = (
    "thumbnail_box", "thumbnail_check", "segmenter_label", "segmenter_score", "added",
    "frames", "shot", "mean_area_frac", "motion", *TIME_FIELDS, OWN,
)  # fmt: skip
_DIGEST_BYTES = 16
_DECIMALS = 6
_OWN_DIGITS = 12
_NEVER = datetime.fromtimestamp(0, UTC)


def digest(point_id: str, payload: PointPayload) -> int:
    """128 bits over a point's id and payload, except for `_NOT_DIGESTED`."""
    # An index may change the last bit of a number when it reads it from JSON.
    rounded: dict[str, object] = {
        name: round(value, _DECIMALS)
        for name in FLOAT_FIELDS
        if name not in _NOT_DIGESTED and (value := getattr(payload, name)) is not None
    }
    absent = {name for name in _DIGESTED_IF_THERE if getattr(payload, name) is None}
    excluded = _NOT_DIGESTED | absent
    if payload.own is not None:
        rounded["own"] = {name: _round_own(value) for name, value in payload.own.items()}
    text = point_id + payload.model_copy(update=rounded).model_dump_json(exclude=excluded)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest())


def _round_own(value: OwnValue) -> OwnValue:
    # Of any magnitude, so by its digits.
    return float(f"{value:.{_OWN_DIGITS}g}") if isinstance(value, float) else value


def checksum(digests: Iterable[int]) -> str:
    """32 hex digits over the digests of an image's points, in any order."""
    return f"{sum(digests) % 2 ** (8 * _DIGEST_BYTES):0{2 * _DIGEST_BYTES}x}"


def checksum_of(image: EmbeddedImage) -> str:
    """The checksum of the points that an image brings into an index."""
    return checksum(
        digest(str(record.object_id), payload_of(image, record, ordinal, _NEVER))
        for ordinal, record in image.records
    )
