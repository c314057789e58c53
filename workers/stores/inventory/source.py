"""Tells sources that are S3 Inventories from others."""

from __future__ import annotations

MANIFEST_NAME = "manifest.json"
MARK = "inventory+"
"""Begins a source of which the newest inventory is meant: `inventory+s3://bucket/prefix`."""


def names_inventory(source: str) -> bool:
    """Whether a source is an inventory: by its mark, or as it ends in manifest.json."""
    return source.startswith(MARK) or source.rpartition("/")[2] == MANIFEST_NAME
