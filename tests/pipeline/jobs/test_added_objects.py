"""Objects that are added by hand: as all others, and kept until their image changes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import fakes
from support.added_objects import add, added_points, recorded, searcher_of, square
from support.qdrant_server import qdrant_server
from support.transfer_world import at

from pipeline.cli.run_job import print_summary
from pipeline.cli.status_report import gather_report, print_fields
from pipeline.index_home import IndexHome
from pipeline.jobs import added_object
from pipeline.jobs.added_object import (
    ObjectToAdd,
    add_object,
    prepare_addition,
    remove_object,
    write_addition,
)
from pipeline.jobs.ingest import IngestSummary, ingest
from pipeline.jobs.reembed import reembed
from pipeline.jobs.sync import sync
from pipeline.jobs.verify import verify
from pipeline.manifest.audit import Fault, Report
from pipeline.settings import Settings
from pipeline.transfer.backup import backup, restore
from pipeline.transfer.export_parquet import export
from pipeline.transfer.import_parquet import import_dataset
from pipeline.transfer.migrate import migrate
from schemas.errors import (
    DatasetError,
    EmbedderMismatchError,
    NotAddedError,
    NotIndexedError,
    ObjectChangedError,
    UsageError,
)
from schemas.ids import ADDED_ORDINAL, fingerprint
from schemas.manifest import State
from schemas.masks import CocoRle
from schemas.nesting import Level
from schemas.payload import digest
from schemas.records import Float32Matrix
from schemas.search import Condition
from workers.indexes.open import open_index
from workers.protocols import UInt8Crops

IMAGES = 4
POINTS = 3 * IMAGES


@pytest.fixture
def images(tmp_path: Path) -> Path:
    fakes.write_images(tmp_path / "images", IMAGES)
    return tmp_path / "images"


@pytest.fixture(params=["folder", "server"])
def settings(request: pytest.FixtureRequest, images: Path, tmp_path: Path) -> Iterator[Settings]:
    """Of an index with all of the images, of either kind."""
    made = fakes.settings(tmp_path / "index")
    if request.param == "folder":
        run(images, made)
        yield made
        return
    with qdrant_server() as server:
        place = {"location": f"{server.url}/photos", "state": str(tmp_path / "state")}
        made = made.model_copy(update={"index": made.index.model_copy(update=place)})
        run(images, made)
        yield made


@pytest.fixture
def folder(images: Path, tmp_path: Path) -> Settings:
    """Of an index in a folder."""
    made = fakes.settings(tmp_path / "index")
    run(images, made)
    return made


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on its way to a server is judged at once."""
    monkeypatch.setattr(IndexHome, "is_server", False)


def run(images: Path, settings: Settings) -> IngestSummary:
    return ingest([str(images)], settings, recipe=fakes.recipe(settings))


def faults(report: Report) -> list[tuple[Fault, int]]:
    return [(finding.fault, finding.points) for finding in report.findings]


def test_an_added_object_is_one_like_all_others(images: Path, settings: Settings) -> None:
    point = add(settings, images / "001.png", square(), "my  mug")
    payload = point.parse_payload()
    assert (payload.added, payload.ordinal, payload.kind) == (True, ADDED_ORDINAL, "object")
    assert (payload.segmenter_label, payload.segmenter_score) == ("my mug", 1.0)
    assert (payload.bbox, payload.area) == ((2, 8, 6, 12), 16)
    # The left half of the image is an object, which holds it.
    (left,) = (
        identity
        for identity, (fields, _) in fakes.points(settings).items()
        if fields["uri"] == (images / "001.png").as_uri() and fields["bbox"] == (0, 0, 12, 16)
    )
    assert (payload.level, payload.parent_id) == (Level.PART, left)
    assert payload.thumbnail_check is not None
    with searcher_of(settings) as searcher:
        found = searcher.index.count([Condition(field="added", op="=", value="true")])
        others = searcher.index.count([Condition(field="added", op="!=", value="true")])
        false = searcher.index.count([Condition(field="added", op="=", value="false")])
        assert (found, others, false) == (1, POINTS, POINTS)
        assert searcher.info.objects == 2 * IMAGES + 1
    (record,) = recorded(settings).values()
    assert (record.object_id, record.rle, record.label) == (point.id, square(), "my mug")
    report = verify(settings, [str(images)])
    assert (report.findings, report.points) == ([], POINTS + 1)


