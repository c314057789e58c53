"""Reads notebooks, and writes them as pages of the site."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

_PICTURE = "image/png"


@dataclass(frozen=True, slots=True)
class Output:
    """What a cell has printed or shown: a text, or a picture as a PNG file."""

    text: str = ""
    picture: bytes = b""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: Markdown, or code with its outputs."""

    source: str
    is_code: bool
    outputs: list[Output] = field(default_factory=list)


def read_notebook(path: Path) -> list[Cell]:
    """The cells of a notebook, in their order."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return [
        Cell(
            "".join(cell["source"]),
            cell["cell_type"] == "code",
            [_read_output(output) for output in cell.get("outputs", ())],
        )
        for cell in document["cells"]
    ]


def _read_output(output: dict[str, Any]) -> Output:
    if output["output_type"] == "stream":
        return Output("".join(output["text"]))
    data = output["data"]
    if _PICTURE in data:
        return Output(picture=base64.b64decode("".join(data[_PICTURE])))
    return Output("".join(data["text/plain"]) + "\n")


def write_notebook(path: Path, cells: list[Cell]) -> None:
    """Write cells as a notebook of format 4.5."""
    document = {
        "cells": [_describe_cell(number, cell) for number, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


def _describe_cell(number: int, cell: Cell) -> dict[str, Any]:
    described: dict[str, Any] = {
        "cell_type": "code" if cell.is_code else "markdown",
        "id": f"cell-{number}",
        "metadata": {},
        "source": cell.source.splitlines(keepends=True),
    }
    if cell.is_code:
        outputs = [_describe_output(output) for output in cell.outputs]
        described |= {"execution_count": None, "outputs": outputs}
    return described


def _describe_output(output: Output) -> dict[str, Any]:
    if not output.picture:
        lines = output.text.splitlines(keepends=True)
        return {"output_type": "stream", "name": "stdout", "text": lines}
    data = {_PICTURE: base64.b64encode(output.picture).decode(), "text/plain": ["<picture>"]}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def write_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, and the pictures that are beside it, by their names."""
    pictures: dict[str, bytes] = {}
    parts = []
    for cell in read_notebook(path):
        parts.append(f"```python\n{cell.source}\n```" if cell.is_code else cell.source)
        for output in cell.outputs:
            if output.picture:
                name = f"{path.stem}-{len(pictures) + 1}.webp"
                pictures[name] = _to_webp(output.picture)
                parts.append(f"![What the cell shows]({name})")
            else:
                parts.append(f"```text\n{output.text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures


def _to_webp(png: bytes) -> bytes:
    file = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").save(file, "WEBP", quality=85)
    return file.getvalue()


def list_notebooks(folder: Path) -> Iterator[Path]:
    """The notebooks of `docs/notebooks`, by name."""
    yield from sorted(folder.glob("*.ipynb"))
