"""Counts hits to narrow a search by: by label, bucket, and share of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pipeline.search.searcher import Searcher
from schemas.api import FacetsAnswer, FacetValue, SizeFacet
from schemas.payload import Kind
from schemas.search import Condition


class Size(NamedTuple):
    """Objects that take at least `least` and less than `below` of their image."""

    name: Literal["tiny", "small", "medium", "large"]
    least: float
    below: float | None


SIZES = (
    Size("tiny", 0.0, 0.01),
    Size("small", 0.01, 0.05),
    Size("medium", 0.05, 0.2),
    Size("large", 0.2, None),
)
_IN_VIDEOS = Condition(field="t_start", op=">=", value=0.0)


def compute_facets(
    searcher: Searcher, conditions: Sequence[Condition], kind: Kind | None, limit: int
) -> FacetsAnswer:
    """Counts under all conditions; at most `limit` labels and buckets. Raises UsageError.

    Of an object's labels those count that are right with the probability that the settings say.
    """
    index = searcher.index
    everything = list(searcher.complete(conditions))
    if kind is not None:
        everything.append(Condition(field="kind", op="=", value=kind))

    def count_values(field: str) -> tuple[FacetValue, ...]:
        counts = index.facet(field, everything, limit, searcher.label_score)
        return tuple(FacetValue(value=item.value, count=item.count) for item in counts)

    def count_size(size: Size) -> int:
        bounds = [Condition(field="area_frac", op=">=", value=size.least)]
        if size.below is not None:
            bounds.append(Condition(field="area_frac", op="<", value=size.below))
        return index.count([*everything, *bounds])

    return FacetsAnswer(
        total=index.count(everything),
        labels=count_values("labels"),
        segmenter_labels=count_values("segmenter_label"),
        levels=count_values("level"),
        tags=count_values("tags"),
        buckets=count_values("bucket"),
        in_videos=index.count([*everything, _IN_VIDEOS]),
        sizes=tuple(
            SizeFacet(name=size.name, least=size.least, below=size.below, count=count_size(size))
            for size in SIZES
        ),
    )