def test_the_vector_is_the_one_that_an_ingest_makes(images: Path, folder: Settings) -> None:
    before = fakes.points(folder)
    (bright, (fields, vector)) = next(
        (identity, point)
        for identity, point in before.items()
        if str(point[0]["uri"]).endswith("002.png") and point[0]["ordinal"] == 1
    )
    rle = fields["rle"]
    assert isinstance(rle, dict)
    same = CocoRle(tuple(rle["size"]), rle["counts"])
    point = add(folder, images / "002.png", same)
    assert point.id != bright
    assert point.vector is not None
    np.testing.assert_allclose(point.vector, vector, rtol=0, atol=1e-6)


def test_the_same_mask_is_the_same_object(images: Path, folder: Settings) -> None:
    first = add(folder, images / "001.png", square(), "mug")
    # The same pixels, with runs of nothing between them.
    runs = square().runs().tolist()
    odd = CocoRle.from_runs((16, 24), [runs[0], 1, 0, *([runs[1] - 1, *runs[2:]])])
    assert odd.counts != square().counts
    again = add(folder, images / "001.png", odd, "cup")
    assert (again.id, again.payload["segmenter_label"]) == (first.id, "mug")
    other = add(folder, images / "002.png", square())
    assert len(added_points(folder)) == len(recorded(folder)) == 2
    assert other.id != first.id


def test_what_cannot_be_added_is_a_sentence(images: Path, folder: Settings) -> None:
    uri = (images / "001.png").as_uri()
    size_hw = (16, 24)
    empty = CocoRle.from_mask(np.zeros(size_hw, np.bool_))
    with searcher_of(folder) as searcher:

        def refuse(kind: type[Exception], match: str, uri: str, rle: CocoRle, label: str) -> None:
            with pytest.raises(kind, match=match):
                add_object(ObjectToAdd(uri, rle, label), searcher)

        refuse(
            NotIndexedError, "holds no image 's3://photos/a.jpg'", "s3://photos/a.jpg", empty, ""
        )
        refuse(NotIndexedError, "holds no image 'no uri'", "no uri", empty, "")
        refuse(
            UsageError, r"of size \[16, 24\], got one of \[9, 9\]", uri, square(0, 0, 2, (9, 9)), ""
        )
        refuse(UsageError, "a mask with pixels, got an empty one", uri, empty, "x")
        refuse(UsageError, "COCO's compressed RLE", uri, CocoRle(size_hw, "~"), "x")
        refuse(UsageError, "1 to 120 characters, got 0", uri, square(), " ")
        refuse(UsageError, "1 to 120 characters, got 121", uri, square(), "x" * 121)
        with pytest.raises(NotIndexedError, match="holds no object"):
            remove_object(uuid.uuid4(), searcher)
        found = next(searcher.index.scroll([Condition(field="ordinal", op="=", value=0)]))
        with pytest.raises(NotAddedError, match="was found by an ingest"):
            remove_object(uuid.UUID(found.id), searcher)
    fakes.write_image(images / "001.png", 77)
    with pytest.raises(ObjectChangedError):
        add(folder, images / "001.png")
    assert (recorded(folder), added_points(folder)) == ({}, {})


def test_another_embedder_adds_nothing(images: Path, folder: Settings) -> None:
    class Other(fakes.MeanEmbedder):
        def __init__(self) -> None:
            self.fingerprint = "of other weights"

    wanted = ObjectToAdd((images / "001.png").as_uri(), square())
    with (
        searcher_of(folder, Other()) as searcher,
        pytest.raises(EmbedderMismatchError, match="those of 'mean' are others now"),
    ):
        add_object(wanted, searcher)


