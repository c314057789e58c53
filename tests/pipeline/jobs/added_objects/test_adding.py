"""Objects that are added by hand are as all others, and are removed again; what is refused."""

from __future__ import annotations

import uuid
from contextlib import closing
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
    faults,
    recorded,
    run,
    searcher_of,
    square,
)

from pipeline.cli.status_report import gather_report, print_fields
from pipeline.jobs.added_object import (
    ObjectToAdd,
    add_object,
    remove_object,
)
from pipeline.jobs.verify import verify
from pipeline.manifest.audit import Fault
from pipeline.settings import Settings
from schemas.errors import (
    EmbedderMismatchError,
    NotAddedError,
    NotIndexedError,
    ObjectChangedError,
    UsageError,
)
from schemas.ids import ADDED_ORDINAL
from schemas.masks import CocoRle
from schemas.nesting import Level
from schemas.search import Condition
from workers.indexes.open import open_index


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
        refuse(UsageError, r"Unicode characters, got 'a\\ud800'", uri, square(), "a\ud800")
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
