"""Creates a Lance table in a step that one of many writers takes."""

from __future__ import annotations

import os
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from schemas.options import IndexOptions
from workers.indexes.lance.engine import import_lance
from workers.indexes.lance.storage import raising_index_errors, store_options
from workers.indexes.location import LANCE_TABLE, is_bucket_table, lance_place
from workers.stores.s3_prefix import S3Prefix

FORMAT = "2.1"
"""Of a table's files."""
_VERSIONS = "_versions"


def create_table(options: IndexOptions, schema: pa.Schema) -> None:
    """Make an empty table, unless there is one; to be called where commits are safe.

    Lance's own way to make one has a moment in which it takes what another writer has made, and
    written to since, for nothing, and writes over it. So the table is made aside, and its first
    version put in its place, which is there once.
    """
    with tempfile.TemporaryDirectory(prefix="objseek-") as folder:
        aside = Path(folder) / LANCE_TABLE
        import_lance().write_dataset(schema.empty_table(), str(aside), data_storage_version=FORMAT)
        (version,) = (aside / _VERSIONS).glob("*.manifest")
        contents = {
            f"{LANCE_TABLE}/{path.relative_to(aside).as_posix()}": path.read_bytes()
            for path in (*aside.rglob("*.txn"), version)  # the version last: it makes the table
        }
    for name, content in contents.items():
        if is_bucket_table(options.location):
            with raising_index_errors(options.location):
                S3Prefix(lance_place(options.location), store_options(options)).create(
                    name, content
                )
        else:
            _create_file(Path(lance_place(options.location)), name, content)


def _create_file(folder: Path, name: str, content: bytes) -> None:
    """Create a file whole, unless there is one."""
    path, whole = folder / name, folder / f"objseek-new-{uuid.uuid4().hex}"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        whole.write_bytes(content)
        with suppress(FileExistsError):
            os.link(whole, path)
    finally:
        whole.unlink(missing_ok=True)
