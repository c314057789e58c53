"""What counts in the sum by which objects rank for a text, and how many of them are searched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.demo_world import build_demo
from support.index_cases import DIM, embedded, options_for, unit

from pipeline.search import searcher as searchers
from pipeline.search.searcher import Searcher
from pipeline.search.text_sums import TextSums
from pipeline.settings import Settings
from schemas.labels import Label, LabelEntry, Naming
from schemas.points import TextSum
from schemas.records import EmbeddedImage
from schemas.search import Condition, Relevance, SearchQuery
from workers.indexes.open import open_index
from workers.labelling.calibration import LikelyBound, calibration_of
from workers.protocols import VectorIndex

MUG = LabelEntry("mug", ("cup",))


@pytest.fixture
def index(tmp_path: Path) -> Iterator[VectorIndex]:
    made = open_index(options_for(str(tmp_path / "index")), DIM, create=True)
    yield made
    made.close()


def labelled(image: EmbeddedImage) -> EmbeddedImage:
    objects = tuple(
        replace(record, naming=Naming((Label(MUG, 0.7),), 12.5)) for record in image.objects
    )
    return replace(image, objects=objects, labelled_by="list")


def choose(index: VectorIndex, text: str, *, with_words: bool = True) -> TextSum:
    sums = TextSums(index, calibration_of("clip_demo"), index.info())
    return sums.choose(text, with_words=with_words)


def test_words_of_labels_count_unless_the_text_is_a_label(index: VectorIndex) -> None:
    index.replace_images([labelled(embedded("a.jpg", unit(0, 3)))])
    everything = TextSum("a cup", 5 / 30, -0.5 / 30, 4.5 / 30, 2 / 30)
    assert choose(index, "a cup") == everything
    for text in ("mug", "a mug", "The mug"):
        assert choose(index, text) == replace(everything, text=text, label_words=0.0)
    without = replace(everything, label_words=0.0, uri_words=0.0)
    assert choose(index, "a cup", with_words=False) == without


def test_labels_count_for_all_of_an_index_or_for_nothing(index: VectorIndex) -> None:
    images = [labelled(embedded("a.jpg", unit(0, 3))), embedded("b.jpg", unit(1, 2))]
    index.replace_images(images)
    assert choose(index, "a cup") == TextSum("a cup", 5 / 30, 0.0, 0.0, 2 / 30)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return build_demo(tmp_path_factory.mktemp("sums"), 6)[0]


def test_what_is_likely_depends_on_how_many_objects_are_searched(
    demo: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = SearchQuery(text="a fruit", limit=1)
    with Searcher.open(demo) as searcher:
        (hit,) = searcher.search(query).hits
        objects = searcher.info.objects
    own = Condition(field="image_id", op="=", value=hit.payload.image_id)
    assert hit.probability is not None
    # Among all objects the hit is weak by a hair: among those of its image it is not.
    bound = LikelyBound(1.0, 1.01 * hit.probability / (objects / 1000) ** 0.5)
    strict = replace(calibration_of("clip_demo"), likely=bound, strong=1.0)
    monkeypatch.setattr(searchers, "choose_calibration", lambda *given: strict)
    with Searcher.open(demo) as searcher:
        page = searcher.search(query)
        assert (page.hits[0].object_id, page.relevance) == (hit.object_id, Relevance.WEAK)
        filtered = searcher.search(query.model_copy(update={"conditions": (own,)}))
    assert filtered.hits[0].object_id == hit.object_id
    assert filtered.hits[0].probability == hit.probability
    assert filtered.relevance is Relevance.LIKELY
