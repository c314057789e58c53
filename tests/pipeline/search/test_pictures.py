"""Pictures as queries: boxes drawn round objects, whole images, and copies of indexed ones."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from support.colour_world import (
    COLOURS,
    GREY,
    NAME,
    OPTIONS,
    ColourEmbedder,
    ColourSegmenter,
    build_index,
    rectangle,
)

from pipeline.search.image_copies import look_alike
from pipeline.search.mask_prompt import encode_mask
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.box_choice import choose_mask, score_mask
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.payload import RlePayload
from schemas.search import (
    Box,
    FileExample,
    IndexedImageExample,
    RegionChoice,
    SearchHit,
    SearchQuery,
    TextExample,
)
from workers.indexes.open import open_index

SIZE_HW = (80, 120)
RED, PINK, BLUE = (20, 20, 60, 60), (10, 10, 40, 50), (60, 20, 100, 70)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def settings(folder: Path) -> Settings:
    return build_index(folder).model_copy(update={"embedder": OPTIONS})


@pytest.fixture
def searcher(settings: Settings) -> Iterator[Searcher]:
    with Searcher(open_index(settings.index, None), ColourEmbedder(), settings) as searcher:
        searcher.models._segmenter = ColourSegmenter()
        yield searcher


def place(hit: SearchHit) -> tuple[str, Box]:
    return hit.payload.uri.rpartition("/")[2], hit.payload.bbox


def image_of(searcher: Searcher, colour: str) -> str:
    return searcher.search(SearchQuery(text=colour, limit=1)).hits[0].payload.image_id


def grow(box: Box, share: float) -> Box:
    x0, y0, x1, y1 = box
    dx, dy = round(share * (x1 - x0)), round(share * (y1 - y0))
    return max(0, x0 - dx), max(0, y0 - dy), min(SIZE_HW[1], x1 + dx), min(SIZE_HW[0], y1 + dy)


def write_own(path: Path) -> Path:
    """A picture that is not in the index: a red and a green square, well apart."""
    pixels = np.full((*SIZE_HW, 3), GREY, np.uint8)
    pixels[30:60, 5:35] = COLOURS["red"]
    pixels[10:50, 70:110] = COLOURS["green"]
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_the_mask_that_a_box_is_drawn_round_is_chosen(share: float) -> None:
    masks = [rectangle(box, SIZE_HW) for box in (BLUE, PINK, (12, 12, 20, 20))]
    assert choose_mask(masks, grow(PINK, share)) == 1
    assert choose_mask(masks, grow(BLUE, share)) == 0


def test_a_box_over_nothing_over_a_part_or_over_much_more_fits_no_mask() -> None:
    masks = [rectangle(PINK, SIZE_HW)]
    assert choose_mask(masks, BLUE) is None
    assert choose_mask(masks, (10, 10, 30, 30)) is None  # a third of the mask
    assert choose_mask([rectangle((50, 30, 60, 38), SIZE_HW)], (0, 0, 120, 80)) is None
    assert choose_mask([], PINK) is None


def test_what_leaves_a_box_costs_more_than_what_does_not_fill_it() -> None:
    mask = rectangle((20, 20, 60, 60), SIZE_HW)
    # 0.9 of the mask is inside the first; the mask fills 0.9 of the second.
    assert score_mask(mask, (20, 20, 60, 56)) == pytest.approx(0.9 * 0.9**4 * 0.9**0.5)
    assert score_mask(mask, (20, 16, 60, 60)) == pytest.approx(0.9 * (40 / 44) ** 0.5)
    # A mask of no certainty fits as well, but loses against any other.
    unsure = ObjectMask.measure(mask.rle, predicted_iou=0.0, stability_score=0.0)
    assert unsure is not None
    assert choose_mask([unsure], RED) == 0
    assert choose_mask([unsure, mask], RED) == 1


sides = st.tuples(st.integers(0, 100), st.integers(0, 60), st.integers(1, 20), st.integers(1, 20))


@given(mask=sides, drawn=sides)
def test_a_mask_that_fits_is_half_in_the_box(
    mask: tuple[int, int, int, int], drawn: tuple[int, int, int, int]
) -> None:
    box, other = ((x, y, x + w, y + h) for x, y, w, h in (mask, drawn))
    inside = rectangle(box, SIZE_HW).rle.decode()[other[1] : other[3], other[0] : other[2]].sum()
    score = score_mask(rectangle(box, SIZE_HW), other)
    assert (score > 0) <= (2 * inside >= mask[2] * mask[3])
    assert score <= 0.9 + 1e-9


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_a_box_in_an_indexed_image_is_the_object_in_it_without_a_model(
    settings: Settings, share: float
) -> None:
    with Searcher(open_index(settings.index, None), ColourEmbedder(), settings) as searcher:
        image = image_of(searcher, "blue")
        searcher.models._images = None  # nothing is embedded
        query = SearchQuery(
            positive=(IndexedImageExample(image_id=image, box_xyxy=grow(BLUE, share)),)
        )
        page = searcher.search(query)
    assert place(page.hits[0]) == ("two.png", BLUE)
    assert page.hits[0].score == pytest.approx(1.0, abs=1e-5)
    (region,) = page.regions
    assert region is not None
    assert (region.choice, region.object_id) == (RegionChoice.INDEXED, page.hits[0].object_id)
    assert region.mask.rle.decode().sum() == region.mask.area_px == 40 * 50


def test_the_box_as_it_is_is_a_choice(searcher: Searcher) -> None:
    image, box = image_of(searcher, "blue"), grow(BLUE, 0.25)
    example = IndexedImageExample(image_id=image, box_xyxy=box, exact_box=True)
    page = searcher.search(SearchQuery(positive=(example,)))
    (region,) = page.regions
    assert region is not None
    assert (region.choice, region.object_id) == (RegionChoice.BOX, None)
    assert region.mask.bbox_xyxy == box
    assert page.hits[0].score < 0.999
    with pytest.raises(ValueError, match="expected a box that is taken exactly, got none"):
        IndexedImageExample(image_id=image, exact_box=True)


def test_a_box_over_nothing_is_taken_as_it_is(searcher: Searcher, tmp_path: Path) -> None:
    nothing = (100, 0, 120, 15)
    image = IndexedImageExample(image_id=image_of(searcher, "blue"), box_xyxy=nothing)
    file = FileExample(path=str(write_own(tmp_path / "own.png")), box_xyxy=(40, 65, 60, 80))
    for example in (image, file):
        (region,) = searcher.search(SearchQuery(positive=(example,))).regions
        assert region is not None
        assert region.choice == RegionChoice.FALLBACK
        assert region.mask.bbox_xyxy == example.box_xyxy


def test_the_objects_of_an_image_that_is_not_indexed_are_found_once(
    searcher: Searcher, tmp_path: Path
) -> None:
    path = str(write_own(tmp_path / "own.png"))
    for box, wanted in (((0, 25, 40, 65), "one.png"), ((65, 5, 115, 55), "three.png")):
        query = SearchQuery(positive=(FileExample(path=path, box_xyxy=box),), limit=1)
        page = searcher.search(query)
        assert place(page.hits[0])[0] == wanted
        (region,) = page.regions
        assert region is not None
        assert (region.choice, region.object_id) == (RegionChoice.FOUND, None)
    assert region.mask.bbox_xyxy == (70, 10, 110, 50)
    segmenter = searcher.models.segmenter()
    assert isinstance(segmenter, ColourSegmenter)
    assert segmenter.segmented == 1


def test_a_file_that_is_indexed_has_the_objects_of_the_index(
    searcher: Searcher, folder: Path
) -> None:
    example = FileExample(path=str(folder / "two.png"), box_xyxy=grow(PINK, 0.25))
    page = searcher.search(SearchQuery(positive=(example,)))
    assert place(page.hits[0]) == ("two.png", PINK)
    (region,) = page.regions
    assert region is not None
    assert (region.choice, region.object_id) == (RegionChoice.INDEXED, page.hits[0].object_id)
    assert searcher.models._segmenter.segmented == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["file", "indexed"])
def test_a_mask_is_searched_with_as_it_is(searcher: Searcher, folder: Path, kind: str) -> None:
    # Half of the pink square: the pixels of a box round it would be grey as well.
    wanted = np.zeros(SIZE_HW, np.bool_)
    wanted[PINK[1] : PINK[3], PINK[0] : 30] = True
    given = encode_mask(wanted)
    example: FileExample | IndexedImageExample = FileExample(path=str(folder / "two.png"))
    if kind == "indexed":
        example = IndexedImageExample(image_id=image_of(searcher, "pink"))
    page = searcher.search(SearchQuery(positive=(example.model_copy(update={"mask": given}),)))
    assert place(page.hits[0]) == ("two.png", PINK)
    (region,) = page.regions
    assert region is not None
    assert (region.choice, region.object_id) == (RegionChoice.MASK, None)
    assert region.mask.rle == given.to_rle()
    assert searcher.models._segmenter.segmented == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (RlePayload(size=(9, 9), counts="b1"), r"expected a mask of size \[80, 120\], got one of"),
        (RlePayload(size=SIZE_HW, counts="b1"), "expected a mask as COCO's compressed RLE"),
        (encode_mask(np.zeros(SIZE_HW, np.bool_)), "a mask of an object, got one with nothing"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(
    searcher: Searcher, folder: Path, mask: RlePayload, said: str
) -> None:
    example = FileExample(path=str(folder / "two.png"), mask=mask)
    with pytest.raises(UsageError, match=said):
        searcher.search(SearchQuery(positive=(example,)))


def test_a_region_is_given_once() -> None:
    mask = encode_mask(np.ones(SIZE_HW, np.bool_))
    with pytest.raises(
        ValidationError, match="one of a box, a point and a mask, got a point and a"
    ):
        FileExample(path="x", point_xy=(1, 2), mask=mask)


def test_a_box_outside_of_an_indexed_image_is_refused(searcher: Searcher) -> None:
    example = IndexedImageExample(image_id=image_of(searcher, "blue"), box_xyxy=(0, 0, 121, 9))
    with pytest.raises(UsageError, match="within the image's 120 x 80 pixels, got 0,0,121,9"):
        searcher.search(SearchQuery(positive=(example,)))


def test_where_the_index_has_another_embedder_the_mask_is_embedded(tmp_path: Path) -> None:
    other = ColourEmbedder("other")
    settings = build_index(tmp_path, ["one.png"], other)
    build_index(tmp_path, ["two.png"])
    settings = settings.model_copy(update={"embedder": OPTIONS})
    with Searcher(open_index(settings.index, None), ColourEmbedder(NAME), settings) as searcher:
        (image,) = (
            point.payload["image_id"]
            for point in searcher.index.scroll()
            if point.payload["kind"] == "image" and point.payload["embedder"] == "other"
        )
        query = SearchQuery(positive=(IndexedImageExample(image_id=image, box_xyxy=RED),))
        page = searcher.search(query)
    (region,) = page.regions
    assert region is not None
    assert (region.choice, region.mask.bbox_xyxy) == (RegionChoice.FOUND, RED)
    assert place(page.hits[0]) == ("two.png", PINK)


def test_a_picture_finds_images_and_objects_and_its_copy_is_said_to_be_one(
    searcher: Searcher, folder: Path, tmp_path: Path
) -> None:
    path = folder / "two.png"
    page = searcher.search(SearchQuery(positive=(FileExample(path=str(path)),)))
    assert {hit.payload.kind for hit in page.hits} == {"image", "object"}
    assert place(page.hits[0]) == ("two.png", (0, 0, 120, 80))
    (copy,) = page.copies
    assert (copy.exact, copy.object_id) == (True, page.hits[0].object_id)
    assert copy.uri == page.hits[0].payload.uri
    assert (page.hits[0].probability, page.hits[0].relevance) == (1.0, "strong")
    assert page.relevance == "strong"
    # Smaller and encoded again, it is no exact copy.
    with Image.open(path) as image:
        image.resize((90, 60)).save(tmp_path / "small.jpg", quality=80)
    page = searcher.search(SearchQuery(positive=(FileExample(path=str(tmp_path / "small.jpg")),)))
    (near,) = page.copies
    assert (near.exact, near.image_id) == (False, copy.image_id)


def test_a_copy_stays_first_whatever_is_not_wanted(searcher: Searcher, folder: Path) -> None:
    picture = FileExample(path=str(folder / "two.png"))
    green = TextExample(text="green")
    for query in (
        SearchQuery(positive=(picture,), negative=(green,)),
        SearchQuery(positive=(picture,), group_size=3),
        SearchQuery(positive=(picture,), diversity=0.5),
        SearchQuery(positive=(picture,), strategy="best_score"),
    ):
        first = searcher.search(query).hits[0]
        assert place(first) == ("two.png", (0, 0, 120, 80))
        assert first.probability == 1.0
    # Whether it shows a text as well is not known.
    both = searcher.search(SearchQuery(positive=(picture, TextExample(text="blue"))))
    assert {hit.probability for hit in both.hits if hit.payload.kind == "image"} == {None}
    # As much as any other hit that shows it, one that is not wanted loses.
    unwanted = searcher.search(SearchQuery(positive=(picture,), negative=(picture,)))
    assert unwanted.hits[0].probability == 0.5


def test_a_picture_that_is_no_copy_is_none_and_not_called_absent(
    searcher: Searcher, tmp_path: Path
) -> None:
    example = FileExample(path=str(write_own(tmp_path / "own.png")))
    page = searcher.search(SearchQuery(positive=(example,)))
    assert page.copies == ()
    assert page.relevance is None or page.relevance != "weak"
    # Objects alone are judged as ever.
    assert searcher.search(SearchQuery(positive=(example,), kind="object")).relevance is not None


def test_kinds_follow_what_is_searched_with() -> None:
    picture = FileExample(path="a.png")
    region = FileExample(path="a.png", point_xy=(1, 1))
    assert SearchQuery(positive=(picture,)).wanted_kind is None
    assert SearchQuery(positive=(TextExample(text="red"), picture)).wanted_kind is None
    assert SearchQuery(positive=(region,)).wanted_kind == "object"
    assert SearchQuery(text="red", negative=(picture,)).wanted_kind == "object"
    assert SearchQuery(positive=(picture,), kind="object").wanted_kind == "object"
    assert SearchQuery(text="red", kind=None).wanted_kind is None


def test_a_copy_whose_source_is_gone_is_not_claimed(tmp_path: Path) -> None:
    settings = build_index(tmp_path).model_copy(update={"embedder": OPTIONS})
    kept = tmp_path / "elsewhere.png"
    kept.write_bytes((tmp_path / "one.png").read_bytes())
    (tmp_path / "one.png").unlink()
    with Searcher(open_index(settings.index, None), ColourEmbedder(), settings) as searcher:
        page = searcher.search(SearchQuery(positive=(FileExample(path=str(kept)),)))
    assert page.copies == ()
    assert place(page.hits[0])[0] == "one.png"


def encode(pixels: UInt8Image, quality: int) -> UInt8Image:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def test_pictures_that_look_alike() -> None:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 255, (12, 16, 3), np.uint8)
    picture = np.asarray(Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC))
    small = np.asarray(Image.fromarray(picture).resize((160, 120)))
    assert look_alike(picture, encode(picture, 40))
    assert look_alike(picture, small)
    assert look_alike(small, picture)
    assert not look_alike(picture, picture[:, ::-1])
    assert not look_alike(picture, picture[:, :200])
    assert not look_alike(picture, 255 - picture)
    flat = np.full((240, 320, 3), 90, np.uint8)
    assert look_alike(flat, flat + 1)
    assert not look_alike(flat, flat + 20)


def test_the_mask_of_a_region_is_encoded_as_it_is_drawn(searcher: Searcher) -> None:
    example = IndexedImageExample(image_id=image_of(searcher, "blue"), box_xyxy=BLUE)
    (region,) = searcher.search(SearchQuery(positive=(example,))).regions
    assert region is not None
    assert region.mask.rle == CocoRle.from_mask(rectangle(BLUE, SIZE_HW).rle.decode())
