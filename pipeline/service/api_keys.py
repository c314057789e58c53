"""Creates, stores and revokes API keys: shown once, stored as hashes, with scope and expiry."""

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
from workers.durable_files import write_output

_PREFIX = "objseek_"
_SECRET_BYTES = 32


class Scope(StrEnum):
    """What a key may do. `ingest` may also do what `read` may."""

    READ = "read"
    INGEST = "ingest"


class StoredKey(BaseModel):
    """A key as it is stored. An unsalted SHA-256 is enough: it hashes 256 random bits."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    name: Annotated[str, Field(min_length=1, max_length=100)]
    sha256: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None = None

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at


class _KeyList(BaseModel):
    model_config = ConfigDict(extra="forbid")
    keys: list[StoredKey] = []


class KeyFile:
    """A file of keys. Raises UsageError if it cannot be read, or is no such file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> list[StoredKey]:
        """All keys; none if there is no file."""
        try:
            return _KeyList.model_validate_json(self.path.read_bytes()).keys
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise UsageError(f"the keys in {self.path} cannot be read: {exc.strerror}") from exc
        except ValidationError as exc:
            raise UsageError(
                f"expected the keys of objseek in {self.path}, got another file"
            ) from exc

    def create(self, name: str, scope: Scope, days: float | None) -> tuple[StoredKey, str]:
        """Create a key. Returns it with its text, which is not stored."""
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
        """Remove a key. Raises UsageError if no key has this id."""
        keys = self.load()
        revoked = next((key for key in keys if key.id == identity), None)
        if revoked is None:
            raise UsageError(f"no key has the id {identity!r}, see `objseek keys list`")
        self._save([key for key in keys if key.id != identity])
        return revoked

    def _save(self, keys: list[StoredKey]) -> None:
        text = _KeyList(keys=keys).model_dump_json(indent=2)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise UsageError(f"the keys cannot be written to {self.path}: {exc.strerror}") from exc
        with write_output(self.path, "the keys", private=True) as file:
            file.write(text.encode())


def digest(text: str) -> str:
    """The SHA-256 of a key, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def find_key(text: str, keys: list[StoredKey]) -> StoredKey | None:
    """The key whose text this is. All keys are compared, each in constant time."""
    hashed, match = digest(text), None
    for key in keys:
        if hmac.compare_digest(hashed, key.sha256):
            match = key
    return match
