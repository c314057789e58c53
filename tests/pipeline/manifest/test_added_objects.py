"""The records of added objects: in a folder and a bucket, merged, removed, damaged."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from support.s3_server import moto_server

from pipeline.manifest.added_objects import AddedObjects
from pipeline.manifest.bucket_storage import BucketParts
from pipeline.manifest.manifest import Manifest
from pipeline.manifest.part_storage import FolderParts, Parts
from schemas.added import AddedObject
from schemas.errors import ManifestError
from schemas.masks import CocoRle
from schemas.options import StoreOptions

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
IMAGE = uuid.UUID(int=7)


@pytest.fixture(params=["folder", "bucket"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Parts]:
    if request.param == "folder":
        yield FolderParts(tmp_path / "manifest")
        return
    with moto_server() as server:
        options = StoreOptions(endpoint_url=server.endpoint_url)
        yield BucketParts(f"s3://{server.make_bucket()}/photos", options)


def record(number: int, image: uuid.UUID = IMAGE, label: str | None = "mug") -> AddedObject:
    mask = np.zeros((9, 70), np.bool_)
    mask[2:4, number : number + 3] = True
    at = AT + timedelta(seconds=number)
    return AddedObject.of(image, "s3://photos/a.jpg", "v1", CocoRle.from_mask(mask), label, at)


def test_records_come_back(parts: Parts) -> None:
    manifest = Manifest(parts)
    assert manifest.added.by_image() == {}
    first, other = record(1), record(2, uuid.UUID(int=8), None)
    manifest.added.add([first, other])
    again = Manifest(parts).added
    assert again.all() == {first.object_id: first, other.object_id: other}
    assert again.by_image() == {str(IMAGE): (first,), other.image_id: (other,)}
    # They are no rows.
    assert (manifest.has_parts(), list(manifest.latest())) == (False, [])
    assert again.remove_images({str(IMAGE)}) == 1
    assert (manifest.added.find(first.object_id), manifest.added.find(other.object_id)) == (
        None,
        other,
    )


def test_many_parts_are_merged(tmp_path: Path) -> None:
    parts = FolderParts(tmp_path / "manifest")
    added = AddedObjects(parts)
    records = [record(number) for number in range(40)]
    for each in records:
        added.add([each])
    added.remove(records[:1])
    assert len(parts.sizes()) <= 17
    assert AddedObjects(parts).all() == {each.object_id: each for each in records[1:]}


def test_the_last_word_counts(tmp_path: Path) -> None:
    added = AddedObjects(FolderParts(tmp_path / "manifest"))
    # By a machine whose clock is ahead.
    ahead = AddedObject.of(
        IMAGE, "s3://photos/a.jpg", "v1", record(1).rle, "x", datetime(2999, 1, 1, tzinfo=UTC)
    )
    added.add([ahead])
    added.remove([ahead])
    assert added.all() == {}
    added.add([record(1)])
    assert list(added.all()) == [ahead.object_id]


def test_a_late_merge_brings_nothing_back(tmp_path: Path) -> None:
    """Whoever merges parts may have read them before the last one, and writes after it."""
    folder = tmp_path / "manifest"
    added = AddedObjects(FolderParts(folder))
    ahead = replace(record(1), at=datetime(2999, 1, 1, tzinfo=UTC))
    added.add([ahead])
    (first,) = folder.iterdir()
    added.remove([ahead])
    shutil.copy(first, folder / f"part-{'9' * 20}-00000000.parquet")
    assert AddedObjects(FolderParts(folder)).all() == {}


def test_a_damaged_part_is_a_sentence(tmp_path: Path) -> None:
    added = AddedObjects(FolderParts(tmp_path / "manifest"))
    added.add([record(1)])
    (part,) = (tmp_path / "manifest").iterdir()
    part.write_bytes(b"no Parquet")
    with pytest.raises(ManifestError, match=f"added objects .*{part.name} cannot be read"):
        AddedObjects(FolderParts(tmp_path / "manifest")).all()
