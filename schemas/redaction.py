"""Removes secrets from texts that people, logs and manifests get to see."""

from __future__ import annotations

import re
from collections.abc import Iterable

_HIDDEN = "***"
_SHORTEST = 8
"""Known secrets that are shorter are not replaced: they may be part of other words."""
# Credentials in a URL; its signature; keys in headers, as libraries quote them.
_PATTERNS = (
    re.compile(r"(://)[^/@\s'\"]+(?=@)"),
    re.compile(
        r"(?i)([?&](?:x-amz-(?:signature|credential|security-token)|awsaccesskeyid|signature)=)"
        r"[^&\s'\")]+"
    ),
    re.compile(r"(?i)\b((?:bearer|basic) )[a-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)\b((?:api[_-]?key|authorization)['\"]?\s*[:=]\s*['\"]?)[^\s'\",)}]{8,}"),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without passwords in URLs, signatures, keys in headers, and `secrets`."""
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, _HIDDEN)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{_HIDDEN}", text)
    return text
