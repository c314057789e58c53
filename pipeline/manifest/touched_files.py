"""Finds files that look changed and have the content that is recorded: touched, or copied anew."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline.manifest.image_keys import FinishedImages
from schemas.errors import StoreError
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.stores.file_version import identify, is_by_content, is_stamp, older_version, size_of
from workers.stores.open import read

_READ_AT_ONCE = 8


def find_finished(
    refs: Sequence[ImageRef], finished: FinishedImages
) -> tuple[list[bool], list[ImageRef]]:
    """For each listed image, whether it is finished; then those that only their content tells of.

    The latter in their version by content. Files alone are read for it, and only those whose size
    is the recorded one; what cannot be read is not finished.
    """
    done = finished.has(refs)
    touched = _find_touched(
        [ref for ref, known in zip(refs, done, strict=True) if not known], finished
    )
    places = {(ref.store, ref.key) for ref in touched}
    done = [known or (ref.store, ref.key) in places for ref, known in zip(refs, done, strict=True)]
    return done, touched


def _find_touched(refs: Sequence[ImageRef], finished: FinishedImages) -> list[ImageRef]:
    sized = zip(refs, finished.have_size(refs), strict=True)
    suspects = [ref for ref, same in sized if same and is_stamp(ref.version)]
    if not suspects:
        return []
    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        read_now = [ref for ref in pool.map(read_version, suspects) if ref is not None]
    return [ref for ref, same in zip(read_now, finished.has(read_now), strict=True) if same]


def read_version(ref: ImageRef) -> ImageRef | None:
    """A listed file in its version by content; None if it cannot be read as it was listed."""
    try:
        return identify(ref, read(ref, StoreOptions()))
    except StoreError:
        return None


def is_recorded(ref: ImageRef, version: str, stamp: str) -> bool:
    """Whether a listed image is the one that `version` and `stamp` tell of.

    A file that looks otherwise and has the same size is read.
    """
    if ref.version in (version, stamp):
        return True
    if not is_stamp(ref.version):
        return False
    if not is_by_content(version):
        return older_version(ref.version) == version
    if ref.size_bytes != size_of(version):
        return False
    now = read_version(ref)
    return now is not None and now.version == version
