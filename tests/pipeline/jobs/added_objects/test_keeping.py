"""Added objects are kept until their image changes: by ingests, other generations, copies."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import fakes
from support.added_objects import (
    IMAGES,
    POINTS,
    add,
    added_points,
    recorded,
    run,
    searcher_of,
    square,
)
from support.spread_embedder import SpreadEmbedder
from support.transfer_world import at

from pipeline.cli.run_job import print_summary
from pipeline.index_home import IndexHome
from pipeline.jobs import added_object
from pipeline.jobs.added_object import (
    ObjectToAdd,
    add_object,
    prepare_addition,
    remove_object,
    write_addition,
)
from pipeline.jobs.ingest import ingest
from pipeline.jobs.reembed import _Reembed, reembed
from pipeline.jobs.sync import sync
from pipeline.jobs.verify import verify
from pipeline.settings import Settings
from pipeline.transfer.backup import backup, restore
from pipeline.transfer.export_parquet import export
from pipeline.transfer.import_parquet import import_dataset
from pipeline.transfer.migrate import migrate
from schemas.checksums import digest
from schemas.errors import DatasetError, NotIndexedError
from schemas.manifest import State


def test_another_pipeline_keeps_it(images: Path, settings: Settings) -> None:
    point = add(settings, images / "001.png")
    other = settings.model_copy(
        update={"embedder": settings.embedder.model_copy(update={"context_margin": 0.3})}
    )
    assert run(images, other).counts.done == IMAGES
    (kept,) = added_points(settings).values()
    assert kept.id == point.id
    assert kept.payload["generation"] != point.payload["generation"]
    assert kept.payload["segmenter_label"] == "mug"
    report = verify(settings, [str(images)])
    assert (report.findings, report.points) == ([], POINTS + 1)


def test_it_goes_when_its_image_changes(
    images: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    add(settings, images / "001.png")
    kept = add(settings, images / "002.png")
    fakes.write_image(images / "001.png", 77)
    summary = run(images, settings)
    assert (summary.counts.done, summary.details.dropped_added) == (1, 1)
    print_summary(summary, settings)
    sentence = "1 object that was added by hand was dropped: the images changed, or are gone"
    assert sentence in capsys.readouterr().out
    assert list(recorded(settings)) == list(added_points(settings)) == [kept.id]
    assert verify(settings, [str(images)]).findings == []


def test_it_goes_when_its_image_goes(images: Path, settings: Settings) -> None:
    add(settings, images / "001.png")
    kept = add(settings, images / "002.png")
    (images / "001.png").unlink()
    summary = sync([str(images)], settings, 0.5, recipe=fakes.recipe(settings))
    assert (summary.removed, summary.removed_added) == (1, 1)
    assert list(recorded(settings)) == list(added_points(settings)) == [kept.id]
    assert verify(settings, [str(images)]).findings == []


def test_it_goes_with_an_image_that_has_become_none(images: Path, folder: Settings) -> None:
    add(folder, images / "001.png")
    whole = (images / "001.png").read_bytes()
    (images / "001.png").write_bytes(b"no image")
    assert run(images, folder).details.dropped_added == 1
    (images / "001.png").write_bytes(whole)
    run(images, folder)
    assert (recorded(folder), verify(folder, [str(images)]).findings) == ({}, [])


def test_an_ingest_that_began_before_leaves_it_alone(
    images: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its image comes out as failed, and is done with the object by the next one."""
    other = settings.model_copy(
        update={"embedder": settings.embedder.model_copy(update={"context_margin": 0.3})}
    )
    made = []

    def segment(self: fakes.BrightSegmenter, found: list[np.ndarray]) -> list[object]:
        if not made:
            made.append(write_addition(addition, searcher))
        return [self._masks(image) for image in found]  # type: ignore[misc]

    with searcher_of(settings) as searcher:
        wanted = ObjectToAdd((images / "001.png").as_uri(), square(), "mug")
        addition = prepare_addition(wanted, searcher)
        with monkeypatch.context() as patch:
            patch.setattr(fakes.BrightSegmenter, "segment", segment)
            recipe = fakes.recipe(other)
            counts = ingest([str(images)], other, recipe=recipe, index=searcher.index).counts
    assert (counts.done, counts.failed) == (IMAGES - 1, 1)
    assert run(images, other).counts.done == 1
    assert len(added_points(settings)) == 1
    assert verify(settings, [str(images)]).findings == []


