"""An index that may only be read is searched in a copy, which nobody can write to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.colour_world import build_index
from support.paths import ROOT

AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
SCRIPT = """
import json, sys, tempfile
from pathlib import Path
from schemas.errors import ObjseekError
from schemas.options import IndexOptions
from schemas.points import PointLabels
from workers.indexes.open import open_index

options = IndexOptions(location=sys.argv[1])
told = []
with tempfile.TemporaryDirectory() as folder:
    tempfile.tempdir = folder
    index = open_index(options, None)
    points = list(index.scan())
    copies = len(list(Path(folder).iterdir()))
    other = open_index(options, None)  # the folder is free again
    other.close()
    for write in (lambda: index.delete_points([points[0].id]), lambda: index.upsert(points)):
        try:
            write()
        except ObjseekError as error:
            told.append(str(error))
    index.close()
    left = len(list(Path(folder).iterdir()))
try:
    open_index(options, index.dim, create=True)
except ObjseekError as error:
    told.append(str(error))
print(json.dumps({"points": len(points), "copies": copies, "left": left, "told": told}))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """An index that nobody may write to. Root may write anywhere, so another user has to read."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        build_index(place)
        place.chmod(0o755)
        paths = [*sorted((place / "index").rglob("*")), place / "index"]
        for path in paths:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield place / "index"
        for path in paths:
            path.chmod(0o755)


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may write anywhere"
)
def test_a_copy_is_searched_and_refuses_to_be_written_to(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    another = AS_NOBODY if os.geteuid() == 0 else []
    done = subprocess.run(
        [*another, sys.executable, "-c", SCRIPT, str(folder)], cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["points"], report["copies"], report["left"]) == (7, 1, 0)
    refused = f"expected an index that can be written to, {folder} can only be read"
    assert report["told"][:2] == [refused, refused]
    assert report["told"][2].startswith(f"the index folder {folder} cannot be used: ")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
