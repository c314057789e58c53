"""`objseek export` writes over nothing, unless --force says so, and then over exports alone."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from support.folder_digest import digest_folder
from support.s3_server import moto_server
from support.transfer_world import IMAGES, small_index
from typer.testing import CliRunner, Result

from pipeline.cli.main import app
from pipeline.transfer.dataset_storage import CATALOGUE


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    small_index(folder)
    return folder / "index"


def export(index: Path, target: str | Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["export", str(target), "-i", str(index), *options])


def test_a_coco_file_is_written_over_with_force_alone(index: Path, tmp_path: Path) -> None:
    path = tmp_path / "masks.json"
    path.write_text("mine")
    refused = export(index, path, "--format", "coco")
    assert (refused.exit_code, path.read_text()) == (2, "mine")
    assert f"{path} is there: --force writes over it" in refused.stderr
    assert export(index, path, "--format", "coco", "--force").exit_code == 0
    assert len(json.loads(path.read_text())["annotations"]) > 0


def test_labels_for_yolo_are_a_zip_with_a_file_an_image(index: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.zip"
    path.write_text("mine")
    assert export(index, path, "--format", "yolo").exit_code == 2
    done = export(index, path, "--format", "yolo", "--force")
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(path) as made:
        assert made.testzip() is None
        files = [name for name in made.namelist() if name.startswith("labels/")]
        assert len(files) == IMAGES + 1
        lines = made.read("labels/000.txt").decode().splitlines()
        # Rectangles, each of four corners within the image.
        assert [len(line.split()) for line in lines] == [9, 9]
        assert all(0 <= float(share) <= 1 for line in lines for share in line.split()[1:])


def test_an_export_is_replaced_with_force_alone(index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    assert export(index, folder).exit_code == 0
    (folder / "left.txt").write_text("of the one before")
    before = digest_folder(folder)
    refused = export(index, folder)
    assert (refused.exit_code, digest_folder(folder)) == (2, before)
    assert "`objseek export --force` puts another export in its place" in refused.stderr
    assert export(index, folder, "--force").exit_code == 0
    assert (folder / CATALOGUE).is_file()
    assert not (folder / "left.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_a_folder_of_other_things_is_never_replaced(index: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    refused = export(index, tmp_path, "--force")
    assert (refused.exit_code, (tmp_path / "notes.txt").read_text()) == (2, "notes")
    assert "is neither" in refused.stderr


def test_an_export_that_fails_leaves_the_one_before(tmp_path: Path, index: Path) -> None:
    folder = tmp_path / "export"
    assert export(index, folder).exit_code == 0
    before = digest_folder(folder)
    failed = export(tmp_path / "none", folder, "--force")
    assert (failed.exit_code != 0, digest_folder(folder)) == (True, before)


def test_below_a_prefix_of_a_bucket_as_well(index: Path) -> None:
    with moto_server() as server:
        bucket = server.make_bucket({"mine/notes.txt": b"notes"})
        at = ("--endpoint-url", server.endpoint_url)
        assert export(index, f"s3://{bucket}/export", *at).exit_code == 0
        server.client.put_object(Bucket=bucket, Key="export/left.txt", Body=b"left")
        refused = export(index, f"s3://{bucket}/export", *at)
        assert (refused.exit_code, "has an export or a backup" in refused.stderr) == (2, True)
        assert export(index, f"s3://{bucket}/mine", *at, "--force").exit_code == 2
        assert export(index, f"s3://{bucket}/export", *at, "--force").exit_code == 0
        listed = server.client.list_objects_v2(Bucket=bucket)["Contents"]
        names = {item["Key"] for item in listed}
    assert "export/left.txt" not in names
    assert {f"export/{CATALOGUE}", "mine/notes.txt"} < names
