"""Runs notebooks from top to bottom and keeps what their cells print and show.

`python -m docs.site.run_notebooks docs/notebooks/*.ipynb` does so in a new folder, and writes the
outputs into the files.
"""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from PIL import Image

from docs.site.notebooks import Cell, Output, read_notebook, write_notebook

_WIDEST_PX = 760
_COLOURS = 128


def run_cells(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with the outputs that they have now, run in the working directory.

    Raises what a cell raises, and CalledProcessError for a command that fails.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    return [
        Cell(cell.source, True, list(_run(cell.source, names))) if cell.is_code else cell
        for cell in cells
    ]


def _run(source: str, names: dict[str, Any]) -> list[Output]:
    """As Jupyter does: lines with ! are commands, and the value of a last expression is shown."""
    if source.startswith("!"):
        return _to_outputs("".join(map(_run_command, source.splitlines())))
    module = ast.parse(source)
    last = module.body.pop() if isinstance(module.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(module, "<cell>", "exec"), names)
        shown = None
        if isinstance(last, ast.Expr):
            shown = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    picture = _draw(shown)
    if shown is not None and not picture:
        printed.write(f"{shown!r}\n")
    return _to_outputs(printed.getvalue()) + ([Output(picture=picture)] if picture else [])


def _to_outputs(text: str) -> list[Output]:
    return [Output(text)] if text else []


def _run_command(line: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        line.removeprefix("!"), shell=True, env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def _draw(shown: object) -> bytes:
    """A picture as a small PNG file; nothing for a value that is none."""
    if hasattr(shown, "_repr_png_"):
        shown = Image.open(io.BytesIO(shown._repr_png_()))
    if not isinstance(shown, Image.Image):
        return b""
    shown.thumbnail((_WIDEST_PX, _WIDEST_PX))
    file = io.BytesIO()
    shown.convert("RGB").quantize(_COLOURS).save(file, "PNG", optimize=True)
    return file.getvalue()


def main(paths: Sequence[str]) -> None:
    """Run notebooks, all in one folder, and write their outputs into them."""
    places = [Path(path).absolute() for path in paths]
    with tempfile.TemporaryDirectory(prefix="objseek-notebooks-") as folder:
        os.chdir(folder)
        for place in places:
            write_notebook(place, run_cells(read_notebook(place)))
            print(place.name)


if __name__ == "__main__":
    main(sys.argv[1:])
