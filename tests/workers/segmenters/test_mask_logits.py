"""Masks from elsewhere as what a mask decoder is prompted with."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.errors import UsageError
from schemas.options import SegmenterOptions
from workers.segmenters import sam_demo
from workers.segmenters.mask_logits import frame_logits


def test_logits_are_shares_of_pixels_in_the_upper_left_of_the_frame() -> None:
    mask = np.zeros((4, 8), np.bool_)
    mask[:2, :3] = True  # a column and a half of the frame's
    logits = frame_logits(mask, (4, 8), 4)
    expected = np.full((4, 4), -10.0)
    expected[0] = [10.0, 0.0, -10.0, -10.0]
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected)


def test_padding_is_outside() -> None:
    logits = frame_logits(np.ones((2, 4), np.bool_), (4, 8), 8)
    assert (logits[:2, :4] == 10).all()
    assert (logits[2:] == -10).all()
    assert (logits[:, 4:] == -10).all()


@pytest.mark.long
def test_sam_demo_takes_its_own_mask_from_elsewhere() -> None:
    image = np.full((64, 96, 3), 40, np.uint8)
    image[16:48, 24:60] = (250, 60, 20)
    session = sam_demo.build(SegmenterOptions(device="cpu")).open_image(image)
    first = session.predict([(40.0, 30.0)], [1]).mask
    assert first is not None
    mask = first.rle.decode()
    again = session.predict([(40.0, 30.0)], [1], mask_input=session.frame_mask(mask)).mask
    assert again is not None
    found = again.rle.decode()
    assert (found & mask).sum() / (found | mask).sum() > 0.9
    with pytest.raises(UsageError, match=r"of 96 x 64 pixels.* got one of 64 x 96"):
        session.frame_mask(mask.T)
    with pytest.raises(UsageError, match="got an empty one"):
        session.frame_mask(np.zeros_like(mask))
