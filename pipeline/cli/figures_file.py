"""Writes figures that were measured as JSON: to a file, to standard output, or to both."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from schemas.errors import UsageError
from workers.durable_files import check_output_file


@dataclass(frozen=True, slots=True)
class FiguresTarget:
    """Where figures go: to the file `path`, to `stream`, to both, or to neither."""

    path: Path | None = None
    stream: TextIO | None = None


@contextmanager
def open_target(path: Path | None, *, as_json: bool) -> Iterator[FiguresTarget]:
    """Where figures go during the block; with `as_json` to standard output, and tables to stderr.

    Raises UsageError where the file cannot be written, before anything is measured.
    """
    if path is not None:
        check_output_file(path, "the figures")
    if not as_json:
        yield FiguresTarget(path)
        return
    stream = sys.stdout
    with redirect_stdout(sys.stderr):
        yield FiguresTarget(path, stream)


def write_figures(figures: Mapping[str, object], seconds: float, target: FiguresTarget) -> None:
    """Write them, and how long they took, to wherever they are to go.

    Raises UsageError where the file cannot be written.
    """
    text = json.dumps({**figures, "seconds": round(seconds, 1)}, indent=1) + "\n"
    if target.stream is not None:
        target.stream.write(text)
    if target.path is None:
        return
    try:
        target.path.write_text(text)
    except OSError as exc:
        raise UsageError(f"the figures cannot be written to {target.path}: {exc.strerror}") from exc
