"""`objseek import` of vectors: what it prints before and after, and what it refuses."""

from __future__ import annotations

import shlex
from pathlib import Path

import pyarrow as pa
import pytest
import typer
from support import vector_files
from typer.testing import CliRunner

from pipeline.cli.commands import export
from pipeline.transfer.vectors import import_vectors
from pipeline.transfer.vectors.plan import ImportPlan


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of six rows, of which the third is wrong."""
    vectors = vector_files.unit_rows(6)
    vectors[2] = 0
    rows = vector_files.table().set_column(1, "embedding", pa.array(list(vectors)))
    rows = rows.append_column("other", pa.array(list(vectors)))
    vector_files.write_parquet(tmp_path / "v.parquet", rows)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str) -> tuple[int, list[str]]:
    app = typer.Typer()
    export.register(app)
    result = CliRunner().invoke(app, shlex.split(command))
    return result.exit_code, [" ".join(line.split()) for line in result.output.splitlines()]


def test_the_plan_comes_first_and_then_what_came_of_it() -> None:
    code, lines = run("import v.parquet --index i")
    assert code == 0
    assert lines[:6] == [
        "v.parquet: 6 rows, vectors of 8 numbers",
        "field column why",
        "vector embedding its name, list<element: float>",
        "uri uri its name, string",
        "left out other a further vector (list<element: float>)",
        "embedder: not named (--embedder): search takes vectors and objects, no texts",
    ]
    expected = [
        "file row why it is left out",
        "v.parquet 3 vector: expected a finite one, got one that is zero",
        "rows 6",
        "left out 1",
        "images written 5",
        "images unchanged 0",
        "points of objects 0",
        "points of whole images 5",
        "index i",
    ]
    assert [line for line in lines if line in expected] == expected
    assert "images unchanged 5" in run("import v.parquet --index i")[1]


def test_a_model_that_objseek_has_not_is_named_all_the_same() -> None:
    _, lines = run("import v.parquet --index i --embedder my_model --dry-run")
    assert lines[-1] == (
        "embedder: my_model, which objseek has not: search takes vectors and objects, no texts"
    )


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("import v.parquet --strict", "v.parquet, row 3: vector: expected a finite one"),
        ("import v.parquet --columns colour=x", "expected FIELD=COLUMN in --columns"),
        ("import v.parquet --columns vector=uri", "expected lists of numbers in the column 'uri'"),
        ("import notes.txt", "expected Parquet, Arrow or Feather files"),
        ("import masks.json --columns uri=x", "expected --columns with vectors only"),
        ("import masks.json --boxes xywh", "expected --boxes with vectors only"),
        ("import masks.json --no-check", "expected --no-check with vectors only"),
        ("import export --columns uri=x", "expected --columns with a COCO file or vectors only"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(place: Path, command: str, message: str) -> None:
    (place / "notes.txt").write_text("no vectors")
    (place / "export").mkdir()
    code, lines = run(f"{command} --index i")
    assert (code, message in lines[-1], lines[-1].startswith("Error: ")) == (2, True, True)
    assert not (place / "i").exists()


def test_whoever_interrupts_it_is_told_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> ImportPlan:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_vectors, "plan_import", interrupted)
    code, lines = run("import v.parquet --index i")
    assert code == 130
    assert "What was written stays; the same command continues from there." in lines
