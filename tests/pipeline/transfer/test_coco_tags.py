"""Tags go out in a COCO file and come back, on every kind of index."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from support import fakes
from support.qdrant_server import QdrantServer
from support.transfer_world import at, small_index

from pipeline.jobs.tag import tag_objects
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from pipeline.transfer.export_coco import export_coco
from pipeline.transfer.import_coco import import_coco
from schemas.coco_reader import load_masks
from schemas.errors import DatasetError
from schemas.masks import CocoRle
from schemas.search import Condition
from schemas.tags import TagChange
from workers.indexes.open import open_index


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """An index two of whose objects have tags, and its COCO file."""
    settings = small_index(tmp_path_factory.mktemp("world"))
    with Searcher.open(settings) as searcher:
        objects = [Condition(field="kind", op="=", value="object")]
        first, second, *_ = sorted(point.id for point in searcher.index.scroll(objects))
        for identity, tags in ((first, ["to print", "fruit"]), (second, ["fruit"])):
            tag_objects([UUID(identity)], TagChange.parse(tags, ()), searcher)
    path = Path(settings.index.location).parent / "masks.json"
    export_coco(settings, path)
    return settings, path


def tags_in(path: Path) -> dict[tuple[str, str], list[str]]:
    """Of annotations that have any, by the uri of the image and the counts of the mask."""
    document = json.loads(path.read_text())
    uris = {image["id"]: image["uri"] for image in document["images"]}
    return {
        (uris[each["image_id"]], each["segmentation"]["counts"]): each["tags"]
        for each in document["annotations"]
        if "tags" in each
    }


def bring(settings: Settings, path: Path) -> int:
    """How many images were worked on."""
    done = import_coco(settings, path, None, recipe=fakes.recipe(settings), strict=True)
    return done.run.counts.handled


@pytest.mark.parametrize("kind", ["folder", "lance", "server"])
def test_tags_go_out_and_come_back(
    kind: str, exported: tuple[Settings, Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    world, path = exported
    location = {"folder": str(tmp_path / "other"), "lance": f"lance+file://{tmp_path / 'other'}"}
    if kind == "server":
        server = QdrantServer()
        request.addfinalizer(server.close)
        location[kind] = f"{server.url}/others"
    other = at(world, location[kind])
    assert bring(other, path) > 0
    export_coco(other, tmp_path / "again.json")
    assert tags_in(tmp_path / "again.json") == tags_in(path)
    assert sorted(map(len, tags_in(path).values())) == [1, 2]
    with closing(open_index(other.index, None)) as index:
        found = {tag.value: tag.count for tag in index.facet("tags", (), 10)}
    assert found == {"fruit": 2, "to print": 1}
    assert bring(other, path) == 0
    export_coco(other, tmp_path / "again.json")
    assert tags_in(tmp_path / "again.json") == tags_in(path)


def write(path: Path, **fields: Any) -> Path:
    mask = CocoRle.from_mask(np.eye(4, dtype=bool))
    shape = {"segmentation": {"size": [4, 4], "counts": mask.counts}}
    image = {"id": 1, "file_name": "a.png", "width": 4, "height": 4}
    annotations = [{"id": 1, "image_id": 1, **shape, **fields}]
    path.write_text(json.dumps({"images": [image], "annotations": annotations}))
    return path


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        ({"tags": ["a", " b  c ", "a"]}, ["a", "b c"]),
        ({"attributes": {"tags": ["a"]}}, ["a"]),
        ({"attributes": {"tags": "to print"}}, ["to print"]),
        ({"tags": ["a"], "attributes": {"tags": ["b"]}}, ["a"]),
        ({"attributes": {"tags": ""}}, None),
        ({"attributes": {"tags": 5}}, None),
        ({"attributes": []}, None),
        ({"tags": []}, []),
    ],
)
def test_tags_are_read_where_files_have_them(
    fields: dict[str, Any], tags: list[str] | None, tmp_path: Path
) -> None:
    (annotation,) = load_masks(write(tmp_path / "a.json", **fields)).annotations
    assert annotation.tags == tags


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        (["x" * 65], "expected a tag of 1 to 64 characters, got 65 of them"),
        ([str(number) for number in range(65)], "expected at most 64 tags of an object, got 65"),
        ("red", "expected tags to be a valid list"),
    ],
)
def test_wrong_tags_are_told_by_their_annotation(tags: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"annotation 1 \(id 1\): {sentence}"):
        load_masks(write(tmp_path / "a.json", tags=tags))
