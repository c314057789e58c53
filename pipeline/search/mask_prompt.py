"""Encodes and checks a mask that is given with an image: COCO's compressed run lengths."""

from __future__ import annotations

from schemas.errors import UsageError
from schemas.masks import BoolMask, CocoRle, ObjectMask
from schemas.payload import RlePayload


def encode_mask(mask: BoolMask) -> RlePayload:
    """A mask, bool (height, width). Raises UsageError for anything else."""
    try:
        rle = CocoRle.from_mask(mask)
    except ValueError as exc:
        raise UsageError(f"the mask is not valid: {exc}") from exc
    return RlePayload(size=rle.size_hw, counts=rle.counts)


def check_mask(mask: RlePayload, size_hw: tuple[int, int]) -> CocoRle:
    """The mask. Raises UsageError where it is not of an image of this size, or no mask."""
    if mask.size != size_hw:  # before so much memory is taken
        raise UsageError(f"expected a mask of size {list(size_hw)}, got one of {list(mask.size)}")
    rle = mask.to_rle()
    try:
        rle.runs()
    except ValueError as exc:
        raise UsageError(f"expected a mask as COCO's compressed RLE: {exc}") from exc
    return rle


def given_mask(mask: RlePayload, size_hw: tuple[int, int]) -> ObjectMask:
    """The mask, measured. Raises UsageError, for one with nothing inside as well."""
    measured = ObjectMask.measure(check_mask(mask, size_hw))
    if measured is None:
        raise UsageError("expected a mask of an object, got one with nothing inside")
    return measured
