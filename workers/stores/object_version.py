"""Names the version of an S3 object: by its ETag, or by its time and size where it has none."""

from __future__ import annotations

import re
from datetime import UTC, datetime

BY_TIME = "modified:"
"""Begins a version that is no ETag: such as `modified:2026-01-31T12:00:00Z,bytes:1024`."""
_UNKNOWN = "unknown"
# What compressing proxies add to the ETag of what they pass on (Apache httpd, Jetty, Caddy).
_CODING = re.compile(r"(?<=.)(?:-{1,2}|[;:+])(?:x-)?(?:gzip|br|deflate|zstd)$", re.IGNORECASE)


def etag_version(etag: object) -> str:
    """The opaque tag of an ETag, strong or weak (RFC 9110, 8.8.3); empty for none."""
    if not isinstance(etag, str):
        return ""
    tag = etag.strip()
    if tag[:2] in ("W/", "w/"):
        tag = tag[2:]
    return _CODING.sub("", tag.strip().strip('"'))


def time_version(modified: object, size_bytes: int | None) -> str:
    """A version by time and size, for an object without ETag.

    In whole seconds, as a `Last-Modified` header has them; listings have milliseconds.
    """
    when = _UNKNOWN
    if isinstance(modified, datetime):
        zoned = modified if modified.tzinfo else modified.replace(tzinfo=UTC)
        when = f"{zoned.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return f"{BY_TIME}{when},bytes:{_UNKNOWN if size_bytes is None else size_bytes}"


def is_by_time(version: str) -> bool:
    """Whether a version is one by time and size."""
    return version.startswith(BY_TIME)


def may_be_same(listed: str, got: str) -> bool:
    """Whether two versions by time and size agree in all that both of them tell."""
    both = zip(_fields(listed), _fields(got), strict=True)
    return all(_UNKNOWN in (first, second) or first == second for first, second in both)


def _fields(version: str) -> tuple[str, str]:
    when, _, size = version.removeprefix(BY_TIME).partition(",bytes:")
    return when, size
