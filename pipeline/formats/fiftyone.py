"""Writes objects as samples of FiftyOne's own format for datasets, JSON of MongoDB's."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pipeline.formats.exported_object import ExportedImage, ExportedObject
from schemas.payload import PointPayload

METADATA, SAMPLES, DATA = "metadata.json", "samples.json", "data"
FIELD = "objects"
"""Of a sample: its detections."""
_VERSION = "1.0.0"
"""Of the layout that `write_dataset` describes; later FiftyOnes migrate it."""
_ID_DIGITS, _RANDOM_DIGITS = 24, 13
_TEXT, _FLOAT, _INTEGER, _LIST = "StringField", "FloatField", "IntField", "ListField"
_EMBEDDED, _ID, _TIME = "EmbeddedDocumentField", "ObjectIdField", "DateTimeField"


def write_dataset(labels: Iterable[str]) -> dict[str, Any]:
    """The document of a dataset: the fields that samples have, and the classes of detections."""
    names = list(labels)
    return {
        "version": _VERSION,
        "media_type": "image",
        "tags": [],
        "info": {"source": "objseek"},
        "app_config": {},
        "classes": {FIELD: names},
        "default_classes": [],
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": _list_sample_fields(),
        "frame_fields": [],
        **{name: [] for name in ("saved_views", "workspaces")},
        **{name: {} for name in ("annotation_runs", "brain_methods", "evaluations", "runs")},
    }


def write_sample(
    image: ExportedImage, filepath: str, detections: Sequence[dict[str, Any]], tags: Sequence[str]
) -> dict[str, Any]:
    """An image at a path below the dataset's folder, with its detections."""
    digest = hashlib.sha256(f"{image.image_id} {image.generation}".encode()).hexdigest()
    height, width = image.size_hw
    return {
        "_id": {"$oid": digest[:_ID_DIGITS]},
        "filepath": filepath,
        "tags": [*tags],
        "metadata": {"_cls": "ImageMetadata", "width": width, "height": height},
        "_media_type": "image",
        # By which FiftyOne shuffles; of the id, so that an export is the same again.
        "_rand": int(digest[-_RANDOM_DIGITS:], 16) / 16**_RANDOM_DIGITS,
        "uri": image.uri,
        FIELD: {"_cls": "Detections", "detections": [*detections]},
    }


def write_detection(found: ExportedObject, payload: PointPayload) -> dict[str, Any]:
    """An object: its box in shares of the image, its mask in the box, tags and scores.

    Raises ValueError for an invalid mask.
    """
    height, width = found.image.size_hw
    x0, y0, x1, y1 = found.bbox_xyxy
    return {
        "_id": {"$oid": found.object_id.replace("-", "")[:_ID_DIGITS]},
        "_cls": "Detection",
        "attributes": {},
        "tags": list(payload.tags or ()),
        "label": found.label,
        "bounding_box": [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height],
        "mask": _write_mask(found),
        "confidence": found.score,
        "object_id": found.object_id,
        "predicted_iou": payload.predicted_iou,
        "stability_score": payload.stability_score,
    }


def _write_mask(found: ExportedObject) -> dict[str, Any]:
    """The mask in its box as a compressed .npy file of bool (height, width)."""
    x0, y0, x1, y1 = found.bbox_xyxy
    file = io.BytesIO()
    np.save(file, found.rle.decode_columns(x0, x1)[y0:y1])
    packed = base64.b64encode(zlib.compress(file.getvalue())).decode("ascii")
    return {"$binary": {"base64": packed, "subType": "00"}}


def _list_sample_fields() -> list[dict[str, Any]]:
    tags = _field("tags", _LIST, subfield=_TEXT)
    detection = [
        _field("id", _ID, db_field="_id"),
        tags,
        _field("label", _TEXT),
        _field("bounding_box", _LIST, subfield=_FLOAT),
        _field("mask", "ArrayField"),
        _field("confidence", _FLOAT),
        _field("object_id", _TEXT),
        _field("predicted_iou", _FLOAT),
        _field("stability_score", _FLOAT),
    ]
    found = _field(
        "detections", _LIST, subfield=_EMBEDDED, kind="labels.Detection", fields=detection
    )
    sizes = [_field(name, _INTEGER) for name in ("size_bytes", "width", "height", "num_channels")]
    described = [sizes[0], _field("mime_type", _TEXT), *sizes[1:]]
    return [
        _field("id", _ID, db_field="_id"),
        _field("filepath", _TEXT),
        tags,
        _field("metadata", _EMBEDDED, kind="metadata.ImageMetadata", fields=described),
        _field("created_at", _TIME, read_only=True),
        _field("last_modified_at", _TIME, read_only=True),
        _field("uri", _TEXT),
        _field(FIELD, _EMBEDDED, kind="labels.Detections", fields=[found]),
    ]


def _field(
    name: str,
    form: str,
    *,
    subfield: str | None = None,
    kind: str | None = None,
    fields: Sequence[dict[str, Any]] = (),
    **more: object,
) -> dict[str, Any]:
    core = "fiftyone.core"
    return {
        "name": name,
        "ftype": f"{core}.fields.{form}",
        "embedded_doc_type": None if kind is None else f"{core}.{kind}",
        "subfield": None if subfield is None else f"{core}.fields.{subfield}",
        "fields": [*fields],
        "db_field": name,
        "description": None,
        "info": None,
        "read_only": False,
        **more,
    }
