"""Has vectors laid out in a plane by UMAP, in a process of its own, and follows how far it is."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

import numpy as np
import numpy.typing as npt

from schemas.errors import ModelError, UsageError, one_line
from schemas.records import Float32Matrix

_PROGRAM = Path(__file__).with_name("map_process.py")
_STEP = re.compile(r"^(\d+)/(\d+)$")
_LAST_BYTES = 2000

Report = Callable[[int, int], None]
"""Takes how many steps are done, and of how many."""


def require_umap() -> None:
    """Raise UsageError unless UMAP is installed."""
    if find_spec("umap") is None:
        raise UsageError(
            "expected umap-learn to be installed for a map of objects: pip install 'objseek[map]'"
        )


def lay_out(vectors: Float32Matrix, report: Report) -> npt.NDArray[np.float32]:
    """Float32 (n, 2) within -1 and 1 for rows float32 (n, dim), near to what is alike.

    Whatever `report` raises ends the process. Raises UsageError where UMAP is not installed,
    ModelError where it fails.
    """
    require_umap()
    with TemporaryDirectory(prefix="objseek-map-") as folder, TemporaryFile() as errors:
        source, target = Path(folder) / "vectors.npy", Path(folder) / "positions.npy"
        np.save(source, vectors)
        # By its path: as a module it would load this package, and what that imports.
        command = [sys.executable, "-P", str(_PROGRAM), str(source), str(target)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as running:
            try:
                assert running.stdout is not None
                for line in _read_lines(running.stdout):
                    if step := _STEP.match(line.strip()):
                        report(int(step[1]), int(step[2]))
            except BaseException:
                running.kill()
                raise
        if running.returncode:
            raise ModelError(f"UMAP could not lay the objects out: {_read_end(errors)}")
        positions: npt.NDArray[np.float32] = np.load(target)
        return positions


def _read_lines(stream: IO[str]) -> Iterator[str]:
    """Lines, of which a carriage return ends one too, as they come."""
    line = ""
    while character := stream.read(1):
        if character in "\r\n":
            yield line
            line = ""
        else:
            line += character
    yield line


def _read_end(errors: IO[bytes]) -> str:
    """The last line of what a process has said of its end."""
    errors.seek(0, 2)
    errors.seek(max(0, errors.tell() - _LAST_BYTES))
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return one_line(Exception(lines[-1])) if lines else "it gave no reason"
