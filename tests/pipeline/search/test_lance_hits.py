"""A Lance table answers searches as a folder does, object by object."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from support.demo_world import build_demo
from support.transfer_world import at

from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.search import Condition, FileExample, ObjectExample, SearchQuery, TextExample
from workers.indexes.open import open_index

_SCENES = 8


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Settings]:
    """A folder with the demo's scenes, and a table with the same points."""
    folder = tmp_path_factory.mktemp("demo")
    settings, _ = build_demo(folder, _SCENES)
    table = at(settings, f"lance+file://{folder / 'table'}")
    with (
        closing(open_index(settings.index, None)) as source,
        closing(open_index(table.index, source.dim, create=True)) as target,
    ):
        target.restore(list(source.scan(words=True)))
    return settings, table


def queries(scene: Path, object_id: str) -> dict[str, SearchQuery]:
    """Those of the README, and what else ranks in its own way."""
    large = Condition(field="area_frac", op=">", value=0.01)
    boxed = FileExample(path=str(scene), box_xyxy=(40, 60, 300, 320))
    fruit = TextExample(text="a fruit"), TextExample(text="red", weight=0.5)
    like = ObjectExample(object_id=object_id)
    toy = TextExample(text="toy")
    return {
        "text": SearchQuery(text="a red apple"),
        "grouped": SearchQuery(text="dog", negative=(toy,), conditions=(large,), group_size=1),
        "box": SearchQuery(positive=(boxed,)),
        "images": SearchQuery(positive=(FileExample(path=str(scene)),), kind="image"),
        "varied": SearchQuery(positive=fruit, diversity=0.3),
        "like": SearchQuery(positive=(like,), limit=20),
        "best score": SearchQuery(
            positive=(like, TextExample(text="fish")), negative=(toy,), strategy="best_score"
        ),
        "dense": SearchQuery(text="a whale", hybrid=False, limit=30),
    }


def test_the_same_hits_in_the_same_order(places: tuple[Settings, Settings]) -> None:
    folder, table = places
    scene = next((Path(folder.index.location).parent / "scenes").glob("*.jpg"))
    with Searcher.open(folder) as one, Searcher.open(table) as other:
        some = one.search(SearchQuery(text="a pizza", limit=1)).hits[0].object_id
        for name, query in queries(scene, some).items():
            expected, found = one.search(query).hits, other.search(query).hits
            assert expected, name
            ids = [hit.object_id for hit in expected]
            assert [hit.object_id for hit in found] == ids, name
            scores = [hit.score for hit in expected]
            assert [hit.score for hit in found] == pytest.approx(scores, abs=1e-3), name
            assert [hit.payload for hit in found] == [hit.payload for hit in expected], name
