"""A disk that is full ends an export, or a file of masks, with a sentence and no half file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.transfer_world import small_index

from pipeline.segmentation.coco_files import open_instances, open_panoptic
from pipeline.segmentation.mask_files import open_lines
from pipeline.settings import Settings
from pipeline.transfer.export_coco import export_coco
from pipeline.transfer.export_csv import export_csv
from pipeline.transfer.export_label_studio import export_label_studio
from pipeline.transfer.image_table import ImageTable
from schemas.errors import IndexUnavailableError, UsageError


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", refuse)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return small_index(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("export", [export_coco, export_csv, export_label_studio])
@pytest.mark.usefixtures("full_disk")
def test_an_export(world: Settings, export: Callable[..., object], tmp_path: Path) -> None:
    path = tmp_path / "objects"
    with pytest.raises(UsageError, match=f"cannot be written to {path}: No space left on device"):
        export(world, path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("open_file", [open_lines, open_instances, open_panoptic])
@pytest.mark.usefixtures("full_disk")
def test_a_file_of_masks(open_file: Callable[..., object], tmp_path: Path) -> None:
    path = tmp_path / "masks.json"
    with pytest.raises(UsageError, match=f"cannot be written to {path}: No space"), open_file(path):
        pass
    assert not [each for each in tmp_path.iterdir() if each.is_file()]


def _fill_up() -> None:
    with ImageTable.temporary() as table:
        table._table.execute("PRAGMA max_page_count = 1")
        table._table.execute("CREATE TABLE more (text)")


def _fill_up() -> None:
    with ImageTable.temporary() as table:
        table._table.execute("PRAGMA max_page_count = 1")
        table._table.execute("CREATE TABLE more (text)")


def test_the_temporary_table_of_images() -> None:
    with pytest.raises(IndexUnavailableError, match=r"room for temporary files in .*disk is full"):
        _fill_up()
