"""Hits are shown by what was kept of them: with the images gone, changed, or never read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from PIL import Image
from support import fakes

from pipeline.drawing.contact_sheet import INK, PANEL, draw_tile
from pipeline.drawing.search_sheet import draw_sheet
from pipeline.jobs.ingest import ingest
from pipeline.jobs.reembed import reembed
from pipeline.jobs.sync import sync
from pipeline.jobs.verify import verify
from pipeline.search import kept_pictures
from pipeline.search.kept_pictures import (
    CHANGED_MARK,
    GONE_MARK,
    KeptPicture,
    PictureSource,
    keep_picture,
    read_pictures,
)
from pipeline.settings import Settings
from schemas.images import DecodedImage, Failure
from schemas.payload import PointPayload
from schemas.search import SearchHit, SearchQuery
from workers.indexes.open import open_index
from workers.protocols import VectorIndex

SIZE_HW = (480, 640)
BRIGHT = (400, 100, 560, 220)
COLOUR = (255, 200, 40)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A bright rectangle on blue, of which BrightSegmenter makes an object."""
    return paint(tmp_path / "images" / "one.png")


def paint(path: Path, ground: tuple[int, int, int] = (30, 40, 90)) -> Path:
    pixels = np.full((*SIZE_HW, 3), ground, np.uint8)
    x0, y0, x1, y1 = BRIGHT
    pixels[y0:y1, x0:x1] = COLOUR
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def settings(image: Path, tmp_path: Path) -> Settings:
    made = fakes.settings(tmp_path / "index")
    ingest([str(image.parent)], made, recipe=fakes.recipe(made))
    return made


@contextmanager
def opened(settings: Settings) -> Iterator[VectorIndex]:
    index = open_index(settings.index, None)
    try:
        yield index
    finally:
        index.close()


def points_of(index: VectorIndex) -> list[tuple[str, PointPayload]]:
    """The image, the left half, and what is bright; each with its id."""
    points = [(point.id, point.parse_payload()) for point in index.scroll()]
    return sorted(points, key=lambda point: point[1].ordinal)


def shown(settings: Settings) -> list[DecodedImage | Failure | KeptPicture]:
    with opened(settings) as index:
        return list(read_pictures(points_of(index), PictureSource.of_index(index, settings)))


def marks(settings: Settings) -> list[str]:
    pictures = shown(settings)
    assert all(isinstance(picture, KeptPicture) for picture in pictures)
    return [picture.mark for picture in pictures if isinstance(picture, KeptPicture)]


def near(colour: np.ndarray, expected: tuple[int, int, int]) -> bool:
    return bool(np.abs(colour.astype(int) - expected).max() < 16)


def test_what_was_kept_shows_the_object_in_its_surroundings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("an image was read, of which a thumbnail is kept")

    monkeypatch.setattr(
        kept_pictures, "read_source_images", lambda refs, _: iter(map(refuse, refs))
    )
    whole, left, bright = shown(settings)
    assert isinstance(bright, KeptPicture)
    assert isinstance(left, KeptPicture)
    assert isinstance(whole, KeptPicture)
    # 160 px and 30% of it on each side, as large as in the image; the whole is reduced to 256 px.
    assert bright.box_xyxy == (352, 32, 608, 288)
    assert bright.pixels.shape == (256, 256, 3)
    assert near(bright.pixels[128, 128], COLOUR)
    assert near(bright.pixels[4, 4], (30, 40, 90))
    assert (whole.box_xyxy, whole.pixels.shape) == ((0, 0, 640, 480), (192, 256, 3))
    assert bright.suffices(4000)
    assert [whole.suffices(side) for side in (512, 513)] == [True, False]
    pixels, box = whole.cut(BRIGHT)
    assert box == BRIGHT
    assert pixels.shape == (48, 64, 3)
    assert near(pixels.reshape(-1, 3).mean(axis=0), COLOUR)
    assert whole.cut((-100, 470, 900, 500))[1] == (0, 470, 640, 480)


def test_images_that_changed_or_went_leave_their_pictures_with_a_mark(
    settings: Settings, image: Path
) -> None:
    assert marks(settings) == ["", "", ""]
    os.utime(image, ns=(0, 0))
    assert marks(settings) == ["", "", ""]
    body = image.read_bytes()
    paint(image, ground=(90, 40, 30))
    assert marks(settings) == [CHANGED_MARK] * 3
    image.unlink()
    assert marks(settings) == [GONE_MARK] * 3
    image.write_bytes(body)
    assert marks(settings) == ["", "", ""]


