"""Gives imported objects the tags that their file has of them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import closing

from pipeline.index_home import IndexHome
from pipeline.settings import Settings
from schemas.search import Condition
from schemas.tags import MOST_TAGS, Tags
from workers.batching import batched
from workers.indexes.open import open_index

_CHANGED_AT_ONCE = 1000


def give_tags(tags: Mapping[uuid.UUID, Mapping[str, Tags]], settings: Settings) -> None:
    """Add tags to the objects of images, by the counts of their masks; durable on return.

    What an object has already stays. Of more tags than it may have, the last are left out.
    """
    if not tags:
        return
    with closing(open_index(IndexHome.current(settings).index, None)) as index:
        wanted: dict[str, Tags] = {}
        for image, of_masks in tags.items():
            for point in index.scroll([Condition(field="image_id", op="=", value=str(image))]):
                rle = point.payload.get("rle") or {}
                if given := of_masks.get(rle.get("counts", "")):
                    wanted[point.id] = given

        def add(name: str, before: Tags) -> Tags:
            joined = tuple(dict.fromkeys((*before, *wanted[name])))
            return joined[: max(MOST_TAGS, len(before))]

        for names in batched(wanted, _CHANGED_AT_ONCE):
            index.change_tags([*map(uuid.UUID, names)], add)
