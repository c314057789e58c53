"""What docs/import.md says: its commands run, its fields and options are those there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import typer
from PIL import Image
from support import vector_files
from support.paths import ROOT
from typer.testing import CliRunner

from pipeline.cli.commands import export, search
from pipeline.cli.main import load_command
from pipeline.transfer.vectors.columns import FIELDS
from schemas.options import EmbedderOptions
from workers.registry import build_embedder

PAGE = (ROOT / "docs" / "import.md").read_text()
COMMANDS = re.findall(r"^    objseek (.*)$", PAGE, re.MULTILINE)
SCENES = sorted((ROOT / "tests" / "support" / "older_index" / "scenes").iterdir())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photographs, and the vectors that somebody has made of them."""
    (tmp_path / "photos").mkdir()
    pictures = [Image.open(path).convert("RGB") for path in SCENES]
    pictures += [picture.transpose(Image.Transpose.ROTATE_90) for picture in pictures]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / "photos" / f"{number}.png")
    embedder = build_embedder(EmbedderOptions(name="clip_demo"))
    vectors = 2 * embedder.embed_images([np.asarray(picture) for picture in pictures])
    titles = np.random.default_rng(0).normal(size=(6, 32)).astype(np.float32)
    rows = {
        "file_name": [f"{number}.png" for number in range(6)],
        "embedding": list(vectors),
        "price": [4.5, 12.0, 3.0, 8.0, 20.0, 1.0],
        "shop": ["north", "south"] * 3,
        "sparse": [
            {"indices": [7, 90 + number], "values": [0.1 + number / 10, 1.0]} for number in range(6)
        ],
        "title_vector": list(titles),
    }
    vector_files.write_parquet(tmp_path / "vectors.parquet", pa.table(rows))
    np.save(tmp_path / "query.npy", vectors[2])
    np.save(tmp_path / "title.npy", titles[4])
    terms = '{"indices": [7, 91], "values": [0.5, 1.2]}'
    (tmp_path / "terms.json").write_text(terms)
    assert terms.replace("91", "90") in PAGE
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str) -> tuple[int, str]:
    app = typer.Typer()
    export.register(app)
    search.register(app)
    result = CliRunner().invoke(app, shlex.split(command))
    return result.exit_code, result.output


def order(output: str) -> list[int]:
    """The numbers of the pictures, as hits have them."""
    return [int(number) for number in re.findall(r"photos/(\d)\.png", output)]


@pytest.mark.parametrize("index", ["./photos-index", "lance+file://{place}/table"])
def test_its_commands_run_one_after_the_other(place: Path, index: str) -> None:
    assert len(COMMANDS) == 7
    there = index.format(place=place)
    commands = [command.replace("./photos-index", there) for command in COMMANDS]
    plan, brought, by_text, by_terms, by_both, by_title, by_vector = map(run, commands)
    table = re.search(r"^    vectors\.parquet: .*?\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert table is not None
    for line in table[0].strip().splitlines():
        assert line.strip() in plan[1], plan[1]
    assert not (place / "objseek-index").exists()
    assert brought[0] == 0, brought[1]
    assert "clip_demo made these vectors: those of 4 images have a cosine of 1.000" in brought[1]
    assert re.search(r"points of whole images +6$", brought[1], re.MULTILINE)
    assert by_text[0] == 0, by_text[1]
    assert "0.png" in by_text[1]
    assert "1.png" not in by_text[1]  # it costs too much
    assert by_terms[0] == 0, by_terms[1]
    assert by_both[0] == 0, by_both[1]
    assert order(by_terms[1]) == [1, 5, 4, 3, 2, 0]
    # The first by terms is not the text's: ranks of both count.
    assert order(by_both[1])[0] == 1
    assert order(by_both[1]) != order(by_terms[1])
    assert by_title[0] == 0, by_title[1]
    assert order(by_title[1])[0] == 4
    assert by_vector[0] == 0, by_vector[1]
    assert by_vector[1].index("photos/2.png") < by_vector[1].index("photos/0.png")


def test_vectors_of_another_model_are_refused(place: Path) -> None:
    rows = pa.table(
        {
            "file_name": [f"{number}.png" for number in range(6)],
            "vector": list(np.random.default_rng(0).normal(size=(6, 256)).astype(np.float32)),
        }
    )
    vector_files.write_parquet(place / "vectors.parquet", rows)
    code, output = run(COMMANDS[1])
    assert (code, "expected vectors as clip_demo makes them, got others" in output) == (2, True)
    assert not (place / "photos-index").exists()
    assert run(f"{COMMANDS[1]} --no-check")[0] == 0


def test_every_field_and_every_option_of_its_own_is_described() -> None:
    table = PAGE.partition("## What columns mean")[2].partition("\n\n`--columns`")[0]
    assert [field for field in FIELDS if f"`{field}`" not in table] == []
    shared = {name for each in ("ingest",) for name in options_of(each)}
    own = (options_of("import") - shared) | {"--dry-run"}  # of which it tells other things
    assert {"--columns", "--dry-run", "--images", "--strict"} <= own
    assert [name for name in sorted(own - {"--check"}) if name not in PAGE] == []


def options_of(command: str) -> set[str]:
    return {
        name
        for parameter in load_command(command).params
        for name in parameter.opts
        if name.startswith("--") and name != "--help"
    }
