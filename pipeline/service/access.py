"""Decides who may make a request: host names, origins, keys, and rate limits."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from cachetools import LRUCache
from starlette.datastructures import Headers

from pipeline.service.api_keys import KeyFile, Scope, StoredKey, digest, find_key
from pipeline.service.problems import ProblemError

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_MAX_CALLERS = 10_000
_RELOAD_KEYS_EVERY_S = 2.0
_NO_INGESTER = (
    "this needs a key of the scope ingest: `objseek keys create NAME --scope ingest` makes one, "
    "for a service that is started with --keys"
)
_FOREIGN_PAGE = "requests from pages of other origins are not allowed"
_PUBLIC_PATHS = frozenset({"/healthz", "/readyz"})
_PAGE, _PAGE_PREFIXES = "/", ("/static/", "/docs", "/openapi.json")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request: `name` is a key's id or an address, for limits and logs."""

    name: str
    scope: Scope


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service that listens on `host`."""
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(slots=True)
class _TokenBucket:
    tokens: float
    updated_at: float


@dataclass(slots=True)
class RateLimit:
    """A token bucket for each caller: `per_minute` on average, a quarter of that in a burst."""

    per_minute: int
    _buckets: LRUCache[str, _TokenBucket] = field(default_factory=lambda: LRUCache(_MAX_CALLERS))

    def take(self, caller: str) -> float:
        """Take a token. Returns 0, or the seconds until there is another."""
        now = time.monotonic()
        burst, rate = max(self.per_minute / 4, 1.0), self.per_minute / 60
        bucket = self._buckets.setdefault(caller, _TokenBucket(burst, now))
        bucket.tokens = min(burst, bucket.tokens + (now - bucket.updated_at) * rate)
        bucket.updated_at = now
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / rate
        bucket.tokens -= 1
        return 0.0


class Access:
    """Decides on a request by its headers. Raises ProblemError.

    `keys` is the file of API keys. With None no key is needed, because only this machine can reach
    the service; then every caller may read. `owner_token` authorizes the commands of the user who
    runs the service, who alone can read the discovery file that holds it.

    Starlette's TrustedHostMiddleware and CORSMiddleware do not fit here: they refuse in plain text
    with 400, where every refusal of this service is a problem document (421 for a host, 403 for an
    origin), and CORSMiddleware lets requests of foreign origins through to the routes.
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
        self._loaded_at = 0.0
        self._owner = StoredKey(
            id="owner", name="owner", sha256=digest(owner_token), scope=Scope.INGEST,
            created_at=datetime.now(UTC),
        )  # fmt: skip
        # Beyond loopback any host name is accepted unless names are given: a key is needed there.
        self._hosts = {*_LOOPBACK_NAMES, *allowed_hosts} if is_loopback(host) else None
        if self._hosts is None and allowed_hosts:
            self._hosts = {*_LOOPBACK_NAMES, host, *allowed_hosts}
        self._cors = frozenset(cors_origins)
        self._rate = RateLimit(requests_per_minute)

    @property
    def needs_key(self) -> bool:
        return self._file is not None

    def check_origin(self, headers: Headers) -> None:
        """Refuse unknown host names (a page that rebinds DNS), and pages of foreign origins."""
        host = headers.get("host", "")
        if self._hosts is not None and _host_name(host) not in self._hosts:
            raise ProblemError(HTTPStatus.MISDIRECTED_REQUEST, "unknown Host header")
        origin = headers.get("origin")
        if origin is not None and origin not in self._cors and urlsplit(origin).netloc != host:
            raise ProblemError(HTTPStatus.FORBIDDEN, _FOREIGN_PAGE)
        foreign = headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        mode = headers.get("sec-fetch-mode", "navigate")
        if foreign and mode != "navigate" and origin not in self._cors:
            raise ProblemError(HTTPStatus.FORBIDDEN, _FOREIGN_PAGE)

    def cors_origin(self, headers: Headers) -> str | None:
        """The request's origin if it is a foreign one that may read the response."""
        origin = headers.get("origin")
        return origin if origin in self._cors else None

    def authenticate(self, headers: Headers, address: str, path: str) -> Caller:
        """The caller of a request. The page itself and the health checks need no key."""
        if path in _PUBLIC_PATHS:
            return Caller(f"open {address}", Scope.READ)
        text = _bearer_token(headers)
        if text is not None:
            key = find_key(text, [*self._load_keys(), self._owner])
            if key is None or key.has_expired(datetime.now(UTC)):
                raise _unauthorized("unknown or expired key")
            return Caller(f"key {key.id}", key.scope)
        if self._file is None or _is_page(path):
            return Caller(address, Scope.READ)
        raise _unauthorized("expected a key: Authorization: Bearer …")

    def check_rate(self, caller: Caller) -> None:
        """Refuse callers that make too many requests."""
        wait = self._rate.take(caller.name)
        if wait:
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too many requests in the last minute",
                {"Retry-After": str(max(1, round(wait)))},
            )

    def _load_keys(self) -> list[StoredKey]:
        # Reloaded now and then, so that revoking a key needs no restart.
        if self._file is not None and time.monotonic() - self._loaded_at > _RELOAD_KEYS_EVERY_S:
            self._keys, self._loaded_at = self._file.load(), time.monotonic()
        return self._keys


def check_scope(caller: Caller, wanted: Scope) -> None:
    """Raise ProblemError unless the caller's key has the scope `wanted`."""
    if wanted is Scope.INGEST and caller.scope is not Scope.INGEST:
        raise ProblemError(HTTPStatus.FORBIDDEN, _NO_INGESTER)


def _is_page(path: str) -> bool:
    return path == _PAGE or path.startswith(_PAGE_PREFIXES)


def _bearer_token(headers: Headers) -> str | None:
    header = headers.get("authorization")
    if header is None:
        return None
    scheme, _, text = header.partition(" ")
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
