"""Secrets in texts that people, logs and manifests get to see."""

from __future__ import annotations

import re
from collections.abc import Iterable

_HIDDEN = "***"
_SHORTEST = 8
"""Of secrets that are known: shorter ones stand in other words, too."""
# Who logs in by a URL; what signs one; keys in headers, as libraries quote them.
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
