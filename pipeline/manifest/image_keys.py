"""Keeps sets of images in 16 bytes each, to skip those that need no work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.ids import image_ids_bytes
from schemas.images import ImageRef
from schemas.listed_part import Shard
from workers.stores.file_version import is_stamp, older_version, size_of

Keys = npt.NDArray[np.uint64]
"""uint64 (n, 2): the 128 bits of image ids, high half first."""

_EXPECTED = "expected ids of images, such as 6c1b5b0e-7f0e-5b52-9d8a-0f6a3b0c2e11"
_ID_LENGTH = 36
_DASHES = (8, 13, 18, 23)
_DIGITS = np.array([column for column in range(_ID_LENGTH) if column not in _DASHES])
_NO_DIGIT = 255
_CONTENT_DIGITS = 32
_VALUES = np.full(256, _NO_DIGIT, np.uint8)
_VALUES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


def keys_of(ids: pa.StringArray) -> Keys:
    """The bits of image ids as a manifest stores them. Raises ValueError for any other text."""
    if not len(ids):
        return np.zeros((0, 2), np.uint64)
    _, offsets, text = ids.buffers()
    # Straight from Arrow's memory: a Python object for each takes ten times as long.
    starts = np.frombuffer(offsets, np.int32)[ids.offset : ids.offset + len(ids) + 1]
    if ids.null_count or (np.diff(starts) != _ID_LENGTH).any():
        raise ValueError(_EXPECTED)
    characters = np.frombuffer(text, np.uint8)[starts[0] : starts[-1]].reshape(-1, _ID_LENGTH)
    digits = _VALUES[characters[:, _DIGITS]]
    if (digits == _NO_DIGIT).any():
        raise ValueError(_EXPECTED)
    return _halves(digits[:, ::2] << np.uint8(4) | digits[:, 1::2])


def keys_of_ids(ids: bytes | bytearray) -> Keys:
    """The bits of image ids that follow one another, in 16 bytes each."""
    return _halves(np.frombuffer(bytes(ids), np.uint8).reshape(-1, 16))


def content_keys(versions: Sequence[str]) -> Keys:
    """The bits of the hashes that versions by content end in."""
    digits = "".join(version[-_CONTENT_DIGITS:] for version in versions)
    return _halves(np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(-1, 16))


def in_shard(keys: Keys, shard: Shard) -> npt.NDArray[np.bool_]:
    """bool (n,): whether each image is in a shard, as a listing has it."""
    # The lowest 16 bits of the high half hold the version of UUIDs.
    hashes = keys[:, 0] >> np.uint64(16)
    mask: npt.NDArray[np.bool_] = hashes % np.uint64(shard.count) == shard.number - 1
    return mask


def _halves(raw: npt.NDArray[np.uint8]) -> Keys:
    """The keys of ids whose bytes are the rows of `raw`, uint8 (n, 16)."""
    return np.ascontiguousarray(raw).view(">u8").astype(np.uint64)


def _with_versions(keys: Keys, versions: Iterable[str]) -> Keys:
    # Hashes of texts differ between processes, but these keys are never stored.
    hashes = np.fromiter((hash(version) for version in versions), np.int64, len(keys))
    mixed = keys.copy()
    mixed[:, 1] ^= hashes.view(np.uint64)
    return mixed


class KeySet:
    """A set of keys, to look up many at a time."""

    def __init__(self, keys: Iterable[Keys] = ()) -> None:
        together = np.concatenate([np.zeros((0, 2), np.uint64), *keys])
        order = np.argsort(together[:, 0], kind="stable")
        self._high, self._low = together[order, 0], together[order, 1]
        # Different images hardly ever have the same high half.
        starts = np.flatnonzero(np.diff(self._high, prepend=~self._high[:1]))
        self._longest = int(np.diff(starts, append=len(order)).max(initial=0))

    def __len__(self) -> int:
        return len(self._high)

    def keys(self) -> Keys:
        """All keys, sorted by their high half."""
        return np.stack([self._high, self._low], axis=1)

    def has(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """bool (n,): whether each key is in the set."""
        present = np.zeros(len(keys), bool)
        if not len(self):
            return present
        first = np.searchsorted(self._high, keys[:, 0])
        for offset in range(self._longest):
            row = np.minimum(first + offset, len(self) - 1)
            present |= (self._high[row] == keys[:, 0]) & (self._low[row] == keys[:, 1])
        return present


def version_of_video(version: str) -> str:
    """What stands for a version of a video: an animation may have been done as an image."""
    return f"video:{version}"


class FinishedImages:
    """The images that need no more work, each in one version; files also by their stamp.

    What `is_video` now was to be done as one: its version is then given as `version_of_video`.
    """

    def __init__(
        self,
        parts: Iterable[tuple[Keys, Sequence[str], Sequence[str]]] = (),
        is_video: Callable[[ImageRef], bool] = lambda ref: False,
    ) -> None:
        """From batches of keys, their versions and their stamps; none is kept."""
        self._is_video = is_video
        versions, stamps, sizes = [], [], []
        for keys, of_keys, stamps_of_keys in parts:
            versions.append(_with_versions(keys, of_keys))
            stamped = np.array([bool(stamp) for stamp in stamps_of_keys], bool)
            if stamped.any():
                rows = np.flatnonzero(stamped).tolist()
                stamps.append(_with_versions(keys[rows], (stamps_of_keys[row] for row in rows)))
                lengths = (_size_key(size_of(of_keys[row])) for row in rows)
                sizes.append(_with_versions(keys[rows], lengths))
        self._count = sum(map(len, versions))
        self._keys = KeySet([*versions, *stamps])
        self._sizes = KeySet(sizes)

    def __len__(self) -> int:
        return self._count

    def has(self, refs: Sequence[ImageRef]) -> list[bool]:
        """For each image, whether it is finished in its version."""
        if not len(self) or not refs:
            return [False] * len(refs)
        keys = keys_of_images(refs)
        versions = [
            version_of_video(ref.version) if self._is_video(ref) else ref.version for ref in refs
        ]
        finished = self._keys.has(_with_versions(keys, versions))
        if any(is_stamp(ref.version) for ref in refs):
            older = map(older_version, versions)
            finished |= self._keys.has(_with_versions(keys, older))
        answer: list[bool] = finished.tolist()
        return answer

    def have_size(self, refs: Sequence[ImageRef]) -> list[bool]:
        """For each image, whether it is a file that is finished by content, of the same size."""
        if not len(self._sizes) or not refs:
            return [False] * len(refs)
        lengths = (_size_key(ref.size_bytes) for ref in refs)
        answer: list[bool] = self._sizes.has(_with_versions(keys_of_images(refs), lengths)).tolist()
        return answer


def _size_key(size_bytes: int) -> str:
    return f"size:{size_bytes}"


def keys_of_images(refs: Sequence[ImageRef]) -> Keys:
    """The bits of the ids of images."""
    return _halves(image_ids_bytes(refs))
