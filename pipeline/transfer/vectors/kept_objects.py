"""Keeps the objects that were added to an image by hand when its rows are imported again."""

from __future__ import annotations

from dataclasses import replace

from pipeline.manifest.manifest import Manifest
from pipeline.transfer.vectors.imported_images import ImportedImage
from schemas.points import Point
from schemas.search import Condition
from workers.protocols import VectorIndex


class AddedByHand:
    """The objects that an index had when this began."""

    def __init__(self, manifest: Manifest, index: VectorIndex) -> None:
        self._index = index
        self._versions = {
            identity: {each.version for each in objects}
            for identity, objects in manifest.added.by_image().items()
        }

    def of(self, image: ImportedImage) -> list[Point]:
        """Those of an image in this version, as they are beside its new points."""
        if image.ref.version not in self._versions.get(str(image.id), ()):
            return []
        own = Condition(field="image_id", op="=", value=str(image.id))
        added = Condition(field="added", op="=", value="true")
        now = {
            "generation": image.revision.id,
            "fingerprint": image.revision.fingerprint,
            "run_started_at": image.points[0].payload["run_started_at"],
        }
        found = list(self._index.scan([own, added], words=True))
        return [replace(point, payload={**point.payload, **now}) for point in found]
