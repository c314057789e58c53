"""Writes Markdown: tables, pieces of code, and what docstrings say."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

_DOCTEST = re.compile(r"^>>> .*?(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


def write_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; line ends and bars in its cells are written so that they stay in them."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_write_cell, line)) + " |" for line in lines) + "\n"


def write_code(text: object) -> str:
    """A piece of code within a line, nothing for none."""
    return f"`{text}`" if str(text) else ""


def write_docstring(text: str | None) -> str:
    """A docstring's paragraphs, its examples as blocks of Python."""
    plain = inspect.cleandoc(text or "")
    return _DOCTEST.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```", plain)


def _write_cell(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text).replace("|", "\\|").strip()
