"""Tags objects of an index, and takes tags from them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.index_home import IndexHome, require_current
from pipeline.search.searcher import Searcher
from schemas.search import Condition
from schemas.tags import TagChange, Tags


@dataclass(frozen=True, slots=True)
class TagSummary:
    """The tags that objects have now; those that have others than before; ids of which none is."""

    tags: dict[uuid.UUID, Tags]
    changed: frozenset[uuid.UUID]
    missing: tuple[uuid.UUID, ...]


def tag_objects(ids: Sequence[uuid.UUID], change: TagChange, searcher: Searcher) -> TagSummary:
    """Change the tags of objects, or of images as a whole, by their ids; durable on return.

    Raises UsageError for more tags than an object may have, with those before it done,
    GenerationChangedError, and what an index raises.
    """
    ids = list(dict.fromkeys(ids))
    changed: set[str] = set()

    def apply(name: str, before: Tags) -> Tags:
        after = change.apply(before)
        # A table may have it done anew.
        (changed.discard if after == before else changed.add)(name)
        return after

    tags = searcher.index.change_tags(ids, apply)
    require_current(IndexHome.at(searcher.settings, searcher.generation), searcher.settings)
    searcher.refresh()
    missing = tuple(identity for identity in ids if identity not in tags)
    return TagSummary(tags, frozenset(map(uuid.UUID, changed)), missing)


def find_objects(conditions: Sequence[Condition], searcher: Searcher) -> Iterator[uuid.UUID]:
    """The ids of all objects under conditions, in no particular order."""
    kind = Condition(field="kind", op="=", value="object")
    for point in searcher.index.scroll((kind, *searcher.complete(conditions))):
        yield uuid.UUID(point.id)
