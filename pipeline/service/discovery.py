"""Finds the service that has an index folder open, by a file in that folder."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from workers.durable_files import replace_file
from workers.indexes.location import SERVICE_FILE, has_one_owner, index_folder


class Handle(BaseModel):
    """Where a service listens, and the token for its owner's commands."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    url: str
    token: str
    pid: int


def write_handle(location: str, handle: Handle) -> Path | None:
    """Write the file, readable by this user alone.

    Returns None for an index that many may open, and for a folder that can only be read: a copy of
    it is served, and others make one of their own.
    """
    if not has_one_owner(location):
        return None
    path = index_folder(location) / SERVICE_FILE
    if not os.access(path.parent, os.W_OK):
        return None
    with replace_file(path, private=True) as file:
        file.write(handle.model_dump_json().encode())
    return path


def read_handle(location: str) -> Handle | None:
    """The service that has this index open, if there is a file of one."""
    if not has_one_owner(location):
        return None
    path = index_folder(location) / SERVICE_FILE
    with contextlib.suppress(OSError, ValidationError):
        # A file of another user could direct this user's queries anywhere.
        if path.stat().st_uid == os.getuid():
            return Handle.model_validate_json(path.read_bytes())
    return None
