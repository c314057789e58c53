"""Who may ask: hosts, origins, keys, and how often."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from pipeline.service.api_keys import KeyFile, Scope, StoredKey, digest, matching
from pipeline.service.problems import ProblemError

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_MOST_CLIENTS = 10_000
_KEYS_READ_EVERY_S = 2.0
_OPEN_TO_ALL = frozenset({"/healthz", "/readyz"})
_PAGES = ("/", "/static/", "/docs", "/openapi.json")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever asks: `name` is a key's id or an address, for limits and logs."""

    name: str
    scope: Scope


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address that is listened on."""
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


@dataclass(slots=True)
class RateLimit:
    """A token bucket for each caller: `per_minute` on the whole, a quarter of that at once."""

    per_minute: int
    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)

    def take(self, caller: str, now: float | None = None) -> float:
        """Take one. Returns 0, or in how many seconds there will be another."""
        now = time.monotonic() if now is None else now
        most, rate = max(self.per_minute / 4, 1.0), self.per_minute / 60
        bucket = self._buckets.setdefault(caller, _Bucket(most, now))
        self._buckets.move_to_end(caller)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        bucket.left = min(most, bucket.left + (now - bucket.at) * rate)
        bucket.at = now
        if bucket.left < 1:
            return (1 - bucket.left) / rate
        bucket.left -= 1
        return 0.0


class Access:
    """Decides on a request by its headers. Raises ProblemError.

    `keys` None: no key is needed, for only this machine can ask; then whoever asks may read.
    `owner_token` is for commands of the same user, who may read the file that it stands in.
    """

    def __init__(
        self,
        *,
        host: str,
        keys: Path | None,
        owner_token: str,
        allowed_hosts: Sequence[str] = (),
        cors_origins: Sequence[str] = (),
        requests_per_minute: int = 6000,
    ) -> None:
        self._file = None if keys is None else KeyFile(keys)
        self._keys: list[StoredKey] = []
        self._read_at = 0.0
        self._owner = StoredKey(
            id="owner", name="owner", sha256=digest(owner_token), scope=Scope.INGEST,
            created_at=datetime.now(UTC),
        )  # fmt: skip
        # Behind a name of its own a service is asked by that; a key is needed there anyway.
        self._hosts = {*_LOOPBACK_NAMES, *allowed_hosts} if is_loopback(host) else None
        if self._hosts is None and allowed_hosts:
            self._hosts = {*_LOOPBACK_NAMES, host, *allowed_hosts}
        self._cors = frozenset(cors_origins)
        self._rate = RateLimit(requests_per_minute)

    @property
    def needs_key(self) -> bool:
        return self._file is not None

    def check_place(self, headers: Headers) -> None:
        """Refuse names that are not this service's (a page that rebinds DNS), and other origins."""
        host = headers.get("host", "")
        if self._hosts is not None and _host_name(host) not in self._hosts:
            raise ProblemError(HTTPStatus.MISDIRECTED_REQUEST, "this service is not called so")
        origin = headers.get("origin")
        if origin is not None and origin not in self._cors and urlsplit(origin).netloc != host:
            raise ProblemError(HTTPStatus.FORBIDDEN, "pages of other origins may not ask here")
        foreign = headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        mode = headers.get("sec-fetch-mode", "navigate")
        if foreign and mode != "navigate" and origin not in self._cors:
            raise ProblemError(HTTPStatus.FORBIDDEN, "pages of other origins may not ask here")

    def cors_origin(self, headers: Headers) -> str | None:
        """The origin that may read the answer, if it is another one that is allowed to."""
        origin = headers.get("origin")
        return origin if origin in self._cors else None

    def caller(self, headers: Headers, address: str, path: str) -> Caller:
        """Who asks. The page itself, and whether the service is up, are open to all."""
        if path in _OPEN_TO_ALL:
            return Caller(f"open {address}", Scope.READ)
        text = _bearer(headers)
        if text is not None:
            key = matching(text, [*self._current(), self._owner])
            if key is None or key.expired(datetime.now(UTC)):
                raise _unauthorized("this key is not known, or no longer")
            return Caller(f"key {key.id}", key.scope)
        if self._file is None or _is_page(path):
            return Caller(address, Scope.READ)
        raise _unauthorized("expected a key: Authorization: Bearer …")

    def check_rate(self, caller: Caller) -> None:
        """Refuse whoever asks too often."""
        wait = self._rate.take(caller.name)
        if wait:
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too many requests in the last minute",
                {"Retry-After": str(max(1, round(wait)))},
            )

    def _current(self) -> list[StoredKey]:
        # Read again now and then: a key that is revoked ends without a restart.
        if self._file is not None and time.monotonic() - self._read_at > _KEYS_READ_EVERY_S:
            self._keys, self._read_at = self._file.load(), time.monotonic()
        return self._keys


def check_scope(caller: Caller, wanted: Scope) -> None:
    """Raise ProblemError unless the caller's key may do it."""
    if wanted is Scope.INGEST and caller.scope is not Scope.INGEST:
        raise ProblemError(HTTPStatus.FORBIDDEN, "this needs a key of the scope ingest")


def _is_page(path: str) -> bool:
    return path == _PAGES[0] or path.startswith(_PAGES[1:])


def _bearer(headers: Headers) -> str | None:
    given = headers.get("authorization")
    if given is None:
        return None
    scheme, _, text = given.partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise _unauthorized("expected a key: Authorization: Bearer …")
    return text.strip()


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})


def _host_name(host: str) -> str:
    """The name in a Host header, without the port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
