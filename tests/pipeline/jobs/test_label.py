"""Giving an index other labels without embedding it again."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.colour_world import OPTIONS, ColourEmbedder, build_index, rectangle
from typer.testing import CliRunner

import workers.labelling.labeller
from pipeline.cli.main import app
from pipeline.jobs.label import LabelSummary, label
from pipeline.search import chosen_calibration
from pipeline.search.facets import compute_facets
from pipeline.search.filter_syntax import parse_conditions
from pipeline.search.searcher import Searcher
from pipeline.search.source_images import query_image
from pipeline.settings import Settings
from schemas.options import LabelOptions
from schemas.records import EmbeddedImage
from schemas.search import SearchQuery
from workers.embedders.embed_objects import embed_segmented
from workers.indexes.open import open_index
from workers.labelling.calibration import (
    calibration_of,
)


@pytest.fixture
def coloured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(
        workers.labelling.labeller, "build_text_embedder", lambda options: ColourEmbedder()
    )
    monkeypatch.setenv("OBJSEEK_CACHE_DIR", str(tmp_path / "cache" / "models"))
    (tmp_path / "colours.txt").write_text("red: warm\npink: warm\nblue\ngreen\n")
    settings = build_index(tmp_path)
    labels = LabelOptions(names=str(tmp_path / "colours.txt"), top_k=1)
    return settings.model_copy(update={"embedder": OPTIONS, "labels": labels})


def labels_in(settings: Settings) -> dict[tuple[str, int], tuple[str, ...] | None]:
    with closing(open_index(settings.index, None)) as index:
        return {
            (payload.uri.rpartition("/")[2], payload.ordinal): payload.labels
            for payload in (point.parse_payload() for point in index.scroll())
        }


def test_an_index_gets_labels_and_then_others(coloured: Settings, tmp_path: Path) -> None:
    assert set(labels_in(coloured).values()) == {None}
    assert label(coloured) == LabelSummary(labelled=7, unchanged=0, labels=4)
    named = labels_in(coloured)
    assert named["one.png", 0] == ("red",)
    assert named["two.png", 0] == ("pink",)
    assert named["two.png", -1] is not None
    assert set(named["two.png", -1] or ()) == {"pink", "blue"}
    # The same once more changes nothing; another list changes everything.
    assert label(coloured) == LabelSummary(labelled=0, unchanged=7, labels=4)
    (tmp_path / "colours.txt").write_text("red: warm\nblue\n")
    assert label(coloured).labelled == 7
    assert labels_in(coloured)["two.png", 0] == ("red",)


@pytest.mark.trials
def test_facets_and_filters_take_labels_that_are_sure(
    coloured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As unsure as a model of photographs: a red object is pink with a share of 0.4.
    unsure = replace(calibration_of("clip_demo"), label_scale=3.0)
    monkeypatch.setattr(chosen_calibration, "calibration_of", lambda name: unsure)
    guesses = coloured.labels.model_copy(update={"top_k": 3, "min_score": 0.0})
    label(coloured.model_copy(update={"labels": guesses}))
    counted = []
    with closing(open_index(coloured.index, None)) as index:
        payloads = [point.parse_payload() for point in index.scroll()]
        for probability in (0.0, 0.3, 0.5, 0.9):
            options = guesses.model_copy(update={"min_probability": probability})
            chosen = coloured.model_copy(update={"labels": options})
            searcher = Searcher(index, ColourEmbedder(), chosen)
            expected = Counter(
                name
                for payload in payloads
                for name, score in zip(
                    payload.labels or (), payload.label_scores or (), strict=True
                )
                if payload.kind == "object" and score >= searcher.label_score
            )
            facets = compute_facets(searcher, [], "object", 20)
            assert {facet.value: facet.count for facet in facets.labels} == expected
            counted.append(expected.total())
            for name in ("red", "pink", "blue", "green"):
                only = parse_conditions([f"labels={name}"])
                query = SearchQuery(text="red", conditions=only, limit=50, max_overlap=1)
                assert len(searcher.search(query).hits) == expected[name]
                without = parse_conditions([f"labels!={name}"])
                assert compute_facets(searcher, without, "object", 20).total == 4 - expected[name]
    every_guess, likely, _, sure = counted
    assert every_guess == 12
    assert every_guess > likely > sure > 0


def test_a_labelling_that_was_interrupted_goes_on(
    coloured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipeline.jobs.label

    monkeypatch.setattr(pipeline.jobs.label, "_AT_ONCE", 2)
    notes: list[str] = []

    class Stopped(BaseException):
        pass

    class Stopping(pipeline.jobs.label.Progress):
        def note(self, text: str) -> None:
            notes.append(text)
            if text.startswith("2 of"):
                raise Stopped

    with pytest.raises(Stopped):
        label(coloured, Stopping())
    assert label(coloured) == LabelSummary(labelled=5, unchanged=2, labels=4)
    assert None not in labels_in(coloured).values()


def test_the_command_tells_what_it_did(coloured: Settings, tmp_path: Path) -> None:
    runner = CliRunner()
    args = ["label", "--index", coloured.index.location]
    names = ["--names", str(tmp_path / "colours.txt")]
    result = runner.invoke(app, [*args, *names])
    assert result.exit_code == 0, result.output
    assert "7 points labelled from 4 labels, 0 unchanged" in result.stdout
    for more, message in (
        (["--names", "none"], "expected a list of labels, got none"),
        (["--names", str(tmp_path / "absent.txt")], "cannot be read"),
        (["--top-k", "0"], "setting labels.top_k"),
    ):
        result = runner.invoke(app, [*args, *more])
        assert (result.exit_code, message in result.stderr) == (2, True), result.output


RED_SQUARE, GREEN_SQUARE = (20, 20, 60, 60), (30, 30, 90, 70)


def same_version(settings: Settings, name: str, box: tuple[int, int, int, int]) -> EmbeddedImage:
    """One of the coloured squares, in a version that others have as well."""
    path = Path(settings.index.location).parent / name
    image = query_image(str(path), settings)
    image = replace(image, ref=replace(image.ref, version="the same"))
    mask, embedder = rectangle(box, image.size_hw), ColourEmbedder()
    return embed_segmented([image], [[mask]], embedder, OPTIONS, "f", "squares")[0]


def test_images_of_one_version_keep_their_labels_apart(coloured: Settings) -> None:
    squares = {"one.png": RED_SQUARE, "three.png": GREEN_SQUARE}
    with closing(open_index(coloured.index, None)) as index:
        images = [same_version(coloured, name, box) for name, box in squares.items()]
        assert len({image.revision.id for image in images}) == 1
        index.replace_images(images)
    label(coloured)
    named = labels_in(coloured)
    assert (named["one.png", -1], named["three.png", -1]) == (("red",), ("green",))
