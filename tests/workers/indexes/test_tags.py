"""Tags of points: given, taken, filtered by and kept alike in every kind of index."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from httpx import Headers
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse
from support.index_cases import DIM, embedded, held, options_for, unit, where

from pipeline.search.filter_syntax import parse_conditions
from schemas.checksums import digest
from schemas.dataset import points_table, table_points
from schemas.errors import UsageError
from schemas.ids import image_id
from schemas.labels import Label, LabelEntry, Naming
from schemas.points import Point, PointLabels
from schemas.tags import MOST_TAGS, TagChange, Tags
from workers.indexes.lance import rows, table
from workers.indexes.lance.index import LanceIndex
from workers.indexes.open import open_index
from workers.indexes.point_index import PointIndex
from workers.indexes.points import NO_WORDS, image_points
from workers.indexes.server.facets import count_values

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")

IMAGE, NEXT = embedded("a.jpg", unit(0, 4)), embedded("b.jpg", unit(1, 3))
FIRST, SECOND, THIRD = (record.object_id for record in IMAGE.objects)
OTHER = NEXT.objects[0].object_id


def give(index: PointIndex, ids: Sequence[uuid.UUID], *add: str) -> dict[uuid.UUID, Tags]:
    change = TagChange.parse(add, ())
    return index.change_tags(ids, lambda _, tags: change.apply(tags))


def tags_in(index: PointIndex) -> dict[str, Tags]:
    """Those of the points that have any, by id."""
    payloads = {point.id: point.parse_payload() for point in index.scroll()}
    return {name: payload.tags for name, payload in payloads.items() if payload.tags is not None}


def found(index: PointIndex, *texts: str) -> set[str]:
    return {point.id for point in index.scroll(parse_conditions(texts))}


def test_they_are_given_and_taken(index: PointIndex) -> None:
    index.replace_images([IMAGE, NEXT])
    assert tags_in(index) == {}
    absent = uuid.UUID(int=7)
    assert give(index, [FIRST, OTHER, absent], "to print", "Grün") == {
        FIRST: ("to print", "Grün"),
        OTHER: ("to print", "Grün"),
    }
    assert give(index, [FIRST, SECOND], "Grün", "it's") == {
        FIRST: ("to print", "Grün", "it's"),
        SECOND: ("Grün", "it's"),
    }
    change = TagChange.parse(["new"], ["Grün", "to print"])
    assert index.change_tags([OTHER, FIRST], lambda _, tags: change.apply(tags)) == {
        OTHER: ("new",),
        FIRST: ("it's", "new"),
    }
    index.change_tags([FIRST], lambda name, tags: ())
    assert tags_in(index) == {str(OTHER): ("new",), str(SECOND): ("Grün", "it's")}
    # What else is known of a point stays, and what it is found by.
    (stored,) = index.stored([SECOND]).values()
    assert stored.vector is not None
    assert (stored.payload["uri"], stored.payload["ordinal"]) == ("s3://photos/a.jpg", 1)
    assert index.change_tags([], lambda _, tags: ("never",)) == {}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["tags=to print"], {FIRST, OTHER}),
        (["tags=red"], {SECOND}),
        (["tags=Red"], set()),
        (["tags^=re"], {SECOND, OTHER}),
        (["tags=to print", "tags=ready"], {OTHER}),
        (["tags!=to print", "kind=object"], {SECOND, THIRD, NEXT.objects[1].object_id}),
        (["tags^=x"], set()),
    ],
)
def test_points_are_filtered_by_them(
    index: PointIndex, texts: list[str], expected: set[uuid.UUID]
) -> None:
    index.replace_images([IMAGE, NEXT])
    give(index, [FIRST, OTHER], "to print")
    give(index, [SECOND], "red")
    give(index, [OTHER], "ready")
    assert found(index, *texts) == set(map(str, expected))


def test_they_are_counted(index: PointIndex) -> None:
    index.replace_images([IMAGE, NEXT])
    assert index.facet("tags") == []
    give(index, [FIRST, OTHER], "to print")
    give(index, [SECOND, OTHER], "red")
    give(index, [THIRD], "red")
    assert [(each.value, each.count) for each in index.facet("tags")] == [
        ("red", 3), ("to print", 2),
    ]  # fmt: skip
    narrowed = index.facet("tags", [where("key", "=", "b.jpg")])
    assert [(each.value, each.count) for each in narrowed] == [("red", 1), ("to print", 1)]


def test_the_same_image_written_again_keeps_them(index: PointIndex) -> None:
    index.replace_images([IMAGE, NEXT])
    give(index, [FIRST, IMAGE.whole.object_id], "red")
    give(index, [OTHER], "blue", "green")
    kept = tags_in(index)
    index.replace_images([IMAGE, NEXT])
    assert tags_in(index) == kept
    index.replace_images([NEXT])
    assert tags_in(index) == kept
    # Of another version all objects are others.
    later = embedded("a.jpg", unit(0, 4), version="v2")
    index.replace_images([later])
    assert tags_in(index) == {str(OTHER): ("blue", "green")}
    index.delete_images([image_id(NEXT.ref)])
    assert (tags_in(index), index.facet("tags")) == ({}, [])


def test_other_labels_leave_them(index: PointIndex) -> None:
    index.replace_images([IMAGE])
    give(index, [FIRST], "red")
    naming = Naming((Label(LabelEntry("mug"), 0.9),))
    index.relabel([PointLabels(str(FIRST), naming, NO_WORDS)], "list two")
    (point,) = index.stored([FIRST]).values()
    assert (point.payload["tags"], point.payload["labels"]) == (["red"], ["mug"])


def test_ready_points_bring_theirs_or_keep_those_that_are_there(index: PointIndex) -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    index.replace_images([IMAGE], now)
    points = list(index.scan(words=True))
    give(index, [FIRST, SECOND], "red")
    brought = [
        replace(point, payload={**point.payload, "tags": ["mine"]})
        if point.id == str(SECOND)
        else point
        for point in points
    ]
    assert index.replace_points({image_id(IMAGE.ref): brought}, now) == set()
    assert tags_in(index) == {str(FIRST): ("red",), str(SECOND): ("mine",)}
    # A backup writes points just as they were.
    index.restore(points)
    assert tags_in(index) == {}
    index.restore(brought)
    assert tags_in(index) == {str(SECOND): ("mine",)}


def test_an_object_that_is_added_again_keeps_them(index: PointIndex) -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    image = replace(IMAGE, objects=IMAGE.objects[:1], added=IMAGE.objects[1:2])
    index.replace_images([image], now)
    give(index, [SECOND], "red")
    index.add_objects(image, now)
    assert tags_in(index) == {str(SECOND): ("red",)}


def test_too_many_are_refused(index: PointIndex) -> None:
    index.replace_images([IMAGE])
    give(index, [FIRST], *map(str, range(MOST_TAGS)))
    with pytest.raises(UsageError, match="expected at most 64 tags of an object, got 65"):
        give(index, [FIRST], "one more")
    assert len(tags_in(index)[str(FIRST)]) == MOST_TAGS


def test_a_table_that_is_older_than_tags_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = rows.table_schema(DIM)
    place = older.get_field_index("tags")
    with monkeypatch.context() as patched:
        patched.setattr(table, "table_schema", lambda dim: older.remove(place))
        options = options_for(f"lance+file://{tmp_path}/index")
        with open_index(options, DIM, create=True) as index:
            index.replace_images([IMAGE])
    with open_index(options, None) as opened:
        assert isinstance(opened, LanceIndex)
        assert "tags" not in opened._table.current().schema.names
        assert (opened.facet("tags"), found(opened, "tags=red"), found(opened, "tags^=r")) == (
            [], set(), set(),
        )  # fmt: skip
        assert found(opened, "tags!=red") == held(opened)
        opened.replace_images([NEXT])
        give(opened, [FIRST], "red")
        opened.replace_images([IMAGE, NEXT])
        assert tags_in(opened) == {str(FIRST): ("red",)}
        assert found(opened, "tags=red") == {str(FIRST)}
        opened.optimize()
        assert opened.facet("tags")[0].count == 1


@pytest.mark.parametrize("is_first", [True, False])
def test_a_table_loses_no_tag_that_is_given_while_its_image_is_written(
    tmp_path: Path, is_first: bool
) -> None:
    options = options_for(f"lance+file://{tmp_path}/index")
    now = datetime(2026, 1, 31, tzinfo=UTC)
    image = str(image_id(IMAGE.ref))
    meanwhile = iter([True])
    with (
        open_index(options, DIM, create=True) as writer,
        open_index(options, DIM) as tagger,
    ):
        assert isinstance(writer, LanceIndex)
        assert isinstance(tagger, LanceIndex)

        def points_of(identity: str) -> list[Point]:
            if is_first and next(meanwhile, False):
                give(tagger, [FIRST], "red")
            return image_points(IMAGE, now, now)

        def tag(name: str, tags: Tags) -> Tags:
            if not is_first and next(meanwhile, False):
                writer.replace_all([image], points_of, now)
            return (*tags, "blue")

        writer.replace_images([IMAGE], now)
        if is_first:
            writer.replace_all([image], points_of, now)
        else:
            tagger.change_tags([FIRST], tag)
        assert next(meanwhile, None) is None
        assert tags_in(tagger) == {str(FIRST): ("red",) if is_first else ("blue",)}
        assert held(tagger) == {str(each.id) for each in points_of(image)}


class OlderCollection:
    """Answers as a Qdrant server does that has no payload index of a field."""

    def facet(self, collection: str, field: str, **how: Any) -> models.FacetResponse:
        sentence = f"Wrong input: No appropriate index for faceting: `{field}`. Please create one"
        content = json.dumps({"status": {"error": sentence}}).encode()
        raise UnexpectedResponse(400, "Bad Request", content, Headers())


def test_a_collection_that_is_older_than_tags_has_none() -> None:
    client: Any = OlderCollection()
    assert count_values(client, "photos", "tags", None, 10) == {}
    with pytest.raises(UnexpectedResponse, match="No appropriate index for faceting: `labels`"):
        count_values(client, "photos", "labels", None, 10)


def test_a_table_of_points_has_them_and_checksums_do_not(index: PointIndex) -> None:
    index.replace_images([IMAGE])
    before = {point.id: digest(point.id, point.parse_payload()) for point in index.scroll()}
    give(index, [FIRST], "red", "Grün")
    points = list(index.scan(words=True))
    assert {point.id: digest(point.id, point.parse_payload()) for point in points} == before
    back = list(table_points(points_table(points, DIM)))
    assert {each.id: each.payload.get("tags") for each in back if isinstance(each, Point)} == {
        point.id: ["red", "Grün"] if point.id == str(FIRST) else None for point in points
    }


@pytest.mark.parametrize(
    ("add", "remove", "message"),
    [
        (["  "], [], "expected a tag of 1 to 64 characters, got 0 of them"),
        (["x" * 65], [], "expected a tag of 1 to 64 characters, got 65 of them"),
        (["a\x00b"], [], "expected a tag of Unicode characters, got 'a.*b'"),
        ([], ["\ud800"], "expected a tag of Unicode characters"),
        ([], [], "expected a tag to add or to remove, got none"),
        (["red"], ["green", " red "], "expected a tag to add or to remove, got 'red' for both"),
    ],
)
def test_what_is_no_tag_is_refused(add: list[str], remove: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TagChange.parse(add, remove)


def test_a_tag_is_kept_as_written_without_blanks_around_it() -> None:
    change = TagChange.parse([" To\n print ", "👩‍🍳"], [])
    assert change.apply(["To print"]) == ("To print", "👩‍🍳")
