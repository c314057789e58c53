"""One exception tree. Every message is one sentence: what was expected, what came, and where.

ObjseekError
├── UsageError            the user asked for something that cannot be (settings, names, filters)
│   ├── UnknownModelError
│   ├── DatasetError      a file of another format's data, such as COCO or an export, is wrong
│   ├── TooManyGoneError  more images than are believed to be gone without being told
│   └── EmbedderMismatchError
├── BadImageError         this image cannot be read, and never will be: rejected, with a reason
├── StoreError            the object store
│   ├── StoreAccessError  refused: credentials, permissions, no such bucket
│   │   └── TokenExpiredError   until whoever renews them has done so      (retryable)
│   ├── ObjectGoneError   listed, but no longer there
│   ├── ObjectChangedError  listed, but its bytes are of another version now
│   └── StoreUnavailableError   timeouts, throttling, connections        (retryable)
├── ModelError            weights that cannot be fetched, trusted or loaded
│   └── DownloadError                                                    (retryable)
├── WorkerDiedError       the process that worked on it ended            (retryable)
├── StalledError          a run got no further                           (retryable)
├── ServiceError          a search service that was asked
│   └── ServiceUnavailableError   it does not answer, or not now         (retryable)
└── VectorIndexError      the index
    ├── IndexBusyError    another process owns it
    ├── IndexMissingError
    ├── InvalidVectorError  wrong dimension, not finite, zero
    ├── GenerationChangedError  another generation came into use         (retryable)
    ├── SupersededError   a run that started later has written this image
    └── IndexUnavailableError   full or read-only disk, server away      (retryable)
"""

from __future__ import annotations

from typing import ClassVar


class ObjseekError(Exception):
    """Base of everything that is reported as one sentence instead of a traceback."""

    retryable: ClassVar[bool] = False


class UsageError(ObjseekError):
    """The request itself cannot be met."""


class UnknownModelError(UsageError):
    """No segmenter or embedder has this name."""


class DatasetError(UsageError):
    """A file of another format's data, such as COCO or an export, is wrong."""


class TooManyGoneError(UsageError):
    """More of a source has gone than may be removed without being told."""


class EmbedderMismatchError(UsageError):
    """The index was built with another embedder."""


class BadImageError(ObjseekError):
    """The bytes are not an image that can be decoded within the limits."""


class StoreError(ObjseekError):
    """Reading from the object store went wrong."""


class StoreAccessError(StoreError):
    """The store refused: credentials, permissions, or no such bucket."""


class TokenExpiredError(StoreAccessError):
    """The credentials were good for a while, and are no longer."""

    retryable = True


class ObjectGoneError(StoreError):
    """The object was listed but is no longer there."""


class ObjectChangedError(StoreError):
    """The object was listed in another version than it has now."""


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
    """A run got no further for as long as it may."""

    retryable = True


class ServiceError(ObjseekError):
    """A search service refused, or failed."""


class ServiceUnavailableError(ServiceError):
    """A search service does not answer, or not now."""

    retryable = True


class VectorIndexError(ObjseekError):
    """The vector index cannot do what was asked."""


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