def test_a_removed_object_is_gone(images: Path, settings: Settings) -> None:
    point = add(settings, images / "001.png")
    with searcher_of(settings) as searcher:
        remove_object(uuid.UUID(point.id), searcher)
    assert (recorded(settings), added_points(settings)) == ({}, {})
    assert verify(settings).findings == []
    # And may come back.
    assert add(settings, images / "001.png", label="cup").payload["segmenter_label"] == "cup"
    assert verify(settings).findings == []


class CrashError(Exception):
    """Of a process, at a place of our choice."""


def crash(*_: object) -> None:
    raise CrashError


def test_a_crash_between_record_and_point(
    images: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = images / "001.png"
    with searcher_of(settings) as searcher, monkeypatch.context() as patch:
        patch.setattr(type(searcher.index), "add_objects", crash)
        with pytest.raises(CrashError):
            add_object(ObjectToAdd(image.as_uri(), square(), "mug"), searcher)
    assert (len(recorded(settings)), added_points(settings)) == (1, {})
    assert faults(verify(settings)) == [(Fault.MISSING, 1)]
    # Whoever asks again has it; otherwise a repair and the next ingest bring it.
    verify(settings, repairing=True)
    assert run(images, settings).counts.done == 1
    (point,) = added_points(settings).values()
    assert point.payload["segmenter_label"] == "mug"
    assert verify(settings, [str(images)]).findings == []


def test_asking_again_after_a_crash_brings_the_object(
    images: Path, folder: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with searcher_of(folder) as searcher, monkeypatch.context() as patch:
        patch.setattr(type(searcher.index), "add_objects", crash)
        with pytest.raises(CrashError):
            add_object(ObjectToAdd((images / "001.png").as_uri(), square()), searcher)
    add(folder, images / "001.png")
    assert verify(folder).findings == []


def test_a_crash_between_the_removal_of_record_and_point(
    images: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = add(settings, images / "001.png")
    with searcher_of(settings) as searcher, monkeypatch.context() as patch:
        patch.setattr(type(searcher.index), "delete_points", crash)
        with pytest.raises(CrashError):
            remove_object(uuid.UUID(point.id), searcher)
    assert faults(verify(settings)) == [(Fault.EXTRA, 1)]
    verify(settings, repairing=True)
    assert (added_points(settings), verify(settings).findings) == ({}, [])


def test_a_point_that_is_not_as_recorded_is_altered(images: Path, folder: Settings) -> None:
    point = add(folder, images / "001.png")
    with closing(open_index(folder.index, None)) as index:
        (stored,) = index.scan([Condition(field="added", op="=", value="true")])
        index.restore([replace(stored, payload={**stored.payload, "segmenter_label": "cup"})])
    assert faults(verify(folder)) == [(Fault.ALTERED, 1)]
    verify(folder, repairing=True)
    run(images, folder)
    assert added_points(folder)[point.id].payload["segmenter_label"] == "mug"


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


class SpreadEmbedder(fakes.MeanEmbedder):
    """Another space, of 5 numbers."""

    name = "spread"
    dim = 5

    def __init__(self) -> None:
        self.fingerprint = fingerprint({"embedder": self.name})

    def embed_images(self, crops: UInt8Crops) -> Float32Matrix:
        return np.array([self._spread(crop) for crop in crops], np.float32)

    def _spread(self, crop: np.ndarray) -> np.ndarray:
        pixels = crop.reshape(-1, 3) / 255
        vector = np.concatenate([pixels.max(axis=0), [pixels.std(), 0.25]])
        return vector / np.linalg.norm(vector)


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
    from pipeline.jobs.reembed import _Reembed

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


def test_the_status_counts_it(
    images: Path, folder: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    add(folder, images / "001.png")
    with searcher_of(folder):
        held = gather_report(folder, (), 1).fields
    free = gather_report(folder, (), 1).fields
    print_fields(free)
    assert "objects:     9, 1 of them added by hand" in capsys.readouterr().out
    assert (held["objects"], held["added"], free["objects"], free["added"]) == (9, 1, 9, 1)


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
