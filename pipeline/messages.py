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


def format_time(time_s: float) -> str:
    """Where in a video a time is, as players say it: `0:03`, `1:00:03`; whole seconds, cut off."""
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def format_span(start_s: float, end_s: float) -> str:
    """From when to when something is seen in a video: `0:03-0:05`, `0:03` within a second."""
    start, end = format_time(start_s), format_time(end_s)
    return start if start == end else f"{start}-{end}"


def validation_sentence(error: ValidationError) -> str:
    """Where the first value is that does not validate, and what is wrong with it."""
    first = error.errors(include_url=False, include_context=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {message}" if where else message
