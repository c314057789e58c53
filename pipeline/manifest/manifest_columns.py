"""Reads columns of a manifest's rows: which boxes and versions images were done with, and keys."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.manifest.image_keys import Keys, keys_of, version_of_video
from schemas.errors import ManifestError


def filter_by_boxes(table: pa.Table, boxes: Mapping[str, str]) -> pa.Table:
    """The rows of images that were done with just these boxes, or without where none are given."""
    if not boxes:
        return table.filter(pc.field("boxes") == "")
    pairs = zip(table["image_id"].to_pylist(), table["boxes"].to_pylist(), strict=True)
    return table.filter(
        pa.array([boxes.get(image, "") == done for image, done in pairs], pa.bool_())
    )


def list_versions(table: pa.Table, of_videos: str | None) -> list[str]:
    """The versions of images; those of videos, by their fingerprint, as `version_of_video`."""
    versions: list[str] = table["version"].to_pylist()
    for row in np.flatnonzero(pc.equal(table["fingerprint"], of_videos or "")).tolist():
        versions[row] = version_of_video(versions[row])
    return versions


def list_keys(ids: pa.ChunkedArray) -> Keys:
    """The keys of image ids. Raises ManifestError for what is none."""
    try:
        return keys_of(ids.combine_chunks())
    except ValueError as exc:
        raise ManifestError(f"the manifest is damaged: {exc}") from exc
