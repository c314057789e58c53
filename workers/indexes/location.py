"""Parses where an index is: a folder, a collection of a Qdrant server, or a Lance table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from schemas.errors import UsageError

# What lies in an index folder beside the points of `workers.indexes.edge`.
MANIFEST_FOLDER = "manifest"
GENERATIONS_FOLDER = "generations"
CURRENT_FILE = "current"
"""Names the generation in use."""
LANCE_TABLE = "points.lance"
"""The table of a Lance index, below its place."""
SERVICE_FILE = "service.json"
"""Says how to reach the service that has the folder open."""

PLACES = (
    "a folder, http(s)://host:6333/collection, lance+s3://bucket/prefix or lance+file:///folder"
)
"""Where an index can be, for people."""
IndexKind = Literal["folder", "server", "lance"]
_LANCE_S3, _LANCE_FILE = "lance+s3", "lance+file"
_DEFAULT_PORT = 6333
# Behind a path there is a proxy, which listens where its scheme has it.
_SCHEME_PORTS = {"http": 80, "https": 443}

# What Qdrant itself refuses in a collection's name, and what would need quoting in a URL.
_DOTS = (".", "..")
_COLLECTION = re.compile(r"[^<>:\"/\\|?*%\s\x00-\x1f]{1,255}")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A collection of a Qdrant server: `url` is `http(s)://host:port`, or that and a path."""

    url: str
    collection: str


def kind_of(location: str) -> IndexKind:
    """What kind of index `location` names. Raises UsageError for another scheme."""
    scheme, mark, _ = location.partition("://")
    if not mark:
        return "folder"
    if scheme.lower() in ("http", "https"):
        return "server"
    if scheme.lower() in (_LANCE_S3, _LANCE_FILE):
        return "lance"
    raise UsageError(f"expected {PLACES} as index, got {location!r}")


def has_one_owner(location: str) -> bool:
    """Whether one process at a time has it open; of the other kinds many read and write at once."""
    return kind_of(location) == "folder"


def is_bucket_table(location: str) -> bool:
    """Whether it is a Lance table in a bucket."""
    return kind_of(location) == "lance" and lance_place(location).startswith("s3://")


def lance_place(location: str) -> str:
    """`s3://bucket/prefix`, or the absolute path of a folder, of a `lance+` location.

    Raises UsageError that says what is missing or not expected.
    """
    scheme, _, rest = location.partition("://")
    rest = rest.rstrip("/")
    if "?" in rest or "#" in rest:
        raise UsageError(f"expected nothing after the place of an index, got {location!r}")
    if scheme.lower() == _LANCE_S3:
        bucket, _, prefix = rest.partition("/")
        if not bucket or "@" in bucket or "//" in prefix:
            raise UsageError(f"expected lance+s3://bucket/prefix as index, got {location!r}")
        return f"s3://{rest}"
    if not rest.startswith("/"):
        raise UsageError(f"expected lance+file:///folder as index, got {location!r}")
    return unquote(rest)


def index_folder(location: str) -> Path:
    """The folder that a location names, if it names one."""
    return Path(location).expanduser()


def server_address(location: str) -> ServerAddress:
    """The parts of `http(s)://host:port/collection`, or `http(s)://host:port/path/collection`.

    Unless a port is given it is 6333; for a server behind a path it is that of the scheme. Raises
    UsageError that says which part is missing or not expected.
    """

    def location_error(why: str) -> UsageError:
        return UsageError(
            f"expected http(s)://host:6333/collection as index, got {location!r}: {why}"
        )

    parts = urlsplit(location)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise location_error(str(exc)) from exc
    if parts.scheme.lower() not in ("http", "https") or not host:
        raise location_error("it names no server")
    if "@" in parts.netloc:
        raise location_error("a key belongs into the setting api_key")
    if parts.query or parts.fragment:
        raise location_error("nothing may follow the collection")
    *path, collection = parts.path.strip("/").split("/")
    if not collection:
        raise location_error("it names no collection")
    if not _COLLECTION.fullmatch(collection):
        raise location_error(f"{collection!r} cannot be a collection's name")
    for name in path:
        if not _COLLECTION.fullmatch(name) or name in _DOTS:
            raise location_error(f"{name!r} cannot be a part of a server's path")
    host = f"[{host}]" if ":" in host else host
    scheme = parts.scheme.lower()
    if port is None:
        port = _SCHEME_PORTS[scheme] if path else _DEFAULT_PORT
    return ServerAddress("/".join([f"{scheme}://{host}:{port}", *path]), collection)
