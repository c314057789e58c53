"""Drops versions of a Lance table that nobody reads any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import lance

_KEPT = timedelta(days=1)


def drop_unread(dataset: lance.LanceDataset, now: datetime) -> None:
    """Drop the versions that were no longer the newest a day before `now`.

    Not by how old they are, as Lance does it by itself: a table at rest has a newest version that
    is old, and is read until another follows.
    """
    versions = sorted(dataset.versions(), key=lambda version: version["version"])
    unread = [
        version["version"]
        for version, next_version in pairwise(versions)
        if _committed_at(next_version) < now - _KEPT
    ]
    if unread:
        dataset.cleanup_old_versions(versions=unread, error_if_tagged_old_versions=False)


def _committed_at(version: Any) -> datetime:
    # Lance tells the local time.
    moment: datetime = version["timestamp"].astimezone(UTC)
    return moment