def test_an_ingest_that_is_at_it_does_not_bring_a_removed_object_back(
    images: Path, folder: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = add(folder, images / "001.png")
    other = folder.model_copy(
        update={"embedder": folder.embedder.model_copy(update={"context_margin": 0.3})}
    )

    def segment(self: fakes.BrightSegmenter, found: list[np.ndarray]) -> list[object]:
        if recorded(folder):
            remove_object(uuid.UUID(point.id), searcher)
        return [self._masks(image) for image in found]  # type: ignore[misc]

    with searcher_of(folder) as searcher, monkeypatch.context() as patch:
        patch.setattr(fakes.BrightSegmenter, "segment", segment)
        ingest([str(images)], other, recipe=fakes.recipe(other), index=searcher.index)
    assert added_points(folder) == {}
    assert verify(folder, [str(images)]).findings == []


def test_nothing_is_added_to_an_image_that_is_removed_meanwhile(
    images: Path, settings: Settings
) -> None:
    with searcher_of(settings) as searcher:
        wanted = ObjectToAdd((images / "001.png").as_uri(), square())
        addition = prepare_addition(wanted, searcher)
        searcher.index.delete_images([uuid.UUID(addition.record.image_id)])
        assert write_addition(addition, searcher) is None
        with pytest.raises(NotIndexedError, match="holds no image"):
            add_object(wanted, searcher)
    assert (recorded(settings), added_points(settings)) == ({}, {})


def test_an_image_that_is_written_meanwhile_is_prepared_again(
    images: Path, folder: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = folder.model_copy(
        update={"embedder": folder.embedder.model_copy(update={"context_margin": 0.3})}
    )
    prepare = prepare_addition
    calls = []

    def preparing(wanted: ObjectToAdd, searcher: object) -> object:
        made = prepare(wanted, searcher)  # type: ignore[arg-type]
        if not calls:
            ingest([str(images)], other, recipe=fakes.recipe(other), index=searcher.index)  # type: ignore[attr-defined]
        calls.append(made)
        return made

    monkeypatch.setattr(added_object, "prepare_addition", preparing)
    point = add(folder, images / "001.png")
    assert len(calls) == 2
    assert calls[0].image.revision.id != point.payload["generation"]
    assert verify(folder, [str(images)]).findings == []


def test_another_generation_has_it_too(images: Path, settings: Settings) -> None:
    gone = add(settings, images / "000.png")
    point = add(settings, images / "001.png")
    recipe = replace(fakes.recipe(settings), embedder=SpreadEmbedder)
    with searcher_of(settings) as searcher:
        remove_object(uuid.UUID(gone.id), searcher)
    assert reembed(settings, recipe=recipe).switched
    (carried,) = added_points(settings).values()
    assert (carried.id, carried.payload["embedder"]) == (point.id, "spread")
    assert carried.vector is not None
    assert carried.vector.shape == (5,)
    assert list(recorded(settings)) == [point.id]
    report = verify(settings)
    assert (report.findings, report.points) == ([], POINTS + 1)


def test_what_is_added_while_a_generation_is_made_is_in_it(
    images: Path, folder: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To an image that the new one has already, and to one that failed before it."""
    first = add(folder, images / "000.png")
    fakes.write_image(images / "003.png", 77, fakes.poison("error"))
    failing = fakes.recipe(folder, "error")
    added = add(folder, images / "002.png")
    ingest([str(images)], folder, recipe=failing)
    home = IndexHome.current(folder)
    assert home.manifest.counts()[State.FAILED] == 1
    recipe = replace(fakes.recipe(folder), embedder=SpreadEmbedder)
    switch, late = _Reembed._switch, []

    def switching(self: _Reembed, new: IndexHome) -> bool:
        if not late:
            with searcher_of(folder) as searcher:
                wanted = ObjectToAdd((images / "001.png").as_uri(), square(), "late")
                late.append(add_object(wanted, searcher))
                remove_object(uuid.UUID(first.id), searcher)
        return switch(self, new)

    monkeypatch.setattr(_Reembed, "_switch", switching)
    assert reembed(folder, recipe=recipe).switched
    assert set(added_points(folder)) == {late[0].id, added.id}
    assert set(recorded(folder)) == {late[0].id, added.id}
    assert verify(folder).findings == []


def test_it_comes_out_and_in_again(images: Path, folder: Settings, tmp_path: Path) -> None:
    point = add(folder, images / "001.png")
    export(folder, str(tmp_path / "exported"))
    imported = at(folder, tmp_path / "imported")
    assert import_dataset(imported, str(tmp_path / "exported")).points == POINTS + 1
    backup(folder, str(tmp_path / "backup"))
    restored = at(folder, tmp_path / "restored")
    restore(restored, str(tmp_path / "backup"))
    migrated = at(folder, tmp_path / "migrated")
    migrate(folder, migrated)
    for other in (imported, restored, migrated):
        assert recorded(other) == {
            point.id: replace(recorded(folder)[point.id], at=recorded(other)[point.id].at)
        }
        payloads = (added_points(of)[point.id].parse_payload() for of in (other, folder))
        assert len({digest(point.id, payload) for payload in payloads}) == 1
        assert verify(other).findings == []


def test_an_import_without_its_record_is_refused(
    images: Path, folder: Settings, tmp_path: Path
) -> None:
    add(folder, images / "001.png")
    export(folder, str(tmp_path / "exported"))
    for part in (tmp_path / "exported" / "images" / "added").iterdir():
        part.unlink()
    with pytest.raises(DatasetError, match=r"001.png \(extra: 1\)"):
        import_dataset(at(folder, tmp_path / "imported"), str(tmp_path / "exported"))
