"""Marks where a page of hits ended, and takes the page after it."""

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
from schemas.search import Condition, SearchHit, SearchQuery

_VERSION = 1
_HEAD = struct.Struct(">B8sq")
_ID_BYTES = 8  # of 16: enough to tell the few hits of a search apart
_EPOCH = datetime.fromtimestamp(0, UTC)
_PAGING = {"cursor", "limit"}


@dataclass(frozen=True, slots=True)
class Cursor:
    """Which hits earlier pages had, so that none comes twice, whatever is written meanwhile.

    `as_of`, UTC: points that were written later are no hits of the pages that follow. `short_ids`
    are the first 8 bytes of the ids of all hits so far.
    """

    as_of: datetime
    short_ids: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, query: SearchQuery) -> Cursor | None:
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
        starts = range(0, len(rest), _ID_BYTES)
        return cls(as_of, tuple(rest[start : start + _ID_BYTES] for start in starts))

    def advance(self, hits: Sequence[SearchHit]) -> Cursor:
        """The cursor after further hits."""
        ids = (_shorten_id(hit.object_id) for hit in hits)
        return Cursor(self.as_of, (*self.short_ids, *ids))

    def has_shown(self, hit: SearchHit) -> bool:
        """Whether an earlier page had a hit."""
        return _shorten_id(hit.object_id) in self.short_ids

    def encode(self, query: SearchQuery) -> str:
        """The text that asks for the next page."""
        micros = (self.as_of - _EPOCH) // timedelta(microseconds=1)
        raw = _HEAD.pack(_VERSION, _digest(query), micros) + b"".join(self.short_ids)
        return base64.urlsafe_b64encode(raw).decode("ascii")

    @property
    def condition(self) -> Condition:
        """What hits of the next page meet: they were there when the first page was asked for."""
        return Condition(field="ingested_at", op="<=", value=self.as_of.isoformat())


def take_page(
    found: Sequence[SearchHit], query: SearchQuery, cursor: Cursor
) -> tuple[list[SearchHit], bool]:
    """The hits after the cursor, as many as the query's limit; whether there are more."""
    earlier = set(cursor.short_ids)
    fresh = [hit for hit in found if _shorten_id(hit.object_id) not in earlier]
    if query.group_size is None:
        return fresh[: query.limit], len(fresh) > query.limit
    known = {hit.payload.image_id for hit in found if _shorten_id(hit.object_id) in earlier}
    fresh = [hit for hit in fresh if hit.payload.image_id not in known]
    images = list(dict.fromkeys(hit.payload.image_id for hit in fresh))
    taken = set(images[: query.limit])
    return [hit for hit in fresh if hit.payload.image_id in taken], len(images) > query.limit


def _shorten_id(object_id: str) -> bytes:
    return UUID(object_id).bytes[:_ID_BYTES]


def _digest(query: SearchQuery) -> bytes:
    text = query.model_dump_json(exclude=_PAGING)
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
