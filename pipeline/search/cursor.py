"""Where a page of hits ended: what was shown, of which query, as of when."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from schemas.errors import UsageError
from schemas.search import Condition, SearchQuery

_VERSION = 1
_HEAD = struct.Struct(">B8sq")
_ID_BYTES = 8  # of 16: enough to tell the few hits of a search apart
_EPOCH = datetime.fromtimestamp(0, UTC)
_PAGING = {"cursor", "limit"}


@dataclass(frozen=True, slots=True)
class Cursor:
    """`as_of`, UTC: points that were written later are no hits of the pages that follow.

    `shown` are the first 8 bytes of the ids of all hits so far, so that none comes twice, whatever
    is written, replaced or deleted meanwhile.
    """

    as_of: datetime
    shown: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, query: SearchQuery) -> Cursor | None:
        """The cursor that `query` holds. Raises UsageError for one that is not this query's."""
        if query.cursor is None:
            return None
        try:
            raw = base64.b64decode(query.cursor.encode("ascii"), b"-_", validate=True)
            version, digest, micros = _HEAD.unpack_from(raw)
            as_of = _EPOCH + timedelta(microseconds=micros)
        except (ValueError, binascii.Error, struct.error, OverflowError) as exc:
            raise UsageError("expected a cursor as a search returned it, got another text") from exc
        rest = raw[_HEAD.size :]
        if version != _VERSION or len(rest) % _ID_BYTES:
            raise UsageError("expected a cursor as a search returned it, got another text")
        if digest != _digest(query):
            raise UsageError("expected the cursor of this query, got that of another one")
        shown = (rest[at : at + _ID_BYTES] for at in range(0, len(rest), _ID_BYTES))
        return cls(as_of, tuple(shown))

    def after(self, ids: Sequence[str]) -> Cursor:
        """The cursor behind further hits."""
        return Cursor(self.as_of, (*self.shown, *map(short_id, ids)))

    def encoded(self, query: SearchQuery) -> str:
        """The text that asks for the page behind it."""
        micros = (self.as_of - _EPOCH) // timedelta(microseconds=1)
        raw = _HEAD.pack(_VERSION, _digest(query), micros) + b"".join(self.shown)
        return base64.urlsafe_b64encode(raw).decode("ascii")

    @property
    def condition(self) -> Condition:
        return Condition(field="ingested_at", op="<=", value=self.as_of.isoformat())


def short_id(object_id: str) -> bytes:
    """What a cursor keeps of an id."""
    return UUID(object_id).bytes[:_ID_BYTES]


def _digest(query: SearchQuery) -> bytes:
    text = query.model_dump_json(exclude=_PAGING)
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
