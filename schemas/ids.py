"""Derives ids: the same image and settings give the same ids on every machine, for ever."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from schemas.images import ImageRef

NAMESPACE = uuid.UUID("6c1b5b0e-7f0e-5b52-9d8a-0f6a3b0c2e11")
_NAMESPACE_BYTES = NAMESPACE.bytes
_SHA1_BYTES = hashlib.sha1(usedforsecurity=False).digest_size
IMAGE_ORDINAL = -1
"""Ordinal of the point that stands for the image as a whole."""
ADDED_ORDINAL = -2
"""Ordinal of all objects that were added by hand: what tells them apart is their mask."""
_LATER_SHOTS = 1_000_000_000
"""Above the ordinals of all objects that a video can have."""


def shot_ordinal(shot: int) -> int:
    """The ordinal of a shot of a video, from 0; the first one stands for the video as a whole."""
    return IMAGE_ORDINAL if shot == 0 else _LATER_SHOTS + shot


def _name(*parts: str) -> bytes:
    # Length-prefixed, so that no two lists of parts give the same bytes. Keys are opaque: a file
    # name that is not UTF-8 must have an id, too.
    name = _NAMESPACE_BYTES
    for part in parts:
        blob = part.encode("utf-8", "surrogateescape")
        name += b"%d:%s" % (len(blob), blob)
    return name


def _uuid5_bytes(*parts: str) -> bytes:
    raw = bytearray(hashlib.sha1(_name(*parts), usedforsecurity=False).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50  # version 5
    raw[8] = raw[8] & 0x3F | 0x80  # the variant of RFC 9562
    return bytes(raw)


def _uuid5(*parts: str) -> uuid.UUID:
    return uuid.UUID(bytes=_uuid5_bytes(*parts))


def image_id(ref: ImageRef) -> uuid.UUID:
    """Id of an image: of its store, bucket and key, not of its bytes."""
    return uuid.UUID(bytes=image_id_bytes(ref))


def image_id_bytes(ref: ImageRef) -> bytes:
    """The 16 bytes of `image_id`, for many images: making a UUID of them takes as long again."""
    return _uuid5_bytes(ref.store, ref.bucket, ref.key)


def image_ids_bytes(refs: Sequence[ImageRef]) -> npt.NDArray[np.uint8]:
    """uint8 (n, 16): the bytes of many images' ids, in a third of the time."""
    digests = []
    for ref in refs:
        blob = ref.key.encode("utf-8", "surrogateescape")
        hasher = _hasher(ref.store, ref.bucket).copy()
        hasher.update(b"%d:%s" % (len(blob), blob))
        digests.append(hasher.digest())
    raw = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, _SHA1_BYTES)[:, :16].copy()
    raw[:, 6] = raw[:, 6] & 0x0F | 0x50
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    return raw


@lru_cache(maxsize=64)
def _hasher(*parts: str) -> hashlib._Hash:
    """A hasher that has consumed the first parts of an id; to be copied, not updated."""
    return hashlib.sha1(_name(*parts), usedforsecurity=False)


@dataclass(frozen=True, slots=True)
class ImageRevision:
    """What the records of an image were made from: its version, and the pipeline's fingerprint."""

    version: str
    fingerprint: str

    @property
    def id(self) -> str:
        """32 hex digits that stand for this revision in payloads and manifests.

        Both store them under their older name, `generation`, which is part of the id as well.
        """
        return _uuid5("generation", self.version, self.fingerprint).hex


def revision_by(fingerprint: str) -> Callable[[ImageRef], ImageRevision]:
    """What gives the revisions of images that are all done by one pipeline."""
    return lambda ref: ImageRevision(ref.version, fingerprint)


def object_id(image: uuid.UUID, revision: ImageRevision, ordinal: int) -> uuid.UUID:
    """Id of the `ordinal`-th object in a revision of an image (`IMAGE_ORDINAL`: the image)."""
    return _uuid5(image.hex, revision.id, str(ordinal))


def added_object_id(image: uuid.UUID, version: str, rle_counts: str) -> uuid.UUID:
    """Id of an object that was added by hand: of its mask, whatever pipelines its image has."""
    return _uuid5(image.hex, "added", version, rle_counts)


def fingerprint(parts: Mapping[str, object]) -> str:
    """16 hex digits over names and JSON values; the order of the keys does not matter."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
