"""Tells what points an index is to have by its manifest: as many, and which were added by hand."""

from __future__ import annotations

from collections import defaultdict

from pipeline.manifest.manifest import Manifest
from schemas.manifest import ManifestRow, State


def row_key(row: ManifestRow) -> tuple[str, str]:
    """The image's id and version."""
    return row.image_id, row.version


def added_ids(manifest: Manifest) -> dict[tuple[str, str], set[str]]:
    """The ids of what was added by hand, by image id and version."""
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in manifest.added.all().values():
        ids[record.image_id, record.version].add(record.object_id)
    return dict(ids)


def count_points(manifest: Manifest) -> int:
    """How many points the images that are done have."""
    added = added_ids(manifest)
    done = (row for row in manifest.latest() if row.state is State.DONE)
    return sum(row.points + len(added.get(row_key(row), ())) for row in done)
