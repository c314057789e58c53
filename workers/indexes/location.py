"""Parses where an index is: a folder, or a collection of a Qdrant server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from schemas.errors import UsageError

# What lies in an index folder beside the points of `workers.indexes.edge`.
MANIFEST_FOLDER = "manifest"
GENERATIONS_FOLDER = "generations"
CURRENT_FILE = "current"
"""Names the generation in use."""
SERVICE_FILE = "service.json"
"""Says how to reach the service that has the folder open."""

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


def is_server(location: str) -> bool:
    """Whether `location` names a server, not a folder. Raises UsageError for another scheme."""
    scheme, mark, _ = location.partition("://")
    if mark and scheme.lower() not in ("http", "https"):
        raise UsageError(
            f"expected a folder or http(s)://host:6333/collection as index, got {location!r}"
        )
    return bool(mark)


def index_folder(location: str) -> Path:
    """The folder that a location names, if it does not name a server."""
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
