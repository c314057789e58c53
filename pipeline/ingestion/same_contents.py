"""Finds the masks of files that are new in name alone: moved, or copied within what is indexed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import numpy as np
import pyarrow.compute as pc

from pipeline.ingestion.stored_masks import read_stored_masks
from pipeline.manifest.image_keys import KeySet, content_keys
from pipeline.manifest.manifest import Manifest
from pipeline.manifest.touched_files import read_version
from schemas.ids import image_id
from schemas.images import ImageRef
from schemas.manifest import ManifestRow, State
from schemas.masks import ObjectMask
from workers.protocols import VectorIndex
from workers.stores.file_version import is_stamp, size_of

_READ_AT_ONCE = 8


class SameContents:
    """The contents of all files that a pipeline is done with, in 24 bytes each.

    Not of those that were segmented by boxes: these are of a name, not of a content.
    """

    def __init__(self, manifest: Manifest, fingerprint: str) -> None:
        self._manifest, self._fingerprint = manifest, fingerprint
        self._done = (
            (pc.field("state") == State.DONE.value)
            & (pc.field("fingerprint") == fingerprint)
            & (pc.field("stamp") != "")
            & (pc.field("boxes") == "")
        )
        sizes, keys = [np.zeros(0, np.int64)], []
        for table in manifest.tables(["state", "fingerprint", "stamp", "boxes", "version"]):
            versions = table.filter(self._done)["version"].to_pylist()
            sizes.append(np.array([size_of(version) for version in versions], np.int64))
            keys.append(content_keys(versions))
        self._sizes = np.unique(np.concatenate(sizes))
        self._contents = KeySet(keys)

    def __len__(self) -> int:
        return len(self._contents)

    def find_masks(
        self, refs: Sequence[ImageRef], index: VectorIndex
    ) -> dict[UUID, tuple[ObjectMask, ...]]:
        """The masks of those images whose content the index has under another name, by image id.

        Only files of a size that is recorded are read for it.
        """
        read_now = self._read_suspects(refs)
        known = self._contents.has(content_keys([ref.version for ref in read_now]))
        found = [ref for ref, same in zip(read_now, known, strict=True) if same]
        rows = self._find_rows({ref.version for ref in found}) if found else []
        items, _ = read_stored_masks(rows, index)
        masks = {item.ref.version: item.known for item in items if isinstance(item.known, tuple)}
        return {image_id(ref): masks[ref.version] for ref in found if ref.version in masks}

    def _read_suspects(self, refs: Sequence[ImageRef]) -> list[ImageRef]:
        stamped = [ref for ref in refs if is_stamp(ref.version)]
        known = np.isin([ref.size_bytes for ref in stamped], self._sizes)
        suspects = [ref for ref, same in zip(stamped, known, strict=True) if same]
        if not suspects:
            return []
        with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
            return [ref for ref in pool.map(read_version, suspects) if ref is not None]

    def _find_rows(self, versions: set[str]) -> list[ManifestRow]:
        wanted = pc.field("version").isin(sorted(versions)) & self._done
        rows = self._manifest.select_rows(wanted)
        return list({row.version: row for row in rows}.values())
