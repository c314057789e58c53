"""Connects to a Qdrant server: its client, its version, and what the client's errors mean."""

from __future__ import annotations

import json
import logging
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import ValidationError
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from schemas.errors import (
    IndexMissingError,
    IndexUnavailableError,
    UsageError,
    VectorIndexError,
    one_line,
)
from schemas.options import IndexOptions
from workers.indexes.location import ServerAddress

_log = logging.getLogger(__name__)
_SHOWN = 300
_BUSY = (408, 425, 429)
# What the client raises for an answer that is no JSON, or has no result.
_NO_ANSWERS = (json.JSONDecodeError, UnicodeDecodeError, AssertionError)
_VERSION = re.compile(r"v?(\d+)\.(\d+)")
# The first with `update_filter`, which older ones ignore without a word.
_FENCES = (1, 16)
# The first that matches by prefix.
_PREFIXES = (1, 19)
# The first with TurboQuant.
_TURBO = (1, 18)


@dataclass(frozen=True, slots=True)
class ServerFeatures:
    """What a server can do; `version` as it says it itself, empty where it does not."""

    version: str
    has_prefixes: bool = True
    has_turbo: bool = True


def read_features(client: QdrantClient, address: ServerAddress) -> ServerFeatures:
    """Ask a server for its version. Raises UsageError for one that is too old.

    One that does not tell, as behind a proxy that passes on nothing but collections, is taken for a
    new one.
    """
    try:
        version = client.info().version
    except UnexpectedResponse as exc:
        if exc.status_code in _BUSY or (exc.status_code or 0) >= 500:
            raise  # it may tell later
        return _of_unknown_version(address, f"status {exc.status_code}")
    except _NO_ANSWERS as exc:
        return _of_unknown_version(address, one_line(exc))
    except ResponseHandlingException as exc:
        if not isinstance(exc.source, ValidationError):
            raise
        return _of_unknown_version(address, one_line(exc.source))
    numbers = _VERSION.match(version)
    if numbers is None:
        return _of_unknown_version(address, version)
    found = (int(numbers[1]), int(numbers[2]))
    if found < _FENCES:
        raise UsageError(
            f"expected a Qdrant server of version 1.16 or newer at {address.url}, got {version}: "
            "it ignores `update_filter`, which keeps two runs from overwriting each other"
        )
    return ServerFeatures(version, found >= _PREFIXES, found >= _TURBO)


def _of_unknown_version(address: ServerAddress, got: str) -> ServerFeatures:
    _log.info(
        "expected the Qdrant server at %s to tell its version, got %s: it is taken for a new one",
        address.url,
        got[:_SHOWN],
    )
    return ServerFeatures("")


def connect(address: ServerAddress, options: IndexOptions) -> QdrantClient:
    """A client that has sent no request yet. Raises UsageError for a name that it cannot send."""
    if address.collection in (".", ".."):
        raise UsageError(f"expected a collection at {address.url}, got {address.collection!r}")
    with warnings.catch_warnings():
        # A key over plain HTTP, inside a cluster: the user chose that with the address.
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        return QdrantClient(
            url=address.url,
            api_key=options.api_key.get_secret_value() if options.api_key else None,
            timeout=math.ceil(options.timeout_s),
            check_compatibility=False,
            # Loading certificates takes 40 ms, and there are none without TLS.
            verify=address.url.startswith("https://"),
        )


@contextmanager
def raising_index_errors(address: ServerAddress) -> Iterator[None]:
    """Raise the client's errors as VectorIndexErrors."""
    server = f"the Qdrant server at {address.url}"
    try:
        yield
    except ResponseHandlingException as exc:
        if isinstance(exc.source, ValidationError):
            raise _wrong_answer(server, exc.source) from exc
        raise IndexUnavailableError(f"{server} does not answer: {exc.source}") from exc
    except _NO_ANSWERS as exc:
        raise _wrong_answer(server, exc) from exc
    except ResourceExhaustedResponse as exc:
        raise IndexUnavailableError(f"{server} is overloaded: {exc}") from exc
    except UnexpectedResponse as exc:
        status = exc.status_code or 0
        answer = " ".join(exc.content.decode("utf-8", "replace").split())[:_SHOWN]
        if status in (401, 403):
            raise VectorIndexError(f"{server} refused the API key ({status}: {answer})") from exc
        if status == 404:
            raise IndexMissingError(
                f"{server} does not know the collection {address.collection!r} (404: {answer})"
            ) from exc
        if status >= 500 or status == 429:
            raise IndexUnavailableError(f"{server} failed ({status}: {answer})") from exc
        raise VectorIndexError(f"{server} refused the request ({status}: {answer})") from exc


def _wrong_answer(server: str, error: Exception) -> IndexUnavailableError:
    # A proxy's page, say, while the server behind it is away.
    return IndexUnavailableError(f"{server} answers as Qdrant does not: {one_line(error)[:_SHOWN]}")
