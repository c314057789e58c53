"""Geometry and pixels of the crops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.object_masks import object_mask

from schemas.options import CropOptions, EmbedderOptions
from workers.images.crops import Window, crop_window, object_views, square_image

FILL = (122, 116, 104)


def crops(**changes):
    return CropOptions(**changes)


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
    left, top, side, other = crop_window((x0, y0, x0 + width, y0 + height), margin)
    assert side == other
    assert left <= x0
    assert top <= y0
    assert x0 + width <= left + side
    assert y0 + height <= top + side
    assert abs((2 * left + side) - (2 * x0 + width)) <= 1
    assert abs((2 * top + side) - (2 * y0 + height)) <= 1
    assert abs(side - max(width, height) * (1 + 2 * margin)) <= 0.5 + 1e-6


def test_the_windows_of_known_boxes():
    assert crop_window((10, 20, 30, 40), 0.0) == Window(10, 20, 20, 20)
    assert crop_window((10, 20, 30, 40), 0.15) == (7, 17, 26, 26)
    assert crop_window((10, 20, 30, 30), 0.5) == (0, 5, 40, 40)
    for to_square in ("pad", "squash"):
        assert crop_window((10, 20, 30, 30), 0.0, to_square) == (10, 20, 20, 10)
        assert crop_window((10, 20, 30, 30), 0.5, to_square) == (0, 10, 40, 30)


@given(images_with_objects(), st.sampled_from([0.0, 0.15, 0.4, 2.0]))
def test_views_are_the_image_inside_and_its_edge_or_the_fill_outside(case, margin):
    image, mask = case
    options = EmbedderOptions(views="both", context_margin=margin)
    context, cutout = object_views(image, mask, options)
    left, top, side, _ = crop_window(mask.bbox_xyxy, margin)
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


def one_row_and_one_column():
    """A 3 x 5 image of 10 with a cross of 200 on it, and its mask, 2 x 3 and two pixels short."""
    image = np.full((3, 5, 3), 10, np.uint8)
    mask = np.zeros((3, 5), bool)
    mask[1, 1:4] = mask[2, 2] = True
    image[mask] = 200
    return image, object_mask(mask)


def greys(view):
    """The view's red where all channels are alike, and FILL's red elsewhere."""
    assert ((view == view[..., :1]).all(2) | (view == FILL).all(2)).all()
    return view[..., 0].tolist()


def test_a_box_that_is_not_square_is_extended_or_padded():
    image, mask = one_row_and_one_column()
    fill = FILL[0]
    extended, alone = object_views(image, mask, crops(context_margin=0))
    assert greys(extended) == [[10] * 3, [200] * 3, [10, 200, 10]]
    assert greys(alone) == [[fill] * 3, [200] * 3, [fill, 200, fill]]
    context, cutout = object_views(image, mask, crops(context_margin=0, to_square="pad"))
    assert greys(context) == [[200] * 3, [10, 200, 10], [fill] * 3]
    assert greys(cutout) == [[200] * 3, [fill, 200, fill], [fill] * 3]


def test_a_box_with_a_margin_is_padded_outside_of_it():
    image, mask = one_row_and_one_column()
    fill = FILL[0]
    # 5 x 4 of the image from (0, 0) on, whose last row repeats, over a bar.
    [context] = object_views(
        image, mask, crops(views="context", context_margin=0.34, to_square="pad")
    )
    middle = [10, 10, 200, 10, 10]
    assert greys(context) == [[10] * 5, [10, 200, 200, 200, 10], middle, middle, [fill] * 5]


def test_a_box_is_squashed_to_its_longer_side():
    image = np.zeros((8, 64, 3), np.uint8)
    image[:, 32:] = 255
    whole = object_mask(np.ones((8, 64), bool))
    [context] = object_views(
        image, whole, crops(views="context", context_margin=0, to_square="squash")
    )
    assert context.shape == (64, 64, 3)
    np.testing.assert_array_equal(context, np.repeat(image, 8, axis=0))
    image[:4], image[4:] = 255, 0
    [context] = object_views(
        image, whole, crops(views="context", context_margin=0, to_square="squash")
    )
    assert (context[:24] == 255).all()
    assert (context[40:] == 0).all()


def test_a_cutout_stands_on_the_mean_colour_around_it():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2], image[2:] = (100, 0, 8), (200, 3, 8)
    mask = np.zeros((4, 4), bool)
    mask[0, 0:2] = mask[1, 1] = mask[1, 0] = True
    image[mask] = (1, 2, 3)
    options = crops(views="cutout", context_margin=0.5, cutout_background="mean")
    [cutout] = object_views(image, object_mask(mask), options)
    # Of 3 x 3 pixels in the image two are of the first colour and three of the second.
    expected = (160, 2, 8)
    assert cutout.shape == (4, 4, 3)
    assert (cutout[1:3, 1:3] == (1, 2, 3)).all()
    cutout[1:3, 1:3] = expected
    assert (cutout == expected).all()


def test_a_cutout_stands_on_its_blurred_image():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    image[:, :60] //= 4
    mask = np.zeros((90, 120), bool)
    mask[30:60, 40:80] = True
    mask[30:40, 40:50] = False
    context, cutout = object_views(image, object_mask(mask), crops(cutout_background="blur"))
    left, top, side, _ = crop_window((40, 30, 80, 60), 0.15)
    inside = mask[top : top + side, left : left + side]
    np.testing.assert_array_equal(cutout[inside], context[inside])
    behind, before = cutout.astype(float), context.astype(float)
    flat = ~inside
    flat[:, 20:32] = False  # beside the step
    assert np.abs(np.diff(behind, axis=1))[flat[:, 1:] & flat[:, :-1]].max() <= 16
    assert np.abs(np.diff(before, axis=1))[flat[:, 1:] & flat[:, :-1]].max() > 150
    assert behind[flat].mean() == pytest.approx(before[flat].mean(), abs=6)


def test_an_object_at_the_edge_is_not_repeated_on_its_blurred_image():
    image = np.full((40, 40, 3), 100, np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[18:22] = mask[:, 36:] = True
    image[mask] = 250
    options = crops(context_margin=0.5, cutout_background="blur")
    context, cutout = object_views(image, object_mask(mask), options)
    assert (context[20:60, 60:] == 250).all()
    assert (cutout[20:60, 60:] < 200).all()
    assert (cutout[20:60, 56:60] == 250).all()


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    to_square=st.sampled_from(["pad", "squash"]),
    background=st.sampled_from(["fill", "mean", "blur"]),
)
def test_of_a_mask_that_fills_its_box_both_views_are_the_same(height, width, to_square, background):
    image = numbered(44, 44)
    mask = np.zeros((44, 44), bool)
    mask[2 : 2 + height, 3 : 3 + width] = True
    options = crops(context_margin=0, to_square=to_square, cutout_background=background)
    context, cutout = object_views(image, object_mask(mask), options)
    assert context.shape == (max(height, width), max(height, width), 3)
    np.testing.assert_array_equal(context, cutout)


@given(images_with_objects(), st.sampled_from(["fill", "mean", "blur"]))
def test_padded_and_extended_squares_are_as_large_and_squashed_ones_too(case, background):
    image, mask = case
    sizes = {
        view.shape
        for to_square in ("extend", "pad", "squash")
        for view in object_views(
            image, mask, crops(cutout_background=background, to_square=to_square)
        )
    }
    longer = max(np.subtract(mask.bbox_xyxy[2:], mask.bbox_xyxy[:2]))
    assert sizes == {(longer + round(0.3 * longer),) * 2 + (3,)}


def test_a_cutout_on_one_colour_is_the_same_padded_and_extended():
    image, mask = numbered(60, 60), np.zeros((60, 60), bool)
    mask[10:20, 10:40] = np.random.default_rng(0).random((10, 30)) < 0.5
    mask[10, 10] = mask[19, 39] = True
    extended, padded = (
        object_views(image, object_mask(mask), crops(views="cutout", to_square=to_square))[0]
        for to_square in ("extend", "pad")
    )
    np.testing.assert_array_equal(extended, padded)


def test_a_long_box_that_is_squashed_keeps_the_detail_of_its_shorter_side():
    image = np.zeros((60, 4000, 3), np.uint8)
    image[::2] = 255
    options = crops(views="context", context_margin=0, to_square="squash")
    [view] = object_views(image, object_mask(np.ones((60, 4000), bool)), options)
    assert view.shape == (1334, 1334, 3)  # of 4,000 by a factor of 3, and of all 60
    stripes = view[:, 600, 0] > 127
    assert np.count_nonzero(stripes[1:] != stripes[:-1]) == 59


@pytest.mark.parametrize("background", ["mean", "blur"])
@pytest.mark.parametrize("to_square", ["extend", "pad", "squash"])
def test_large_crops_are_reduced_whatever_they_are_cut_from(background, to_square):
    image = np.zeros((1500, 3000, 3), np.uint8)
    image[200:1300, 300:2700] = (240, 0, 0)
    mask = image[..., 0] > 0
    options = crops(cutout_background=background, to_square=to_square)
    for view in object_views(image, object_mask(mask), options):
        assert view.shape == (1040, 1040, 3)  # of 3,120, by a factor of 3
        assert (view[480:560, 200:840] == (240, 0, 0)).all()


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
