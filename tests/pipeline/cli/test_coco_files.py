"""`import` and `eval` of COCO files that are wrong: a sentence, or a list and the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import fakes
from typer.testing import CliRunner

from pipeline.cli.main import app

pytestmark = pytest.mark.trials


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.transfer.import_coco.build_recipe", fakes.recipe)


def objseek(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def write(path: Path, *segmentations: Any) -> Path:
    fakes.write_images(path.parent / "images", 1)
    document = {
        "images": [{"id": 1, "file_name": "000.png", "width": 24, "height": 16}],
        "annotations": [
            {"id": 700 + n, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 9,
             "segmentation": segmentation}
            for n, segmentation in enumerate(segmentations)
        ],
        "categories": [{"id": 1, "name": "square"}],
    }  # fmt: skip
    path.write_text(json.dumps(document))
    return path


def import_file(path: Path, *options: str) -> tuple[int, str, str]:
    folder = path.parent
    return objseek(
        "import", path, "--images", folder / "images", "--index", folder / "index",
        "--runner", "local", *options,
    )  # fmt: skip


SQUARE = [[1, 1, 9, 1, 9, 9, 1, 9]]
FAR = [[1, 1, 3e8, 1, 9, 9]]


def test_an_import_lists_what_it_leaves_out(tmp_path: Path) -> None:
    path = write(tmp_path / "masks.json", SQUARE, [], FAR)
    code, out, _ = import_file(path)
    lines = out.splitlines()
    assert code == 0
    assert lines[:3] == [
        "left out: annotation 2 (id 701): expected an RLE or polygons, got []",
        "left out: annotation 3 (id 702): expected polygons within 24 x 16 pixels, "
        "got the coordinate 3e+08",
        "2 annotations left out as wrong",
    ]
    assert "objects                           1" in lines


def test_a_strict_import_refuses_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "masks.json", SQUARE, [], FAR)
    code, out, error = import_file(path, "--strict")
    assert (code, out) == (2, "")
    assert error == (
        f"Error: {path}, annotation 2 (id 701): expected an RLE or polygons, got [] "
        "(2 annotations are wrong)\n"
    )
    assert not (tmp_path / "index").exists()


def test_strict_is_for_coco_files(tmp_path: Path) -> None:
    code, _, error = objseek("import", tmp_path, "--strict", "--index", tmp_path / "index")
    assert (code, "expected --strict with a COCO file or vectors only" in error) == (2, True)


@pytest.mark.parametrize("segmentation", [[], FAR, {"size": [16, 24]}, [[float("nan")] * 6]])
def test_a_truth_of_one_bad_annotation_is_refused_in_a_sentence(
    tmp_path: Path, segmentation: Any
) -> None:
    path = write(tmp_path / "truth.json", segmentation)
    for options in ((), ("--strict",)):
        code, _, error = objseek("eval", "--truth", path, "--index", tmp_path / "index", *options)
        assert code == 2
        assert error.startswith(f"Error: {path}, annotation 1 (id 700): expected ")
        assert len(error.splitlines()) == 1
