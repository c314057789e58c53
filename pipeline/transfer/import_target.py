"""Checks the index that something is to be imported into, restored or migrated to."""

from __future__ import annotations

from pipeline.index_home import IndexHome
from schemas.errors import EmbedderMismatchError, UsageError
from schemas.named_vectors import NamedDims, find_missing


def check_target(home: IndexHome, dim: int, named: NamedDims, *, exists: bool) -> None:
    """Raise UsageError unless vectors of `dim` numbers can be put into the index, or a new one.

    And `named` ones of so many.
    """
    if not exists and home.manifest.exists():
        raise UsageError(
            f"there is no index at {home.location}, but images of one are recorded: remove that "
            "record, or choose another place"
        )
    if exists:
        with home.points() as index:
            if index.dim != dim:
                raise EmbedderMismatchError(
                    f"the index at {home.location} holds vectors of {index.dim} numbers, "
                    f"but what is to be imported has vectors of {dim}"
                )
            find_missing(index.named_dims(), named, home.location)


def require_no_images(home: IndexHome, purpose: str) -> None:
    """Raise UsageError where images are recorded; `purpose` of the place, as `to restore to`."""
    if any(home.manifest.counts().values()):
        raise UsageError(f"expected nothing at {home.location} {purpose}, there are images")
