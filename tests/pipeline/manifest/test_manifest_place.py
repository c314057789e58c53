"""Where the manifest of an index lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.index_home import manifest_folder, open_manifest
from schemas.errors import UsageError
from schemas.options import IndexOptions, StoreOptions


def test_the_manifest_lies_in_the_folder_of_an_index(tmp_path: Path) -> None:
    assert manifest_folder(str(tmp_path)) == tmp_path / "manifest"
    assert manifest_folder("~/index") == Path.home() / "index" / "manifest"


def test_the_manifest_of_a_server_lies_in_the_users_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = manifest_folder("http://qdrant:6333/photos")
    assert folder == tmp_path / "objseek" / "manifests" / "qdrant%3A6333" / "collection-photos"
    assert manifest_folder("https://QDRANT/photos/") == folder
    others = ["http://qdrant:6334/photos", "http://qdrant/..", "http://other/photos"]
    assert len({folder, *map(manifest_folder, others)}) == 4
    assert manifest_folder("http://qdrant/..").is_relative_to(folder.parent)
    monkeypatch.delenv("XDG_DATA_HOME")
    data = Path.home() / ".local" / "share" / "objseek" / "manifests"
    assert manifest_folder("http://qdrant/photos").is_relative_to(data)
    with pytest.raises(UsageError, match="it names no collection"):
        manifest_folder("http://qdrant:6333")


def test_places_that_cannot_be_one() -> None:
    with pytest.raises(UsageError, match="expected a folder or s3://bucket/prefix as state, got"):
        open_manifest(IndexOptions(state="https://example.org/state"), StoreOptions())
    with pytest.raises(UsageError, match="expected s3://bucket/prefix, got 's3://'"):
        open_manifest(IndexOptions(state="s3://"), StoreOptions())
