"""Maps of objects: which objects are on them, where they lie, and when they are of the past."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.alike_world import index_of
from support.index_cases import embedded, unit, where
from support.map_world import build_map_world, lay_out_in_order

from pipeline.cli.commands import map as map_command
from pipeline.index_home import IndexHome
from pipeline.jobs import map_layout, map_process, object_map
from pipeline.jobs.map_layout import lay_out
from pipeline.jobs.map_sample import sample_objects
from pipeline.search.kept_map import read_map
from pipeline.search.searcher import Searcher
from schemas.errors import ModelError, UsageError
from schemas.labels import Label, LabelEntry, Naming
from schemas.object_map import NO_LABEL
from schemas.points import PointLabels
from schemas.records import VECTOR_NAME
from workers.indexes.points import NO_WORDS


def nothing(*args: object) -> None:
    return


def test_a_sample_is_even_and_the_same_again(tmp_path: Path) -> None:
    images = [embedded(f"{number}.jpg", unit(number, 5)) for number in range(30)]
    vectors = {
        record.object_id.bytes: record.vectors[VECTOR_NAME]
        for image in images
        for record in image.objects
    }
    with index_of(tmp_path, images) as index:
        sample = sample_objects(index, 50, (), 0.0, nothing)
        again = sample_objects(index, 50, (), 0.0, nothing)
        every = sample_objects(index, 1000, (), 0.0, nothing)
        none = sample_objects(index, 10, (where("uri", "=", "no"),), 0.0, nothing)
    assert (len(sample.ids), sample.objects) == (50, 120)
    assert {bytes(row) for row in sample.ids} == {bytes(row) for row in again.ids}
    assert {bytes(row) for row in every.ids} == set(vectors)
    for row, vector in zip(sample.ids, sample.vectors, strict=True):
        np.testing.assert_allclose(vector, vectors[bytes(row)], atol=1e-6)
    assert set(every.label_of.tolist()) == {NO_LABEL}
    assert (len(none.ids), none.objects) == (0, 0)


def test_components_keep_distances() -> None:
    rows = unit(3, 40, dim=20)
    kept = map_process.reduce(rows, 20)
    np.testing.assert_allclose(
        np.linalg.norm(kept[0] - kept[1:], axis=1),
        np.linalg.norm(rows[0] - rows[1:], axis=1),
        atol=1e-5,
    )
    assert map_process.reduce(rows, 5).shape == (40, 5)
    assert map_process.reduce(rows[:, :1], 5).shape == (40, 2)


def test_positions_lie_within_one() -> None:
    placed = map_process.normalize(np.array([[0.0, 10.0], [4.0, 10.0], [8.0, 12.0]]))
    np.testing.assert_allclose(placed, [[-1, 0], [0, 0], [1, 0.5]])
    assert map_process.normalize(np.zeros((1, 2))).tolist() == [[0, 0]]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_few_objects_are_laid_out_without_learning(count: int) -> None:
    placed = lay_out(unit(1, count), nothing)
    assert placed.shape == (count, 2)
    assert np.isfinite(placed).all()
    assert np.abs(placed).max() <= 1


@pytest.mark.long
def test_what_is_alike_lies_near() -> None:
    pytest.importorskip("umap")
    rng = np.random.default_rng(4)
    kinds = np.arange(300) % 3
    rows = 4 * np.eye(12, dtype=np.float32)[kinds] + rng.standard_normal((300, 12), np.float32)
    steps: list[tuple[int, int]] = []
    placed = lay_out(rows.astype(np.float32), lambda done, total: steps.append((done, total)))
    distances = np.linalg.norm(placed[:, None] - placed[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (kinds[distances.argmin(axis=1)] == kinds).mean() > 0.95
    assert steps[-1] == (200, 200)


def test_what_a_report_raises_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "endless.py"
    program.write_text("print('1/9', flush=True)\nimport time\ntime.sleep(3600)\n")
    monkeypatch.setattr(map_layout, "_PROGRAM", program)

    def cancel(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lay_out(unit(1, 3), cancel)


def test_a_program_that_fails_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "failing.py"
    program.write_text("raise MemoryError('no room')\n")
    monkeypatch.setattr(map_layout, "_PROGRAM", program)
    with pytest.raises(ModelError, match="could not lay the objects out: MemoryError: no room"):
        lay_out(unit(1, 3), nothing)


def test_without_umap_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    monkeypatch.setattr(map_layout, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'objseek\[map\]'"):
        map_layout.require_umap()


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    monkeypatch.setattr(object_map, "lay_out", lay_out_in_order)
    monkeypatch.setattr(object_map, "require_umap", nothing)
    return lay_out_in_order


def test_a_map_is_kept_until_the_index_changes(
    tmp_path: Path, quickly: Callable[..., object]
) -> None:
    settings = build_map_world(tmp_path)
    home = IndexHome.current(settings)
    assert read_map(home) is None
    notes: list[str] = []
    with Searcher.open(settings) as searcher:
        made = object_map.make_map(searcher, home, 1000, notes.append)
        version = object_map.map_version(home, searcher.index.info(), searcher.label_score)
        assert made.version == version
        searcher.index.delete_points([searcher.index.scroll().__next__().id])
        now = object_map.map_version(home, searcher.index.info(), searcher.label_score)
        assert now != version
    kept = read_map(IndexHome.current(settings))
    assert kept is not None
    np.testing.assert_array_equal(kept.positions, made.positions)
    assert {kept.labels[place] for place in kept.label_of} == {"mug", "spoon"}
    assert any(note.startswith("reading vectors") for note in notes)


def test_other_labels_make_a_map_one_of_the_past(
    tmp_path: Path, quickly: Callable[..., object]
) -> None:
    settings = build_map_world(tmp_path)
    home = IndexHome.current(settings)
    with Searcher.open(settings) as searcher:
        made = object_map.make_map(searcher, home, 1000, nothing)
        least = searcher.label_score
        labelled = [point for point in searcher.index.scroll() if point.payload.get("labels")]
        naming = Naming((Label(LabelEntry("cup"), 0.9),))
        named = [PointLabels(point.id, naming, NO_WORDS) for point in labelled]
        searcher.index.relabel(named, "another list")
        info = searcher.index.info()
        assert info.label_lists == {"another list": 4}
        assert object_map.map_version(home, info, least) != made.version
        # By another calibration other labels are sure enough.
        now = object_map.map_version(home, info, least)
        assert object_map.map_version(home, info, least / 2) != now


def test_the_limit_is_that_of_the_command() -> None:
    assert map_command._MOST == object_map.MOST_OBJECTS
