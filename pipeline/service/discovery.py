"""Finds the service that has an index folder open, by a file in that folder."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from workers.indexes.location import index_folder, is_server

NAME = "service.json"


class Handle(BaseModel):
    """Where a service listens, and the token for its owner's commands."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    url: str
    token: str
    pid: int


def write_handle(location: str, handle: Handle) -> Path | None:
    """Write the file, readable by this user alone. Returns None for a server's collection."""
    if is_server(location):
        return None
    path = index_folder(location) / NAME
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{NAME}-")
    with os.fdopen(descriptor, "w") as file:
        file.write(handle.model_dump_json())
    os.replace(unfinished, path)
    return path


def read_handle(location: str) -> Handle | None:
    """The service that has this index open, if there is a file of one."""
    if is_server(location):
        return None
    path = index_folder(location) / NAME
    with contextlib.suppress(OSError, ValidationError):
        # A file of another user could direct this user's queries anywhere.
        if path.stat().st_uid == os.getuid():
            return Handle.model_validate_json(path.read_bytes())
    return None