def test_a_mark_is_drawn_below_the_object(settings: Settings) -> None:
    with opened(settings) as index:
        _, payload = points_of(index)[2]
    plain = shown(settings)[2]
    assert isinstance(plain, KeptPicture)
    tile = np.asarray(draw_tile(payload, plain))
    marked = np.asarray(draw_tile(payload, replace(plain, mark=CHANGED_MARK)))
    side = tile.shape[0]
    assert near(tile[side // 2, side // 2], COLOUR)
    assert (marked[: side * 3 // 4] == tile[: side * 3 // 4]).all()
    assert (marked[-3:] == INK).all()
    assert not (tile[-3:] == INK).all(axis=2).any()


def test_a_sheet_needs_no_image(settings: Settings, image: Path) -> None:
    image.unlink()
    with opened(settings) as index:
        hits = [
            SearchHit(object_id=identity, score=0.5, payload=payload)
            for identity, payload in points_of(index)
        ]
        query, kept = SearchQuery(text="bright"), PictureSource.of_index(index, settings)
        sheet = draw_sheet(query, hits, settings, "mean", kept)
        without = draw_sheet(
            query, hits, settings, "mean", replace(kept, thumbnails=lambda ids: {})
        )
    assert sheet.unread == []
    assert len(without.unread) == 3
    grey = [
        float((np.asarray(drawn.picture) == PANEL).all(axis=2).mean()) for drawn in (sheet, without)
    ]
    assert grey[0] < 0.1 < 0.3 < grey[1]


def test_none_are_kept_if_none_are_wanted(image: Path, tmp_path: Path) -> None:
    made = fakes.settings(tmp_path / "plain")
    made = made.model_copy(update={"index": made.index.model_copy(update={"thumbnail_px": 0})})
    ingest([str(image.parent)], made, recipe=fakes.recipe(made))
    with opened(made) as index:
        points = points_of(index)
        assert index.thumbnails([UUID(identity) for identity, _ in points]) == {}
    assert [payload.thumbnail_check for _, payload in points] == [None] * 3
    assert all(isinstance(picture, DecodedImage) for picture in shown(made))
    assert verify(made).findings == []
    image.unlink()
    assert all(isinstance(picture, Failure) for picture in shown(made))


def test_a_thumbnail_that_cannot_be_read_is_none(settings: Settings) -> None:
    with opened(settings) as index:
        _, payload = points_of(index)[2]
    assert keep_picture(payload, b"no picture") is None
    assert keep_picture(payload, None) is None


def test_a_sync_takes_them_away_and_a_change_replaces_them(settings: Settings, image: Path) -> None:
    second = paint(image.parent / "two.png", ground=(10, 90, 10))
    recipe = fakes.recipe(settings)
    sync([str(image.parent)], settings, 1, recipe=recipe)
    with opened(settings) as index:
        before = {point.id for point in index.scan() if point.payload.get("thumbnail")}
    assert len(before) == 6
    second.unlink()
    paint(image, ground=(90, 40, 30))
    sync([str(image.parent)], settings, 1, recipe=recipe)
    with opened(settings) as index:
        after = {point.id for point in index.scan() if point.payload.get("thumbnail")}
    assert len(after) == 3
    assert not before & after
    bright = shown(settings)[2]
    assert isinstance(bright, KeptPicture)
    assert near(bright.pixels[4, 4], (90, 40, 30))
    assert verify(settings, [str(image.parent)]).findings == []


def test_a_new_generation_has_its_own(settings: Settings) -> None:
    other = replace(fakes.recipe(settings), embedder=_other_embedder)
    summary = reembed(settings, recipe=other)
    assert summary.switched
    at = settings.index.model_copy(update={"location": summary.location})
    moved = settings.model_copy(update={"index": at})
    assert marks(moved) == ["", "", ""]
    assert verify(settings).findings == []


def _other_embedder() -> fakes.MeanEmbedder:
    made = fakes.MeanEmbedder()
    made.name, made.fingerprint = "mean-2", "mean-2"
    return made
