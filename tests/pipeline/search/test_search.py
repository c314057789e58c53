"""Searching: by text, image, region and object; which embedder; what is refused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.colour_world import NAME, OPTIONS, ColourEmbedder, build_index

import pipeline.search.query_models
import workers.segmenters.sam
from pipeline.search.box_prompt import box_mask
from pipeline.search.filter_syntax import parse_conditions
from pipeline.search.resolved_query import NEGATIVE_WEIGHT
from pipeline.search.same_object import unit
from pipeline.search.searcher import Searcher, search
from pipeline.search.source_images import image_ref, query_image, read_source_images
from pipeline.settings import Settings, load_settings
from schemas.errors import EmbedderMismatchError, IndexMissingError, ModelError, UsageError
from schemas.images import DecodedImage, Failure
from schemas.options import EmbedderOptions, IndexOptions
from schemas.search import (
    Box,
    FileExample,
    ObjectExample,
    SearchHit,
    SearchPage,
    SearchQuery,
    TextExample,
)
from workers.indexes.open import open_index
from workers.models.model_entry import ModelEntry


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def settings(folder: Path) -> Settings:
    return build_index(folder).model_copy(update={"embedder": OPTIONS})


@pytest.fixture
def searcher(settings: Settings) -> Iterator[Searcher]:
    index = open_index(settings.index, None)
    with Searcher(index, ColourEmbedder(), settings) as searcher:
        yield searcher


def liked(*ids: str) -> tuple[ObjectExample, ...]:
    return tuple(ObjectExample(object_id=identity) for identity in ids)


def pictured(path: str, box: Box | None = None) -> tuple[FileExample, ...]:
    return (FileExample(path=path, box_xyxy=box),)


def _boxes(found: SearchPage | Sequence[SearchHit]) -> list[tuple[str, tuple[int, ...]]]:
    hits = found.hits if isinstance(found, SearchPage) else found
    return [(hit.payload.uri.rpartition("/")[2], hit.payload.bbox) for hit in hits]


RED = ("one.png", (20, 20, 60, 60))
PINK = ("two.png", (10, 10, 40, 50))
BLUE = ("two.png", (60, 20, 100, 70))
GREEN = ("three.png", (30, 30, 90, 70))


def test_a_text_finds_the_nearest_objects_best_first(searcher: Searcher) -> None:
    hits = searcher.search(SearchQuery(text="red")).hits
    assert _boxes(hits)[:2] == [RED, PINK]
    assert hits[0].score == pytest.approx(1.0, abs=0.01)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len(hits) == 4


def test_limit_min_score_kind_and_conditions_narrow_the_hits(searcher: Searcher) -> None:
    assert _boxes(searcher.search(SearchQuery(text="blue", limit=1))) == [BLUE]
    assert _boxes(searcher.search(SearchQuery(text="red", min_score=0.95))) == [RED]
    images = searcher.search(SearchQuery(text="green", kind="image")).hits
    assert [hit.payload.kind for hit in images] == ["image"] * 3
    assert _boxes(images)[0] == ("three.png", (0, 0, 120, 80))
    assert len(searcher.search(SearchQuery(text="green", kind=None)).hits) == 7
    small = parse_conditions(["area_frac<0.15", "uri^=file://"])
    assert _boxes(searcher.search(SearchQuery(text="green", conditions=small))) == [PINK]


def test_a_search_by_a_point_has_its_weights_from_the_folder_that_is_set(
    settings: Settings, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(entry: ModelEntry, cache_dir: Path | None = None) -> Path:
        asked.append((entry.name, cache_dir))
        raise ModelError("no weights in a test")

    monkeypatch.setattr(workers.segmenters.sam, "fetch", fetch)
    monkeypatch.setenv("OBJSEEK_CACHE_DIR", str(tmp_path / "weights"))
    query = SearchQuery(positive=(FileExample(path=str(folder / "one.png"), point_xy=(30, 30)),))
    names = ("sam_vit_b", "sam_vit_l", "sam_vit_h")
    for name in names:
        overrides = {"index": {"location": settings.index.location}, "segmenter": {"name": name}}
        chosen = load_settings(None, overrides)
        index = open_index(chosen.index, None)
        with (
            Searcher(index, ColourEmbedder(), chosen) as searcher,
            pytest.raises(ModelError, match="no weights in a test"),
        ):
            searcher.search(query)
    assert asked == [(name, tmp_path / "weights") for name in names]


@pytest.mark.trials
def test_a_text_that_the_embedder_has_not_learnt_is_weak(
    settings: Settings, searcher: Searcher
) -> None:
    class Learner(ColourEmbedder):
        def knows_text(self, text: str) -> bool:
            return text != "green"

    with Searcher(searcher.index, Learner(), settings) as other:
        for query in (
            SearchQuery(text="green"),
            SearchQuery(text="red", positive=(TextExample(text="green"),)),
            SearchQuery(text="green", kind="image"),
        ):
            page = other.search(query)
            assert page.relevance == "weak"
            assert {(hit.relevance, hit.probability) for hit in page.hits} == {("weak", None)}
        # What is not wanted does not count, nor does a query without hits.
        known = other.search(SearchQuery(text="red", negative=(TextExample(text="green"),)))
        assert known.relevance is None
        assert other.search(SearchQuery(text="green", min_score=1.0)).relevance is None


def test_grouping_leaves_the_best_of_each_image(searcher: Searcher) -> None:
    hits = searcher.search(SearchQuery(text="red", group_size=1)).hits
    assert _boxes(hits)[:2] == [RED, PINK]
    assert len(hits) == 3


def test_an_image_and_a_region_of_it_are_queries(searcher: Searcher, folder: Path) -> None:
    path = str(folder / "three.png")
    query = SearchQuery(positive=pictured(path), limit=2)
    assert _boxes(searcher.search(query)) == [("three.png", (0, 0, 120, 80)), GREEN]
    region = SearchQuery(positive=pictured(str(folder / "two.png"), (62, 22, 98, 68)), limit=1)
    assert _boxes(searcher.search(region)) == [BLUE]


def test_a_box_outside_of_the_image_is_refused_with_its_size(
    searcher: Searcher, folder: Path
) -> None:
    query = SearchQuery(positive=pictured(str(folder / "one.png"), (100, 0, 121, 10)))
    with pytest.raises(UsageError, match="within the image's 120 x 80 pixels, got 100,0,121,10"):
        searcher.search(query)
    assert box_mask((1, 2, 3, 5), (80, 120)).rle.area_px == 6


def test_an_indexed_object_finds_others_and_not_itself(searcher: Searcher) -> None:
    red = searcher.search(SearchQuery(text="red", limit=1)).hits[0]
    hits = searcher.search(SearchQuery(positive=liked(red.object_id), limit=2)).hits
    assert len(hits) == 2
    assert _boxes(hits)[0] == PINK
    assert red.object_id not in [hit.object_id for hit in hits]


def test_in_the_image_of_the_object_itself_the_next_best_stands_for_it(searcher: Searcher) -> None:
    pink = searcher.search(SearchQuery(text="pink", limit=1)).hits[0]
    hits = searcher.search(SearchQuery(positive=liked(pink.object_id), group_size=1)).hits
    assert sorted(_boxes(hits)) == sorted([RED, BLUE, GREEN])
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_the_least_weight_there_is_counts(searcher: Searcher) -> None:
    least = (TextExample(text="green", weight=5e-324),)
    alone = searcher.search(SearchQuery(positive=least, limit=3))
    assert alone.hits == searcher.search(SearchQuery(text="green", limit=3)).hits
    against = SearchQuery(text="red", negative=least, limit=3)
    whole = SearchQuery(text="red", negative=(TextExample(text="green"),), limit=3)
    assert searcher.search(against).hits == searcher.search(whole).hits


def test_a_negative_text_pushes_away_what_is_like_it(searcher: Searcher) -> None:
    plain = searcher.resolve(SearchQuery(text="pink")).vector
    less = searcher.resolve(SearchQuery(text="pink", negative=(TextExample(text="blue"),))).vector
    blue = ColourEmbedder().embed_texts(["blue"])[0]
    assert np.allclose(less, unit(plain - 0.5 * blue))
    assert less @ blue < plain @ blue
    hits = searcher.search(SearchQuery(text="pink", negative=(TextExample(text="blue"),))).hits
    assert _boxes(hits)[0] == RED


@given(st.lists(st.floats(-1, 1, width=32), min_size=8, max_size=8))
def test_a_difference_of_units_can_always_be_made_a_unit(numbers: list[float]) -> None:
    first, second = np.array(numbers, np.float32).reshape(2, 4) + np.float32(1.5)
    result = unit(unit(first) - NEGATIVE_WEIGHT * unit(second))
    assert np.linalg.norm(result) == pytest.approx(1.0, abs=1e-5)
    assert result.dtype == np.float32


def test_an_object_that_is_not_there_is_named(searcher: Searcher) -> None:
    absent = str(uuid.UUID(int=1))
    with pytest.raises(UsageError, match=f"the index holds no object {absent}"):
        searcher.search(SearchQuery(positive=liked(absent)))
    with pytest.raises(UsageError, match="got 'apple'"):
        searcher.search(SearchQuery(positive=liked("apple")))
    assert searcher.find(absent) is None


def test_a_blank_text_is_refused(searcher: Searcher) -> None:
    with pytest.raises(UsageError, match="got a blank one"):
        searcher.search(SearchQuery(text=" "))


def test_the_embedder_of_the_index_is_built_unless_one_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[EmbedderOptions] = []

    def build(options: EmbedderOptions) -> ColourEmbedder:
        built.append(options)
        return ColourEmbedder(options.name)

    for name in ("build_embedder", "build_text_embedder"):
        monkeypatch.setattr(pipeline.search.query_models, name, build)
    assert _boxes(search(SearchQuery(text="blue", limit=1), settings)) == [BLUE]
    assert [options.name for options in built] == [NAME]
    # The index was closed: it can be opened again.
    with Searcher.open(settings) as searcher:
        blue = searcher.search(SearchQuery(text="blue", limit=1)).hits[0]
        assert len(built) == 2
        searcher.prepare(SearchQuery(positive=liked(blue.object_id)))
        searcher.search(SearchQuery(text="red"))
        assert len(built) == 2


def test_an_indexed_object_needs_no_embedder(
    settings: Settings, searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    red = searcher.search(SearchQuery(text="red", limit=1)).hits[0]
    searcher.close()

    def build(options: EmbedderOptions) -> ColourEmbedder:
        raise AssertionError("no embedder is needed")

    for name in ("build_embedder", "build_text_embedder"):
        monkeypatch.setattr(pipeline.search.query_models, name, build)
    assert _boxes(search(SearchQuery(positive=liked(red.object_id), limit=1), settings)) == [PINK]


def test_another_embedder_than_the_index_has_is_refused_with_both_names(
    settings: Settings,
) -> None:
    other = settings.model_copy(update={"embedder": EmbedderOptions(name="ViT-B-32/openai")})
    with pytest.raises(EmbedderMismatchError) as caught:
        search(SearchQuery(text="red"), other)
    assert "'clip_demo'" in str(caught.value)
    assert "'ViT-B-32/openai'" in str(caught.value)
    with Searcher.open(settings) as searcher:  # and the index was closed
        assert searcher.embedder_name == NAME


def test_an_embedder_of_another_dimension_is_refused(settings: Settings) -> None:
    embedder = ColourEmbedder()
    embedder.dim = 5
    index = open_index(settings.index, None)
    with (
        Searcher(index, embedder, settings) as searcher,
        pytest.raises(EmbedderMismatchError, match=r"4 numbers, but .* vectors of 5"),
    ):
        searcher.search(SearchQuery(text="red"))


def test_in_a_mixed_index_one_is_named_and_finds_its_own(tmp_path: Path) -> None:
    build_index(tmp_path, ["one.png"])
    settings = build_index(tmp_path, ["two.png", "three.png"], ColourEmbedder("other"))
    with pytest.raises(UsageError, match=r"several embedders \(clip_demo, other\)"):
        search(SearchQuery(text="red"), settings)
    index = open_index(settings.index, None)
    with Searcher(index, ColourEmbedder("other"), settings) as searcher:
        hits = searcher.search(SearchQuery(text="red")).hits
        assert _boxes(hits)[0] == PINK
        assert {hit.payload.embedder for hit in hits} == {"other"}
        foreign = next(point for point in index.scroll() if point.payload["embedder"] == NAME)
        with pytest.raises(EmbedderMismatchError, match=r"embedded by 'clip_demo'.*of 'other'"):
            searcher.search(SearchQuery(positive=liked(foreign.id)))
        like = searcher.search(SearchQuery(positive=liked(hits[0].object_id))).hits
        assert {hit.payload.embedder for hit in like} == {"other"}


def test_an_empty_index_has_no_hits_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    options = IndexOptions(location=str(tmp_path / "empty"))
    open_index(options, 4, create=True).close()
    assert search(SearchQuery(text="red"), Settings(index=options)).hits == ()
    missing = Settings(index=IndexOptions(location=str(tmp_path / "missing")))
    with pytest.raises(IndexMissingError):
        search(SearchQuery(text="red"), missing)
    assert not (tmp_path / "missing").exists()


def test_images_of_hits_are_read_in_the_version_that_was_indexed(tmp_path: Path) -> None:
    settings = build_index(tmp_path)
    index = open_index(settings.index, None)
    with Searcher(index, ColourEmbedder(), settings) as searcher:
        hits = searcher.search(SearchQuery(text="red")).hits
    assert image_ref(hits[0].payload) == query_image(str(tmp_path / "one.png"), settings).ref
    (tmp_path / "one.png").write_bytes(b"changed")
    (tmp_path / "three.png").unlink()
    images = list(read_source_images([hit.payload for hit in hits], settings))
    shown = {
        hit.payload.uri.rpartition("/")[2]: image for hit, image in zip(hits, images, strict=True)
    }
    assert isinstance(shown["two.png"], DecodedImage)
    assert isinstance(shown["one.png"], Failure)
    assert shown["one.png"].error_class == "ObjectChangedError"
    assert isinstance(shown["three.png"], Failure)
    assert shown["three.png"].gone


def test_an_image_to_search_with_is_found_by_path_uri_and_without_a_suffix(
    tmp_path: Path, folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "a b[1]%20"
    odd.write_bytes((folder / "one.png").read_bytes())
    image = query_image(str(odd), settings)
    assert image.size_hw == (80, 120)
    assert query_image(image.ref.uri, settings).ref == image.ref
    monkeypatch.chdir(tmp_path)
    excluded = settings.model_copy(
        update={"store": settings.store.model_copy(update={"exclude": ("*",)})}
    )
    assert query_image("a b[1]%20", excluded).ref == image.ref


def test_what_is_no_image_to_search_with_is_said(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(UsageError, match="not an image by its suffix"):
        query_image(str(tmp_path / "notes.txt"), settings)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="expected an image to search with"):
        query_image(str(tmp_path / "in"), settings)
    with pytest.raises(UsageError, match="got nothing at"):
        query_image(str(tmp_path / "absent.png"), settings)
