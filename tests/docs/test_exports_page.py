"""What docs/exports.md says: its commands run, and its code reads what they write."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support import fakes
from support.doc_pages import DocPage, run_all
from support.paths import ROOT
from support.yolo_reader import read_dataset

from pipeline.cli.commands.export import Format
from pipeline.jobs.ingest import ingest

PAGE = DocPage("exports.md")
CODE = PAGE.blocks("python")
IMAGES = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the commands have run."""
    folder = tmp_path_factory.mktemp("exports")
    fakes.write_images(folder / "photos", IMAGES)
    settings = fakes.settings(folder / "index")
    ingest([str(folder / "photos")], settings, recipe=fakes.recipe(settings))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        outputs = run_all(PAGE.commands())
        assert all(f"{2 * IMAGES} objects of {IMAGES} images" in output for output in outputs)
        yield folder


def arguments(module: str) -> list[dict[str, object]]:
    """The arguments by name of the calls that read files, in the blocks that import a module."""
    found = []
    for block in CODE:
        if f"import {module}" in block:
            (call,) = (
                node for node in ast.walk(ast.parse(block))
                if isinstance(node, ast.Call) and node.keywords
            )  # fmt: skip
            found.append({each.arg: each.value for each in call.keywords})
    return [
        {name: ast.literal_eval(value) for name, value in each.items()
         if isinstance(value, ast.Constant)} for each in found
    ]  # fmt: skip


# Of pycocotools, about NumPy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("module", ["duckdb", "pandas", "pycocotools.coco", "numpy"])
def test_its_code_reads_what_the_commands_write(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = (each for each in CODE if f"import {module}" in each or f"from {module}" in each)
    exec(compile(block, module, "exec"), {})
    output = capsys.readouterr().out
    wanted = {
        "duckdb": f"{2 * IMAGES}", "pandas": "predicted_iou", "pycocotools.coco": ".png [",
        "numpy": "True 1.0",
    }  # fmt: skip
    assert wanted[module] in output, output


def test_others_find_files_where_the_page_says(place: Path) -> None:
    yolo, coco = arguments("supervision")
    assert (place / str(yolo["data_yaml_path"])).is_file()
    images = place / str(yolo["images_directory_path"])
    labels = place / str(yolo["annotations_directory_path"])
    assert {path.stem for path in images.iterdir()} == {path.stem for path in labels.iterdir()}
    assert sorted(read_dataset(place / "yolo")) == sorted(path.name for path in images.iterdir())
    fiftyone, own = arguments("fiftyone")
    folder = place / str(own["dataset_dir"])
    samples = json.loads((folder / "samples.json").read_text())["samples"]
    assert [(folder / each["filepath"]).is_file() for each in samples] == [True] * IMAGES
    for folder, file in (
        (coco["images_directory_path"], coco["annotations_path"]),
        (fiftyone["data_path"], fiftyone["labels_path"]),
    ):
        document = json.loads((place / str(file)).read_text())
        for image in document["images"]:
            assert (place / str(folder) / image["file_name"]).is_file()


def test_polars_finds_the_columns_that_the_page_names(place: Path) -> None:
    (block,) = (each for each in CODE if "import polars" in each)
    pattern, *columns = re.findall(r'"([^"]+)"', block)
    (path,) = place.glob(pattern)
    assert len(columns) == 4
    assert set(columns) <= set(pq.read_schema(path).names)


def test_coco_has_what_datumaro_asks_for(place: Path) -> None:
    """CVAT reads by it: every field of its type, none null, categories from 1, names below."""
    document = json.loads((place / "coco.json").read_text())
    assert [image["file_name"] for image in document["images"]]
    for image in document["images"]:
        assert {type(image[name]) for name in ("id", "width", "height")} == {int}
        assert not image["file_name"].startswith("/")
    sizes = {image["id"]: [image["height"], image["width"]] for image in document["images"]}
    categories = {category["id"] for category in document["categories"]}
    assert min(categories) == 1
    for annotation in document["annotations"]:
        assert None not in annotation.values()
        assert {type(annotation[name]) for name in ("id", "image_id", "category_id")} == {int}
        assert annotation["category_id"] in categories
        assert annotation["iscrowd"] == 0
        assert len(annotation["bbox"]) == 4
        assert isinstance(annotation.get("score", 0.5), float)
        assert annotation["segmentation"]["size"] == sizes[annotation["image_id"]]
        assert isinstance(annotation["segmentation"]["counts"], str)


def test_every_format_is_on_the_page() -> None:
    for form in Format:
        assert form is Format.PARQUET or f"--format {form.value}" in PAGE.text, form
    assert (ROOT / "docs" / "exports.md").is_file()
