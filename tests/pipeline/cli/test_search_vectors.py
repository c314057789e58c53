"""`objseek search --vector --sparse`: what is found, and a sentence for every wrong file."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from support.colour_world import build_index
from support.sparse_world import BLUE, COLOURS, PINK, RED, forbid_models, write_sparse
from typer.testing import CliRunner

from pipeline.cli.main import app

VECTOR = np.array(COLOURS[RED], np.float32)
SPARSE = {"indices": [1, 2], "values": [2.0, 1.0]}

# As a user types them; {w} is a folder with an index of squares, `index`, and the files below.
CALLS: list[tuple[str, str]] = [
    ("--vector {w}/none.npy", "the vector {w}/none.npy cannot be read: No such file or directory"),
    ("--vector {w}", "the vector {w} cannot be read: Is a directory"),
    ("--vector {w}/good.json", "expected a .npy file of floats in {w}/good.json, got another file"),
    ("--vector {w}/empty", "expected a .npy file of floats in {w}/empty, got another file"),
    (
        "--vector {w}/object.npy",
        "expected a .npy file of floats in {w}/object.npy, got another file",
    ),
    ("--vector {w}/cut.npy", "expected a .npy file of floats in {w}/cut.npy, got another file"),
    ("--vector {w}/many.npz", "expected one vector in {w}/many.npz, as a .npy file has it, got an"),
    (
        "--vector {w}/whole.npy",
        "expected one vector of floats in {w}/whole.npy, (dim,) or (1, dim), got int64 (4,)",
    ),
    (
        "--vector {w}/two.npy",
        "expected one vector of floats in {w}/two.npy, (dim,) or (1, dim), got float32 (2, 4)",
    ),
    (
        "--vector {w}/scalar.npy",
        "expected one vector of floats in {w}/scalar.npy, (dim,) or (1, dim), got float64 ()",
    ),
    (
        "--vector {w}/nan.npy",
        "expected finite numbers that are not all zero in {w}/nan.npy, got others",
    ),
    ("--vector {w}/zero.npy", "expected finite numbers that are not all zero in {w}/zero.npy"),
    ("--vector {w}/nothing.npy", "expected finite numbers that are not all zero in {w}/nothing"),
    (
        "--vector {w}/long.npy",
        "expected a vector of 4 numbers in {w}/long.npy, as those of the index, got 5",
    ),
    ("--sparse {w}/none.json", "the sparse vector {w}/none.json cannot be read: No such file or"),
    ("--sparse {w}/good.npy", "expected JSON in {w}/good.npy: "),
    ("--sparse {w}/deep.json", "expected JSON in {w}/deep.json: "),
    (
        "--sparse {w}/text.json",
        'expected {"indices": [...], "values": [...]} or a list of [index, value] pairs in '
        "{w}/text.json, got something else",
    ),
    (
        "--sparse {w}/triples.json",
        'expected {"indices": [...], "values": [...]} or a list of [index, value] pairs in '
        "{w}/triples.json, got a list of something else",
    ),
    (
        "--sparse {w}/twice.json",
        "the sparse vector {w}/twice.json is wrong: expected each index once, one stands twice",
    ),
    (
        "--sparse {w}/uneven.json",
        "the sparse vector {w}/uneven.json is wrong: expected as many values as indices, got",
    ),
    (
        "--sparse {w}/zeros.json",
        "the sparse vector {w}/zeros.json is wrong: expected values that are finite and not zero",
    ),
    ("--sparse {w}/half.json", "the sparse vector {w}/half.json is wrong: values: Field required"),
    (
        "--sparse {w}/odd.json",
        "the sparse vector {w}/odd.json is wrong: indices.0: Input should be a valid integer",
    ),
    ("--sparse {w}/none_in.json", "the sparse vector {w}/none_in.json is wrong: indices: Tuple"),
    (
        '--sparse {w}/good.json --not "red"',
        "expected a text, an image, an object or a vector to look for where something is not",
    ),
    (
        "--sparse {w}/good.json --index {w}/without/index",
        "expected an index with sparse vectors to search by one, this has none",
    ),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    write_sparse(build_index(folder))
    (folder / "without").mkdir()
    build_index(folder / "without")
    arrays = {
        "good": VECTOR,
        "row": VECTOR[None].astype(np.float16),
        "whole": np.ones(4, np.int64),
        "two": np.ones((2, 4), np.float32),
        "scalar": np.array(1.0),
        "nan": np.array([1, np.nan, 0, 0]),
        "zero": np.zeros(4),
        "nothing": np.zeros(0),
        "long": np.ones(5),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "object.npy", np.array([{}]), allow_pickle=True)
    np.savez(folder / "many.npz", a=VECTOR)
    (folder / "cut.npy").write_bytes((folder / "good.npy").read_bytes()[:-4])
    (folder / "empty").write_bytes(b"")
    texts = {
        "good": SPARSE,
        "pairs": [[2, 1.0], [1, 2]],
        "text": "words",
        "triples": [[1, 2, 3]],
        "twice": [[1, 2.0], [1, 3.0]],
        "uneven": {"indices": [1, 2], "values": [1.0]},
        "zeros": [[1, 0.0]],
        "half": {"indices": [1]},
        "odd": [[1.5, 1.0]],
        "none_in": [],
    }
    for name, value in texts.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    (folder / "deep.json").write_text("[" * 100_000)
    return folder


def call(line: str, world: Path, *more: str) -> Result:
    index = () if "--index" in line else ("--index", str(world / "index"))
    words = shlex.split(line.replace("{w}", str(world)))
    return CliRunner().invoke(app, ["search", *words, *index, *more])


def found(result: Result) -> list[tuple[str, tuple[int, ...]]]:
    assert result.exit_code == 0, result.output
    payloads = [hit["payload"] for hit in json.loads(result.stdout)]
    return [(payload["uri"].rpartition("/")[2], tuple(payload["bbox"])) for payload in payloads]


@pytest.mark.parametrize(("line", "sentence"), CALLS, ids=[line for line, _ in CALLS])
def test_a_wrong_file_is_a_sentence_that_names_it(
    world: Path, line: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_models(monkeypatch)
    result = call(line, world)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert result.stderr.startswith("Error: " + sentence.replace("{w}", str(world)))
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("--vector {w}/good.npy", [RED, PINK]),
        ("--vector {w}/row.npy", [RED, PINK]),
        ("--sparse {w}/good.json", [PINK, RED, BLUE]),
        ("--sparse {w}/pairs.json", [PINK, RED, BLUE]),
        ("--sparse {w}/good.json --min-score 1.9", [PINK, RED]),
        ("--vector {w}/good.npy --sparse {w}/good.json", [PINK]),
    ],
)
def test_files_are_searched_with_and_no_model_is_loaded(
    world: Path,
    line: str,
    first: list[tuple[str, tuple[int, ...]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    forbid_models(monkeypatch)
    sheet = tmp_path / "sheet.png"
    result = call(line, world, "--json", "--sheet", str(sheet))
    squares = found(result)
    if len(first) > 1:
        assert squares[: len(first)] == first
    assert {hit.get("probability") for hit in json.loads(result.stdout)} == {None}
    assert sheet.stat().st_size > 1000


def test_a_table_has_dot_products_for_scores(world: Path) -> None:
    result = call("--sparse {w}/good.json", world)
    assert result.exit_code == 0
    assert "3.000" in result.stdout
    assert "3 hits in" in result.stderr
