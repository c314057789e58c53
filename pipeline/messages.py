"""Formats texts for people: counts, errors, and text without secrets or control characters."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from schemas.redaction import redact

if TYPE_CHECKING:
    from pydantic import ValidationError


_SECRETS = (
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "OBJSEEK_INDEX__API_KEY", "HF_TOKEN",
    "RAY_AUTH_TOKEN",
)  # fmt: skip


def printable(text: str) -> str:
    """`text` with control characters and line breaks as escapes, safe for a terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def sanitize(text: str) -> str:
    """`text` as people and logs may see it: printable, and without secrets."""
    return printable(redact(text, _known_secrets()))


def _known_secrets() -> list[str]:
    return [os.environ[name] for name in _SECRETS if name in os.environ]


def describe_dropped(added: int) -> str:
    """What is said of so many objects that went with their images."""
    verb = "was" if added == 1 else "were"
    return (
        f"{quantify(added, 'object')} that {verb} added by hand {verb} dropped: "
        "the images changed, or are gone"
    )


def quantify(number: int, noun: str) -> str:
    """`1 object`, `1,234 objects`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def validation_sentence(error: ValidationError) -> str:
    """Where the first value is that does not validate, and what is wrong with it."""
    first = error.errors(include_url=False, include_context=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {message}" if where else message
