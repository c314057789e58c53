"""Defines all errors, and what each means for its image: rejected, failed or gone.

Every message is one sentence: what was expected, what came, and where.

ObjseekError
├── UsageError            the request cannot be met (settings, names, filters)
│   ├── UnknownModelError
│   ├── TooManyGoneError  more images have gone than may be removed unless the user says so
│   ├── EmbedderMismatchError
│   ├── NotIndexedError   the index has no such image or object
│   ├── NotAddedError     an ingest has found this object: it was not added by hand
│   └── DatasetError      an export, backup, inventory or COCO file is damaged, or none
├── BadImageError         this image can never be read: rejected, with a reason   (rejects_input)
├── StoreError            the object store
│   ├── ObjectArchivedError   in an archive, to be restored first         (rejects_input)
│   ├── StoreAccessError  refused: credentials, permissions, no such bucket
│   │   └── TokenExpiredError   until somebody renews the credentials      (retryable)
│   ├── ObjectGoneError   listed, but no longer there                      (is_gone)
│   ├── ObjectChangedError  listed, but of another version now             (is_changed)
│   └── StoreUnavailableError   timeouts, throttling, connections        (retryable)
├── ModelError            weights that cannot be fetched, trusted or loaded
│   └── DownloadError                                                    (retryable)
├── WorkerDiedError       the worker process of this image ended         (retryable)
├── StalledError          a run made no progress                         (retryable)
├── ServiceError          a search service refused a request, or failed
│   ├── ProblemError      a request that it refuses, with the status (pipeline.service.problems)
│   └── ServiceUnavailableError   it does not answer, or not now         (retryable)
├── ManifestError         the manifest is damaged or cannot be read
└── VectorIndexError      the index
    ├── IndexBusyError    another process owns it
    ├── IndexMissingError
    ├── InvalidVectorError  wrong dimension, not finite, zero
    ├── GenerationChangedError  another generation came into use         (retryable)
    ├── SupersededError   a run that started later has written this image
    └── IndexUnavailableError   full or read-only disk, no server        (retryable)

`retryable`: another attempt may succeed. `rejects_input`, `is_gone` and `is_changed` are what an
error means for its image: bad input, no longer in the store, or there in another version.
"""

from __future__ import annotations

from typing import ClassVar


class ObjseekError(Exception):
    """Base of everything that is reported as one sentence instead of a traceback."""

    retryable: ClassVar[bool] = False
    rejects_input: ClassVar[bool] = False
    is_gone: ClassVar[bool] = False
    is_changed: ClassVar[bool] = False


class UsageError(ObjseekError):
    """The request itself cannot be met."""


class UnknownModelError(UsageError):
    """No segmenter or embedder has this name."""


class TooManyGoneError(UsageError):
    """More of a source has gone than may be removed unless the user says so."""


class EmbedderMismatchError(UsageError):
    """The index was built with another embedder."""


class NotIndexedError(UsageError):
    """The index has no such image or object."""


class NotAddedError(UsageError):
    """An ingest has found this object: it was not added by hand."""


class DatasetError(UsageError):
    """An export, a backup, an inventory or a COCO file is damaged, or is none."""


class BadImageError(ObjseekError):
    """The bytes are not an image that can be decoded within the limits."""

    rejects_input = True


class StoreError(ObjseekError):
    """Reading from the object store went wrong."""


class StoreAccessError(StoreError):
    """The store refused: credentials, permissions, or no such bucket."""


class ObjectArchivedError(StoreError):
    """The object is in an archive, and cannot be read before it has been restored."""

    rejects_input = True


class TokenExpiredError(StoreAccessError):
    """The credentials have expired."""

    retryable = True


class ObjectGoneError(StoreError):
    """The object was listed but is no longer there."""

    is_gone = True


class ObjectChangedError(StoreError):
    """The object was listed in another version than it has now."""

    is_changed = True


class StoreUnavailableError(StoreError):
    """The store did not answer, or not now."""

    retryable = True


class ModelError(ObjseekError):
    """Weights cannot be fetched, trusted or loaded."""


class DownloadError(ModelError):
    """Weights could not be downloaded."""

    retryable = True


class WorkerDiedError(ObjseekError):
    """The worker process ended while it held this image."""

    retryable = True


class StalledError(ObjseekError):
    """A run made no progress for as long as it may."""

    retryable = True


class ServiceError(ObjseekError):
    """A search service refused, or failed."""


class ServiceUnavailableError(ServiceError):
    """A search service does not answer, or not now."""

    retryable = True


class ManifestError(ObjseekError):
    """The manifest is damaged or cannot be read."""


class VectorIndexError(ObjseekError):
    """The vector index cannot do what it should."""


class IndexBusyError(VectorIndexError):
    """Another process owns the embedded index."""


class IndexMissingError(VectorIndexError):
    """There is no index at this place."""


class InvalidVectorError(VectorIndexError):
    """A vector has the wrong dimension, is not finite, or is zero."""


class SupersededError(VectorIndexError):
    """A run that started later has written this image."""


class GenerationChangedError(VectorIndexError):
    """Another generation of the index came into use while something was written to this one."""

    retryable = True


class IndexUnavailableError(VectorIndexError):
    """The disk is full or read-only, or the server does not answer."""

    retryable = True


def one_line(error: BaseException | str) -> str:
    """A message in one line; for an error that has none, the name of its class."""
    return " ".join(str(error).split()) or ("" if isinstance(error, str) else type(error).__name__)


def first_line(exc: BaseException) -> str:
    """What another package's error says first, or else its type."""
    lines = (line.strip() for line in str(exc).splitlines())
    return next(filter(None, lines), type(exc).__name__)
