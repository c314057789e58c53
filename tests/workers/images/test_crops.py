"""Geometry and pixels of the crops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.object_masks import object_mask

from schemas.options import EmbedderOptions
from workers.images.crops import object_views, square_around, square_image

FILL = (122, 116, 104)


def numbered(height, width):
    """Every pixel has a colour of its own, none of them the fill."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(height)[:, None]
    image[..., 1] = np.arange(width)
    image[..., 2] = 1
    return image


@st.composite
def images_with_objects(draw):
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    x1, y1 = draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = (
        np.random.default_rng(draw(st.integers(0, 9)))
        .random((y1 - y0, x1 - x0))
        .round()
        .astype(bool)
    )
    mask[y0, x0] = mask[y1 - 1, x1 - 1] = True
    return numbered(height, width), object_mask(mask)


@given(
    box=st.tuples(*[st.integers(0, 5000)] * 2, *[st.integers(1, 5000)] * 2),
    margin=st.floats(0, 2),
)
def test_the_square_holds_the_box_in_its_middle_with_the_margin(box, margin):
    x0, y0, width, height = box
    left, top, side = square_around((x0, y0, x0 + width, y0 + height), margin)
    assert left <= x0
    assert top <= y0
    assert x0 + width <= left + side
    assert y0 + height <= top + side
    assert abs((2 * left + side) - (2 * x0 + width)) <= 1
    assert abs((2 * top + side) - (2 * y0 + height)) <= 1
    assert abs(side - max(width, height) * (1 + 2 * margin)) <= 0.5 + 1e-6


def test_the_square_of_known_boxes():
    assert square_around((10, 20, 30, 40), 0.0) == (10, 20, 20)
    assert square_around((10, 20, 30, 40), 0.15) == (7, 17, 26)
    assert square_around((10, 20, 30, 30), 0.5) == (0, 5, 40)


@given(images_with_objects(), st.sampled_from([0.0, 0.15, 0.4, 2.0]))
def test_views_are_the_image_inside_and_its_edge_or_the_fill_outside(case, margin):
    image, mask = case
    options = EmbedderOptions(views="both", context_margin=margin)
    context, cutout = object_views(image, mask, options)
    left, top, side = square_around(mask.bbox_xyxy, margin)
    rows, columns = np.arange(top, top + side), np.arange(left, left + side)
    height, width = image.shape[:2]
    near = np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))
    assert context.shape == cutout.shape == (side, side, 3)
    assert context.dtype == cutout.dtype == np.uint8
    np.testing.assert_array_equal(context, image[near])
    inside_image = np.outer((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    shown = mask.rle.decode()[near] & inside_image
    assert shown.sum() == mask.area_px
    np.testing.assert_array_equal(cutout[shown], context[shown])
    assert (cutout[~shown] == FILL).all()


def test_a_corner_object_repeats_the_edge_pixel_by_pixel():
    image = numbered(4, 4)
    mask = np.zeros((4, 4), bool)
    mask[:2, :2] = True
    mask[0, 1] = False
    options = EmbedderOptions(views="both", context_margin=0.5, cutout_fill=(9, 8, 7))
    context, cutout = object_views(image, object_mask(mask), options)
    assert context[..., 0].tolist() == [[0] * 4, [0] * 4, [1] * 4, [2] * 4]
    assert context[..., 1].tolist() == [[0, 0, 1, 2]] * 4
    kept = (cutout != (9, 8, 7)).any(2)
    assert np.argwhere(kept).tolist() == [[1, 1], [2, 1], [2, 2]]
    assert cutout[2, 2].tolist() == [1, 1, 1]


@pytest.mark.parametrize(("views", "chosen"), [("context", [0]), ("cutout", [1]), ("both", [0, 1])])
def test_either_view_can_be_had_alone(views, chosen):
    mask = np.zeros((8, 9), bool)
    mask[2:5, 3:7] = np.eye(3, 4, dtype=bool)
    mask[4, 6] = mask[2, 3] = True
    both = object_views(numbered(8, 9), object_mask(mask), EmbedderOptions(views="both"))
    got = object_views(numbered(8, 9), object_mask(mask), EmbedderOptions(views=views))
    assert [view.tolist() for view in got] == [both[index].tolist() for index in chosen]


def test_a_mask_of_another_size_is_refused():
    mask = object_mask(np.ones((4, 5), bool))
    with pytest.raises(ValueError, match=r"5 x 4 pixels, got \(4, 5\)"):
        object_views(numbered(5, 4), mask, EmbedderOptions())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 8), (8, 3), (5, 4)])
def test_a_whole_image_stands_uncut_in_the_middle_of_a_square(height, width):
    image, side = numbered(height, width), max(height, width)
    square = square_image(image, FILL)
    top, left = (side - height) // 2, (side - width) // 2
    np.testing.assert_array_equal(square[top : top + height, left : left + width], image)
    assert square.shape == (side, side, 3)
    assert (square == FILL).all(2).sum() == side * side - height * width


def test_a_panorama_does_not_become_a_square_of_its_longer_side():
    image = np.zeros((40, 20_000, 3), np.uint8)
    image[:, 10_000:] = 200
    square = square_image(image, FILL)
    assert square.shape == (1053, 1053, 3)  # 20,000 by a factor of 19
    assert (square == FILL).all(2).any(1).sum() == 1053 - 3
    assert square[526, :526].max() == 0
    assert square[526, 527:].min() == 200


def test_large_crops_are_reduced_and_stay_in_place():
    image = np.zeros((3000, 3000, 3), np.uint8)
    mask = np.zeros((3000, 3000), bool)
    mask[:2400, :2400] = True
    image[mask] = (240, 0, 0)
    # A square of 3600 from -600 on, by 3.
    options = EmbedderOptions(views="both", context_margin=0.25)
    context, cutout = object_views(image, object_mask(mask), options)
    assert context.shape == cutout.shape == (1200, 1200, 3)
    assert (context[:1000, :1000] == (240, 0, 0)).all()
    assert (context[1000:] == 0).all()
    assert (cutout[200:1000, 200:1000] == (240, 0, 0)).all()
    assert (cutout[:200] == FILL).all()
    assert (cutout[1000:] == FILL).all()


def test_squares_are_left_alone():
    image = numbered(30, 30)
    assert square_image(image, FILL) is image
