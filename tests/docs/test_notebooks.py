"""The notebooks of the documentation: they run, and have the outputs that are in them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from support.doc_pages import prepare
from support.paths import ROOT

from docs.site.notebooks import (
    Cell,
    Output,
    list_notebooks,
    read_notebook,
    write_notebook,
    write_page,
)
from docs.site.run_notebooks import run_cells

NOTEBOOKS = {path.stem: path for path in list_notebooks(ROOT / "docs" / "notebooks")}
LARGEST_BYTES = 400_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One folder for all, in which the scenes are made once."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = tmp_path_factory.mktemp("notebooks")
        prepare(folder, monkeypatch)
        # What hits are likely is in the outputs, which are those of the grid that is the default.
        monkeypatch.delenv("OBJSEEK_SEGMENTER__POINTS_PER_SIDE")
        yield folder


def outline(cell: Cell) -> list[str]:
    """What a cell shows, but for numbers, which follow the machine's arithmetic."""
    return [
        "a picture" if output.picture else re.sub(r"\d+", "#", output.text)
        for output in cell.outputs
    ]


@pytest.mark.long
# Of pycocotools, about NumPy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_shows_what_it_says(name: str) -> None:
    kept = read_notebook(NOTEBOOKS[name])
    for before, now in zip(kept, run_cells(kept), strict=True):
        assert outline(now) == outline(before), before.source


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_small_and_whole(name: str) -> None:
    path = NOTEBOOKS[name]
    document = json.loads(path.read_text(encoding="utf-8"))
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert path.stat().st_size < LARGEST_BYTES
    cells = read_notebook(path)
    assert any(cell.outputs for cell in cells)
    assert "/tmp" not in path.read_text(encoding="utf-8")
    page, pictures = write_page(path)
    assert page.startswith("# ")
    assert [name for name in pictures if f"]({name})" not in page] == []
    for target in re.findall(r"\]\((\.\./[^)]+)\)", page):
        assert (path.parent / target).exists(), target


def test_cells_run_as_in_jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sources = [
        "!echo one\n!echo two", "x = 1", "print(x)\nx + 1", "None",
        "from PIL import Image\nImage.new('RGB', (2000, 10), 'red')", "assert x == 1;",
    ]  # fmt: skip
    cells = run_cells([Cell("# text", False), *(Cell(source, True) for source in sources)])
    assert [[output.text for output in cell.outputs] for cell in cells[:5]] == [
        [], ["one\ntwo\n"], [], ["1\n2\n"], [],
    ]  # fmt: skip
    (shown,) = cells[5].outputs
    with Image.open(io.BytesIO(shown.picture)) as picture:
        assert picture.width == 760
    path = tmp_path / "a.ipynb"
    write_notebook(path, cells)
    assert read_notebook(path) == cells
    page, pictures = write_page(path)
    assert "```python\nprint(x)\nx + 1\n```\n\n```text\n1\n2\n```" in page
    assert list(pictures) == ["a-1.webp"]
    assert Output("1\n2\n") in cells[3].outputs
