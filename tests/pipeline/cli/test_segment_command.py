"""`objseek segment`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from click.testing import Result
from PIL import Image
from support.colour_world import paint
from support.segment_world import PromptableColours, source_of
from typer.testing import CliRunner

import pipeline.cli.run_segment
from pipeline.cli.commands import segment
from pipeline.cli.segment_query import parse_labelled_point
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.masks import CocoRle

app = typer.Typer()
segment.register(app)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    paint(folder)
    (folder / "labels.txt").write_text("blue\npink\nred\ngreen\n")
    return folder


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Source:
        @staticmethod
        def of(settings: Settings) -> object:
            return source_of(settings, PromptableColours())

    monkeypatch.setattr(pipeline.cli.run_segment, "ModelSource", Source)
    monkeypatch.setattr(pipeline.cli.run_segment, "prepare_models", lambda settings, **_: None)


def run(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(map(str, args)))
    assert result.exit_code == code, result.output
    return result


def test_a_table_of_everything(folder: Path) -> None:
    lines = run(folder / "two.png").stdout.splitlines()
    assert lines[0].split() == [
        "mask",
        "area",
        "px",
        "of",
        "the",
        "image",
        "sure",
        "box",
        "x0,y0,x1,y1",
    ]
    assert lines[1].split() == ["1", "2,000", "20.8%", "0.90", "60,20,100,70"]
    assert lines[-1] == "2 masks in 1 image"


def test_all_outputs_of_several_images(folder: Path, tmp_path: Path) -> None:
    outputs = ("--coco", tmp_path / "c.json", "--panoptic", tmp_path / "p.json")
    more = ("--rle", tmp_path / "r.jsonl", "--png", tmp_path / "m", "--overlay", tmp_path / "o")
    told = run(folder / "*.png", *outputs, *more, "--json")
    images = {Path(each["uri"]).name: each for each in json.loads(told.stdout)["images"]}
    assert {name: len(each["masks"]) for name, each in images.items()} == {
        "one.png": 1,
        "three.png": 1,
        "two.png": 2,
    }
    assert len(json.loads((tmp_path / "c.json").read_text())["annotations"]) == 4
    assert len(json.loads((tmp_path / "p.json").read_text())["annotations"]) == 3
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    for line in lines:
        rle = CocoRle(tuple(line["rle"]["size"]), line["rle"]["counts"])
        assert (rle.area_px, list(rle.bbox_xyxy)) == (line["area"], line["bbox"])
    names = sorted(path.name for path in (tmp_path / "m").iterdir())
    assert names == ["one-001.png", "three-001.png", "two-001.png", "two-002.png"]
    mask = np.asarray(Image.open(tmp_path / "m" / "one-001.png"))
    assert mask[30, 30]
    assert mask.sum() == 1600
    drawn = Image.open(tmp_path / "o" / "one.png").copy()
    assert drawn.size == (120, 80)
    assert drawn.getpixel((110, 70)) == (128, 128, 128)
    assert drawn.getpixel((40, 40)) != (255, 0, 0)


def test_a_mask_that_was_written_is_a_prompt(folder: Path, tmp_path: Path) -> None:
    run(folder / "two.png", "--point", "20,20", "--png", tmp_path)
    told = run(folder / "two.png", "--mask", tmp_path / "two-001.png", "--json")
    (mask,) = json.loads(told.stdout)["images"][0]["masks"]
    assert mask["bbox"] == [10, 10, 40, 50]


def test_text_and_labels(folder: Path, tmp_path: Path) -> None:
    lines = run(folder / "two.png", "--text", "blue", "--overlay", tmp_path / "o.jpg").stdout
    assert "blue" in lines.splitlines()[1]
    assert "1 mask in 1 image" in lines
    with Image.open(tmp_path / "o.jpg") as picture:
        assert picture.format == "JPEG"
    run(folder, "--labels", folder / "labels.txt", "--panoptic", tmp_path / "p.json")
    names = {each["name"] for each in json.loads((tmp_path / "p.json").read_text())["categories"]}
    assert names == {"red", "pink", "blue", "green"}


def test_boxes_of_a_file(folder: Path, tmp_path: Path) -> None:
    document = {
        "images": [{"id": 1, "file_name": "two.png", "width": 120, "height": 80}],
        "annotations": [{"id": 1, "image_id": 1, "bbox": [8, 8, 34, 44]}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    told = json.loads(run(folder, "--boxes", tmp_path / "boxes.json", "--json").stdout)
    found = {Path(each["uri"]).name: each["masks"] for each in told["images"]}
    assert [mask["bbox"] for mask in found["two.png"]] == [[10, 10, 40, 50]]
    assert found["one.png"] == []


def test_a_broken_image_is_told_and_the_others_go_on(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    told = run(tmp_path / "bad.png", folder / "one.png", code=1)
    assert "1 mask in 1 image" in told.stdout
    assert "expected" in told.stderr
    assert "bad.png" in told.stderr
    assert "now file://" in told.stderr


def test_a_prompt_that_fits_one_image_only(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (30, 30)).save(tmp_path / "small.png")
    told = run(folder / "one.png", tmp_path / "small.png", "--point", "40,40", code=1)
    assert "1 mask in 1 image" in told.stdout
    assert "Error: expected a point within 30 x 30 pixels" in told.stderr


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--point", "900,4"], "expected a point within 120 x 80 pixels, got 900 (file://"),
        (["--point", "9"], "expected a point as x,y in pixels, or x,y,1 on the object and x,y,0 o"),
        (["--box", "60,9,20,65"], "expected a box within 120 x 80 pixels (file://"),
        (["--box", "1,2"], "expected a box as x0,y0,x1,y1 in whole pixels, got '1,2'"),
        (["--point", "9,9", "--text", "red"], "got --point, --box or --mask and --text"),
        (["--min-probability", "0.5"], "expected a --text to go with --min-probability"),
        (["--text", " "], "expected a text that says what to look for, got ' '"),
        (["--mask", "none.png"], "the mask none.png cannot be read: No such file or directory"),
        (["--labels", "none.txt"], "the list of labels none.txt cannot be read"),
        (["--panoptic", "out"], "expected a file such as out.json for --panoptic"),
        (["--coco", "none/out.json"], "the COCO file cannot be written to none/out.json"),
    ],
)
def test_a_wrong_prompt_is_a_sentence(
    folder: Path, args: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = run(folder / "one.png", *args, code=2)
    assert sentence in told.stderr
    assert "Traceback" not in told.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--overlay", "--png"])
def test_what_is_segmented_is_never_written_over(option: str, tmp_path: Path) -> None:
    paint(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    image = tmp_path / "two.png"
    told = run(image, option, tmp_path, code=2).stderr
    assert "expected another place to write to than that of the images" in told
    if option == "--overlay":
        run(image, option, image, code=2)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_mask_of_another_size_and_a_file_for_several_overlays(
    folder: Path, tmp_path: Path
) -> None:
    Image.new("1", (20, 20), 1).save(tmp_path / "mask.png")
    told = run(folder / "one.png", "--mask", tmp_path / "mask.png", code=2)
    assert "expected a mask of the image's size, got (20, 20)" in told.stderr
    told = run(folder, "--overlay", tmp_path / "o.png", code=2)
    assert "expected a folder for the overlays of several images" in told.stderr


def test_outputs_of_two_kinds_are_two_files(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    result = run(folder, "--coco", out, "--rle", out, code=2)
    assert "expected another file for each kind of output" in result.stderr
    assert not out.exists()


def test_points_have_labels() -> None:
    assert parse_labelled_point("3,4.5") == (3, 4.5, 1)
    assert parse_labelled_point("3,4,0") == (3, 4, 0)
    for wrong in ("3,4,2", "3,4,", "x,4", "3", "3,4,1,1"):
        with pytest.raises(UsageError, match="expected a point as x,y"):
            parse_labelled_point(wrong)
