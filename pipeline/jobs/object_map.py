"""Makes a map of an index's objects, and keeps it beside what is recorded of the images."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from pipeline.index_home import IndexHome
from pipeline.jobs.map_layout import lay_out, require_umap
from pipeline.jobs.map_sample import sample_objects
from pipeline.search.kept_map import keep_map
from pipeline.search.searcher import Searcher
from schemas.errors import UsageError
from schemas.ids import fingerprint
from schemas.object_map import ObjectMap
from schemas.points import IndexInfo
from schemas.search import Condition

MOST_OBJECTS = 100_000
"""Of a map: more take longer to lay out, and none of them is seen any better."""

Note = Callable[[str], None]


def map_version(home: IndexHome, info: IndexInfo, label_score: float) -> str:
    """What changes whenever the index does, or what its objects are called.

    Labels count that have at least `label_score`. Raises what its `Parts` raise.
    """
    held = {"points": info.points, "objects": info.objects}
    called = {"label_lists": {**info.label_lists}, "label_score": label_score}
    of_images = {"generation": home.generation, "parts": home.parts.sizes()}
    return fingerprint({**held, **called, **of_images})


def make_map(searcher: Searcher, home: IndexHome, most: int, note: Note) -> ObjectMap:
    """A map of at most `most` objects of an open index, kept for others to read.

    Raises UsageError where UMAP is not installed or there is no object, ModelError where it fails,
    and what the index raises.
    """
    require_umap()
    info = searcher.index.info()
    version = map_version(home, info, searcher.label_score)
    conditions: tuple[Condition, ...] = ()
    if len(info.embedders) > 1:
        conditions = (Condition(field="embedder", op="=", value=searcher.embedder_name),)
    sample = sample_objects(searcher.index, most, conditions, searcher.label_score, note)
    if not len(sample.ids):
        raise UsageError("expected objects to make a map of, the index has none")
    note(f"looking for neighbours of {len(sample.ids):,} objects")
    positions = lay_out(
        sample.vectors,
        lambda done, total: note(f"laying {len(sample.ids):,} objects out: {done} of {total}"),
    )
    made = ObjectMap(
        positions,
        sample.ids,
        sample.label_of,
        sample.labels,
        sample.objects,
        version,
        datetime.now(UTC),
    )
    keep_map(made, home)
    return made
