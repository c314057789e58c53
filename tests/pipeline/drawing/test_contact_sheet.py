"""The contact sheet: what is drawn where, in proportion, and what is said when it cannot be."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.drawing.contact_sheet import (
    PANEL,
    PAPER,
    TILE_PX,
    contact_sheet,
    describe_picture,
    describe_place,
    draw_tile,
    file_name,
    lay_out,
)
from pipeline.drawing.fonts import choose_font, shorten, wrap
from pipeline.drawing.search_sheet import check_sheet_path, describe_query, save_sheet
from pipeline.search.mask_prompt import encode_mask
from schemas.errors import (
    ObjectChangedError,
    ObjectGoneError,
    ObjseekError,
    StoreAccessError,
    UsageError,
)
from schemas.images import DecodedImage, Failure, ImageRef, Stage
from schemas.masks import CocoRle
from schemas.payload import PointPayload, RlePayload
from schemas.search import (
    FileExample,
    IndexedImageExample,
    ObjectExample,
    Relevance,
    SearchHit,
    SearchQuery,
    TextExample,
    UploadExample,
)

OBJECT, GROUND = (20, 60, 200), (40, 160, 60)
BOX = (100, 60, 160, 100)


def _hit(
    box: tuple[int, int, int, int] = BOX,
    size_hw: tuple[int, int] = (200, 300),
    kind: str = "object",
    uri: str = "s3://photos/2026/kitchen.jpg",
) -> SearchHit:
    height, width = size_hw
    x0, y0, x1, y1 = box if kind == "object" else (0, 0, width, height)
    mask = np.zeros(size_hw, np.bool_)
    mask[y0:y1, x0:x1] = True
    payload = PointPayload.model_validate(
        {
            "kind": kind,
            "ordinal": 0,
            "store": "s3",
            "bucket": "photos",
            "key": uri.removeprefix("s3://photos/"),
            "uri": uri,
            "image_id": "i",
            "version": "v",
            "generation": "g",
            "fingerprint": "f",
            "segmenter": "s",
            "embedder": "e",
            "width": width,
            "height": height,
            "bbox": (x0, y0, x1, y1),
            "area": int(mask.sum()),
            "area_frac": float(mask.mean()),
            "rle": RlePayload(size=size_hw, counts=CocoRle.from_mask(mask).counts)
            if kind == "object"
            else None,
            "ingested_at": datetime(2026, 1, 31, tzinfo=UTC),
        }
    )
    return SearchHit(object_id="o", score=0.3125, payload=payload)


REF = ImageRef("s3", "photos", "2026/kitchen.jpg", "v", 1)


def _image(hit: SearchHit) -> DecodedImage:
    payload = hit.payload
    x0, y0, x1, y1 = payload.bbox
    pixels = np.full((payload.height, payload.width, 3), GROUND, np.uint8)
    if payload.kind == "object":
        pixels[y0:y1, x0:x1] = OBJECT
    return DecodedImage(REF, pixels)


def _colours(tile: Image.Image) -> list[tuple[int, ...]]:
    return [tuple(row) for row in np.unique(np.asarray(tile).reshape(-1, 3), axis=0).tolist()]


def test_the_object_keeps_its_colour_and_its_surroundings_are_dimmed() -> None:
    hit = _hit()
    tile = draw_tile(hit.payload, _image(hit))
    width, height = tile.size
    assert width == height
    assert tile.getpixel((width // 2, height // 2)) == OBJECT
    corner = np.array(tile.getpixel((4, 4)))
    assert (corner > np.array(GROUND) + 20).all()
    assert len({tile.getpixel(at) for at in ((4, 4), (width - 5, 4), (4, height - 5))}) == 1


def test_a_line_goes_around_the_object() -> None:
    hit = _hit()
    tile = np.asarray(draw_tile(hit.payload, _image(hit))).astype(int)
    reddish = (tile[..., 0] > 200) & (tile[..., 1] < 110) & (tile[..., 2] < 150)
    rows, columns = np.nonzero(reddish)
    # The object is 60 x 40 px of a 96 px crop.
    scale = tile.shape[0] / 96
    assert columns.max() - columns.min() == pytest.approx(60 * scale + 18, abs=10)
    assert rows.max() - rows.min() == pytest.approx(40 * scale + 18, abs=10)
    middle = tile.shape[0] // 2
    assert not reddish[middle, middle]


def test_the_crop_is_not_stretched_and_stays_within_the_image() -> None:
    wide = _hit(box=(10, 5, 290, 35), size_hw=(40, 300))
    tile = np.asarray(draw_tile(wide.payload, _image(wide)))
    side = tile.shape[0]
    # 300 x 40 px in a square: bars above and below, none beside.
    bars = (tile == PANEL).all(axis=(1, 2))
    assert bars.sum() == pytest.approx(side * (1 - 40 / 300), abs=2)
    assert bars[0]
    assert bars[-1]
    corner = _hit(box=(280, 180, 300, 200))
    whole = np.asarray(draw_tile(corner.payload, _image(corner)))
    assert not (whole == PANEL).all(axis=2).any()


def test_a_whole_image_is_shown_whole_and_plain() -> None:
    hit = _hit(kind="image")
    tile = draw_tile(hit.payload, _image(hit))
    assert _colours(tile) == sorted([GROUND, PANEL])


@settings(max_examples=15)
@given(st.data())
def test_any_object_of_any_image_gives_a_square_tile(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 90))
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    hit = _hit(box=(x0, y0, x1, y1), size_hw=(height, width))
    tile = draw_tile(hit.payload, _image(hit))
    assert tile.size == (2 * TILE_PX, 2 * TILE_PX)


def _failure(error: ObjseekError) -> Failure:
    return Failure.from_error(REF, Stage.READ, error)


def test_each_reason_is_said_on_a_grey_tile() -> None:
    payload = _hit().payload
    reasons = [
        _failure(ObjectChangedError("m")),
        _failure(ObjectGoneError("m")),
        _failure(StoreAccessError("no access to s3://photos")),
        DecodedImage(REF, np.zeros((10, 10, 3), np.uint8)),
    ]
    tiles = [np.asarray(draw_tile(payload, reason)) for reason in reasons]
    for tile in tiles:
        assert (tile[0] == PANEL).all()
        assert 0.002 < (tile != PANEL).any(axis=2).mean() < 0.1
    assert len({tile.tobytes() for tile in tiles}) == len(tiles)


def test_a_sheet_has_a_tile_for_each_hit_in_rows() -> None:
    hits = [_hit()] * 6
    images = [_image(hits[0])] * 5 + [_failure(ObjectGoneError("m"))]
    sheet = contact_sheet(hits, images, title="a blue box", subtitle="6 objects")
    width, height = sheet.size
    assert width == 2 * 40 + 5 * TILE_PX + 4 * 24
    assert sheet.getpixel((0, 0)) == PAPER
    assert sheet.getpixel((40 + TILE_PX // 2, 116 + TILE_PX // 2)) == OBJECT
    second_row = 116 + TILE_PX + 58 + 24
    assert sheet.getpixel((40 + TILE_PX // 2, second_row + 20)) == PANEL
    assert sheet.getpixel((40 + TILE_PX + 24 + TILE_PX // 2, second_row + 20)) == PAPER
    assert height == second_row + TILE_PX + 58 + 40
    again = contact_sheet(hits, iter(images), title="a blue box", subtitle="6 objects")
    assert again.tobytes() == sheet.tobytes()


def test_unlikely_hits_are_smaller_and_paler_below_a_line() -> None:
    likely = _hit().model_copy(update={"probability": 0.91, "relevance": Relevance.STRONG})
    weak = _hit().model_copy(update={"probability": 0.04, "relevance": Relevance.WEAK})
    layout = lay_out(7, 2)
    large, small = layout.cells[:2], layout.cells[2:]
    assert [side for _, _, side in large] == [TILE_PX] * 2
    assert {side for _, _, side in small} == {(5 * TILE_PX + 4 * 24 - 7 * 24) // 8}
    assert len({top for _, top, _ in small}) == 1
    assert layout.line_top == 116 + TILE_PX + 58 + 24
    assert small[0][1] > layout.line_top
    hits = [likely] * 2 + [weak] * 5
    sheet = contact_sheet(hits, [_image(hit) for hit in hits], title="a blue box")
    assert sheet.size == layout.size

    def middle(cell: tuple[int, int, int]) -> object:
        left, top, side = cell
        return sheet.getpixel((left + side // 2, top + side // 2))

    assert middle(large[0]) == OBJECT
    assert middle(small[0]) == tuple(
        round(0.6 * own + 0.4 * paper) for own, paper in zip(OBJECT, PAPER, strict=True)
    )
    # What is not known to be unlikely is large, and so has no line; nor has nothing but unlikely.
    assert lay_out(7, 7).line_top is None
    assert lay_out(7, 0).line_top is None


def test_a_sheet_of_nothing_has_a_title_and_a_subject_beside_it() -> None:
    plain = contact_sheet([], [], title="a blue box")
    assert (np.asarray(plain) != PAPER).any()
    subject = np.full((50, 100, 3), OBJECT, np.uint8)
    pictured = contact_sheet([], [], title="a blue box", subject=subject)
    assert pictured.getpixel((60, 54)) == OBJECT
    assert plain.getpixel((60, 75)) == PAPER


def test_a_sheet_wants_one_image_a_hit() -> None:
    with pytest.raises(ValueError, match="shorter"):
        contact_sheet([_hit(), _hit()], [_image(_hit())], title="x")


def test_names_of_files() -> None:
    assert file_name("s3://photos/2026/a b.jpg") == "a b.jpg"
    assert file_name("file:///photos/a%20b%23.jpg") == "a b#.jpg"
    assert file_name("photos/a%20b.jpg") == "a%20b.jpg"


@given(st.text(max_size=80), st.integers(20, 300))
def test_text_is_cut_to_the_width_that_there_is(text: str, width_px: int) -> None:
    drawable, font = choose_font(text, 15)
    for keep in ("start", "ends"):
        short = shorten(drawable, font, width_px, keep)
        assert font.getlength(short) <= width_px
        assert short == drawable or "…" in short
    lines = wrap(drawable, font, width_px, lines=3)
    assert len(lines) <= 3
    assert all(font.getlength(line) <= width_px for line in lines)


def test_a_long_name_keeps_both_ends() -> None:
    text, font = choose_font("a-very-long-name-of-a-file-from-a-camera-0042.jpeg", 15)
    short = shorten(text, font, 150, "ends")
    assert short.startswith("a-very")
    assert short.endswith("42.jpeg")


def test_lines_break_at_blanks_and_lose_nothing_that_fits() -> None:
    text, font = choose_font("the image has changed since it was indexed", 15)
    lines = wrap(text, font, 160, lines=7)
    assert len(lines) > 1
    assert " ".join(lines) == text


def test_titles_say_what_was_searched() -> None:
    glass = (TextExample(text="a glass"),)
    assert describe_query(SearchQuery(text="a cup")) == "a cup"
    assert describe_query(SearchQuery(text="a cup", negative=glass)) == "a cup, not a glass"
    pictured = FileExample(path="in/a.jpg")
    assert describe_query(SearchQuery(positive=(pictured,))) == "like a.jpg"
    region = FileExample(path="s3://b/a.jpg", box_xyxy=(0, 0, 1, 1))
    both = SearchQuery(text="blue", positive=(region,))
    assert describe_query(both) == "blue + like a region of a.jpg"
    liked = ObjectExample(object_id="01234567-89ab-cdef-0123-456789abcdef")
    query = SearchQuery(positive=(liked,), negative=glass)
    assert describe_query(query) == "like object 01234567…, not a glass"
    of_index = IndexedImageExample(image_id="01234567-89ab-cdef-0123-456789abcdef", point_xy=(1, 2))
    masked = FileExample(path="a.jpg", mask=encode_mask(np.ones((2, 3), bool)))
    assert describe_query(SearchQuery(positive=(masked,))) == "like a region of a.jpg"
    found = UploadExample(upload_id="1", object_index=2)
    assert describe_query(SearchQuery(positive=(found,))) == "like a region of an uploaded image"
    uploaded = UploadExample(upload_id="1")
    assert (
        describe_query(SearchQuery(positive=(of_index, uploaded)))
        == "like a region of image 01234567… + like an uploaded image"
    )


def test_a_sheet_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    sheet = Image.new("RGB", (30, 20), PAPER)
    for name in ("sheet.png", "sheet.JPG", "sheet.webp"):
        check_sheet_path(tmp_path / name)
        save_sheet(sheet, tmp_path / name)
        with Image.open(tmp_path / name) as written:
            assert written.size == (30, 20)
    with pytest.raises(UsageError, match="cannot be written"):
        save_sheet(sheet, tmp_path / "absent" / "sheet.png")
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(UsageError, match=r"ends in one of \.png"):
        check_sheet_path(tmp_path / "sheet.gif")
    with pytest.raises(UsageError, match="no folder to write in"):
        check_sheet_path(tmp_path / "absent" / "sheet.png")


def test_what_is_in_a_video_has_times_below_it() -> None:
    payload = _hit(uri="s3://photos/clips/1.mp4").payload
    assert (describe_picture(payload), describe_place(payload)) == (
        "1.mp4",
        "60 x 40 px · 4.0% of the image",
    )
    times = {"t_start": 3.0, "t_end": 65.5, "t_key": 4.5}
    track = payload.model_copy(update=times)
    assert describe_picture(track) == "1.mp4 at 0:04"
    assert describe_place(track) == "0:03-1:05 · 4.0% of the frame"
    assert describe_place(track.model_copy(update={"kind": "image"})) == "0:03-1:05"
