"""`objseek duplicates`, as a user types it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from support import colour_world
from typer.testing import CliRunner

from pipeline.cli.main import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures, of which one was copied as it is, and once more at half its size."""
    folder = tmp_path_factory.mktemp("copies")
    colour_world.paint(folder)
    shutil.copy(folder / "two.png", folder / "again.png")
    with Image.open(folder / "two.png") as picture:
        picture.resize((60, 40), Image.Resampling.NEAREST).save(folder / "half.png")
    squares = colour_world.PICTURES["two.png"]
    halved = [(name, tuple(side // 2 for side in box)) for name, box in squares]
    pictures = {**colour_world.PICTURES, "again.png": squares, "half.png": halved}
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(colour_world, "PICTURES", pictures)
        colour_world.build_index(folder, tuple(pictures))
    return folder


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["duplicates", "-i", str(folder / "index"), *arguments])


def names(group: dict[str, object]) -> list[str]:
    points = [group["keep"], *group["others"]]  # type: ignore[misc]
    return [point["uri"].rpartition("/")[2] for point in points]


def test_images_as_json_the_largest_to_be_kept(folder: Path) -> None:
    result = run(folder, "--json")
    assert result.exit_code == 0, result.output
    (group,) = json.loads(result.stdout)
    assert sorted(names(group)) == ["again.png", "half.png", "two.png"]
    assert names(group)[0] != "half.png"
    assert group["keep"]["size_wh"] == [120, 80]
    assert "1 group, 2 images beside those that would be kept" in result.stderr


def test_objects_under_a_filter(folder: Path) -> None:
    groups = json.loads(run(folder, "--objects", "--json").stdout)
    assert sorted(len(names(group)) for group in groups) == [3, 3]
    few = json.loads(run(folder, "--objects", "-j", "-f", "width=120", "--limit", "1").stdout)
    assert [sorted(names(group)) for group in few] == [["again.png", "two.png"]]


def test_csv_and_table_have_a_row_for_each(folder: Path) -> None:
    result = run(folder, "--csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["group"], row["keep"]) for row in rows] == [("1", "1"), ("1", "0"), ("1", "0")]
    assert rows[0]["similarity"] == "1.000000"
    table = run(folder).stdout.splitlines()
    assert table[0].split() == [
        "group", "similarity", "size", "px", "box", "labels", "image", "object", "id",
    ]  # fmt: skip
    assert len(table) == 4


def test_a_sheet_has_a_row_for_each_group(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "groups.png"
    assert run(folder, "--objects", "--sheet", str(path)).exit_code == 0
    with Image.open(path) as sheet:
        width, height = sheet.size
        colours = {colour for _, colour in sheet.convert("RGB").getcolors(2**24) or ()}
    assert height > width / 2
    assert {(0, 0, 255), (255, 0, 110)} <= colours


def test_nothing_alike_is_nothing_printed(folder: Path) -> None:
    result = run(folder, "--filter", "uri^=file:///no")
    assert (result.stdout, result.exit_code) == ("", 0)
    assert "0 groups" in result.stderr


def test_wrong_calls_are_a_sentence(folder: Path, tmp_path: Path) -> None:
    both = run(folder, "--json", "--csv")
    assert (both.exit_code, both.stderr) == (2, "Error: expected --json or --csv, got both\n")
    sheet = run(folder, "--sheet", str(tmp_path / "a.txt"))
    assert sheet.exit_code == 2
    assert "expected a sheet that ends in one of" in sheet.stderr
    assert run(folder, "--similarity", "2").exit_code == 2
