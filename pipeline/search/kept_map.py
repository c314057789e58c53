"""Keeps the map of an index's objects beside what is recorded of its images, and reads it."""

from __future__ import annotations

from pipeline.index_home import IndexHome
from schemas.errors import DatasetError
from schemas.object_map import ObjectMap, pack_map, unpack_map

_FOLDER, _FILE = "map", "objects.map"


def keep_map(made: ObjectMap, home: IndexHome) -> None:
    """Keep it in place of an older one. Raises what its `Parts` raise."""
    with home.parts.below(_FOLDER, large=True).create(_FILE) as file:
        file.write(pack_map(made))


def read_map(home: IndexHome) -> ObjectMap | None:
    """The map that was kept last; None if there is none, or it is damaged.

    Raises what its `Parts` raise.
    """
    try:
        with home.parts.below(_FOLDER, large=True).open(_FILE) as file:
            return unpack_map(file.read())
    except (FileNotFoundError, DatasetError):
        return None
