"""API keys: random, told once, kept as hashes, with a scope and an end."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import UsageError
from workers.durable_files import replace_file

_PREFIX = "objseek_"
_SECRET_BYTES = 32


class Scope(StrEnum):
    """What a key may do. `ingest` may also do what `read` may."""

    READ = "read"
    INGEST = "ingest"


class StoredKey(BaseModel):
    """A key as it is kept. `sha256` is enough: what it hashes has 256 random bits."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    name: Annotated[str, Field(min_length=1, max_length=100)]
    sha256: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None = None

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    keys: list[StoredKey] = []


class KeyFile:
    """The keys in a file. Raises UsageError for one that cannot be read or is none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> list[StoredKey]:
        """All of them; none where there is no file."""
        try:
            return _File.model_validate_json(self.path.read_bytes()).keys
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise UsageError(f"the keys in {self.path} cannot be read: {exc.strerror}") from exc
        except ValidationError as exc:
            raise UsageError(
                f"expected the keys of objseek in {self.path}, got another file"
            ) from exc

    def create(self, name: str, scope: Scope, days: float | None) -> tuple[StoredKey, str]:
        """A new key, and the text of it, which is not kept."""
        now = datetime.now(UTC)
        text = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        key = StoredKey(
            id=secrets.token_hex(4),
            name=name,
            sha256=digest(text),
            scope=scope,
            created_at=now,
            expires_at=None if days is None else now + timedelta(days=days),
        )
        self._save([*self.load(), key])
        return key, text

    def revoke(self, identity: str) -> StoredKey:
        """Take a key out. Raises UsageError if there is none of this id."""
        keys = self.load()
        found = next((key for key in keys if key.id == identity), None)
        if found is None:
            raise UsageError(f"no key has the id {identity!r}, see `objseek keys list`")
        self._save([key for key in keys if key.id != identity])
        return found

    def _save(self, keys: list[StoredKey]) -> None:
        text = _File(keys=keys).model_dump_json(indent=2)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(self.path, private=True) as file:
                file.write(text.encode())
        except OSError as exc:
            raise UsageError(f"the keys cannot be written to {self.path}: {exc.strerror}") from exc


def digest(text: str) -> str:
    """What is kept of a key: its SHA-256, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def matching(text: str, keys: list[StoredKey]) -> StoredKey | None:
    """The key that `text` is. Each is compared, in a time that tells nothing."""
    given, found = digest(text), None
    for key in keys:
        if hmac.compare_digest(given, key.sha256):
            found = key
    return found
