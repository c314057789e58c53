"""A thing that several masks show is found once, and does not find its own parts."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from support.colour_world import OPTIONS, ColourEmbedder, paint, rectangle

from pipeline.search.same_object import gather_object, unit
from pipeline.search.searcher import Searcher
from pipeline.search.source_images import query_image
from pipeline.settings import Settings
from schemas.options import IndexOptions
from schemas.search import (
    ObjectExample,
    SearchHit,
    SearchPage,
    SearchQuery,
)
from workers.embedders.embed_objects import embed_segmented
from workers.indexes.open import open_index


def liked(*ids: str) -> tuple[ObjectExample, ...]:
    return tuple(ObjectExample(object_id=identity) for identity in ids)


def _boxes(found: SearchPage | Sequence[SearchHit]) -> list[tuple[str, tuple[int, ...]]]:
    hits = found.hits if isinstance(found, SearchPage) else found
    return [(hit.payload.uri.rpartition("/")[2], hit.payload.bbox) for hit in hits]


RED = ("one.png", (20, 20, 60, 60))
BLUE = ("two.png", (60, 20, 100, 70))


@pytest.fixture
def nested(tmp_path: Path) -> Iterator[Searcher]:
    """A red square found three times, once whole, and a blue one."""
    paint(tmp_path)
    embedder = ColourEmbedder()
    squares = [RED[1], (20, 20, 60, 58), (30, 30, 40, 40)]
    images = []
    for name, boxes in (("one.png", squares), ("two.png", [BLUE[1]])):
        image = query_image(str(tmp_path / name), Settings())
        masks = [rectangle(box, image.size_hw) for box in boxes]
        images += embed_segmented([image], [masks], embedder, OPTIONS, "f", "squares")
    index = open_index(IndexOptions(location=str(tmp_path / "index")), embedder.dim, create=True)
    index.replace_images(images)
    with Searcher(index, embedder) as searcher:
        yield searcher


def test_a_thing_is_shown_once(nested: Searcher) -> None:
    once = nested.search(SearchQuery(text="red")).hits
    assert [name for name, _ in _boxes(once)] == ["one.png", "two.png"]
    every = nested.search(SearchQuery(text="red", max_overlap=1)).hits
    assert [name for name, _ in _boxes(every)] == ["one.png"] * 3 + ["two.png"]
    # The part covers less than half of either square, but lies in them wholly.
    assert nested.search(SearchQuery(text="red", max_overlap=0.99)).hits == once


@pytest.mark.parametrize("group_size", [None, 1])
def test_an_object_does_not_find_its_own_parts(nested: Searcher, group_size: int | None) -> None:
    red = nested.search(SearchQuery(text="red", limit=1)).hits[0]
    like = SearchQuery(positive=liked(red.object_id), group_size=group_size)
    assert _boxes(nested.search(like)) == [BLUE]
    every = nested.search(like.model_copy(update={"max_overlap": 1.0})).hits
    assert len(every) == (2 if group_size else 3)


def test_a_thing_is_what_its_masks_agree_on(nested: Searcher) -> None:
    payloads = {point.id: point.parse_payload() for point in nested.index.scroll()}
    red = {text: item for text, item in payloads.items() if item.uri.endswith("one.png")}
    ids = {item.bbox: uuid.UUID(text) for text, item in red.items() if item.rle}
    stored = nested.index.stored(list(ids.values()))
    whole, most, part = ids[RED[1]], ids[20, 20, 60, 58], ids[30, 30, 40, 40]
    both = unit(stored[whole].vector + stored[most].vector)
    for mask_id in (whole, most):
        gathered = gather_object(nested.index, mask_id, max_overlap=0.5)
        assert gathered is not None
        assert gathered.own.id == str(mask_id)
        assert gathered.overlapping == {str(whole), str(most), str(part)}
        np.testing.assert_allclose(gathered.vector, both, atol=1e-6)
    # A part is a thing of its own.
    alone = gather_object(nested.index, part, max_overlap=1.0)
    assert alone is not None
    assert alone.overlapping == {str(part)}
    np.testing.assert_allclose(alone.vector, stored[part].vector, atol=1e-6)


def test_an_image_as_a_whole_stands_for_itself(nested: Searcher) -> None:
    image = next(point for point in nested.index.scroll() if point.payload["kind"] == "image")
    identity = uuid.UUID(image.id)
    gathered = gather_object(nested.index, identity, max_overlap=0.5)
    assert gathered is not None
    assert (gathered.own.id, gathered.overlapping) == (image.id, {image.id})
    stored = nested.index.stored([identity])[identity]
    np.testing.assert_allclose(gathered.vector, unit(stored.vector), atol=1e-6)
    assert gather_object(nested.index, uuid.UUID(int=3), max_overlap=0.5) is None
