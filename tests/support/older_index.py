"""An index that an earlier objseek made, with its bucket behind an S3 server."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.demo.s3_server import BucketAddress, serve_bucket

SOURCE = "s3://objseek-demo/scenes/"
_FILES = Path(__file__).parent / "older_index"


@contextmanager
def older_index(folder: Path) -> Iterator[BucketAddress]:
    """The index in `folder`/index; its three scenes are served meanwhile."""
    with tarfile.open(_FILES / "index.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    shutil.copytree(_FILES / "scenes", folder / "scenes")
    with serve_bucket(folder) as place:
        assert place.source == SOURCE
        yield place
