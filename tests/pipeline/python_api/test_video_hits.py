"""Hits in videos from Python: their times, the masks and frames of their tracks, and tables."""

from __future__ import annotations

import doctest
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support.moving_squares import RATE, SIZE_HW
from support.video_world import FRAMES, SHOTS_S, video_index

import schemas.coco
from pipeline.index_home import IndexHome
from pipeline.manifest.track_files import TrackFiles
from pipeline.python_api.hits import Hit, IndexedObject, SearchResult
from pipeline.python_api.index import Index
from schemas.errors import NotIndexedError, UsageError
from schemas.search import SearchHit, SearchPage, SearchQuery
from workers.stores import selection


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with Index(video_index(tmp_path_factory.mktemp("videos"))) as opened:
        yield opened


@pytest.fixture
def mover(index: Index) -> IndexedObject:
    """The bright square in the second shot of the first video."""
    (found,) = [
        item
        for item in index.objects("shot=1")
        if item.uri.endswith("000.mp4") and item.area_px < 250
    ]
    return found


def as_hits(index: Index, items: list[IndexedObject]) -> SearchResult:
    """A result with these objects, without an embedder of the fakes."""
    found = [SearchHit(object_id=item.object_id, score=0.5, payload=item.payload) for item in items]
    hits = [Hit.from_search(hit, index.settings) for hit in found]
    query, pictures = SearchQuery(text="x"), None
    page = SearchPage(tuple(found))
    return SearchResult(query, hits, page, index.settings, "mean", pictures)  # type: ignore[arg-type]


def is_bright(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., 0] > 240


def test_an_object_has_a_time_and_an_image_none(index: Index, mover: IndexedObject) -> None:
    assert (mover.t_start, mover.t_end) == (SHOTS_S[0], 3.5)
    assert mover.t_key is not None
    assert np.array_equal(mover.mask, mover.mask_at(mover.t_key))
    assert np.array_equal(is_bright(mover.image()), mover.mask)
    still = next(item for item in index.objects() if item.uri.endswith("image.png"))
    assert (still.t_start, still.t_end, still.t_key) == (None, None, None)
    with pytest.raises(UsageError, match="expected an object of a video, got what is in an image"):
        still.frames()
    with pytest.raises(UsageError, match="expected an object of a video, got what is in an image"):
        still.mask_at(0.0)


def test_frames_are_those_in_which_it_was_seen(mover: IndexedObject) -> None:
    frames = list(mover.frames())
    assert [time_s for time_s, _ in frames] == [2.0, 2.5, 3.0, 3.5]
    for time_s, pixels in frames:
        assert (pixels.shape, pixels.dtype) == ((*SIZE_HW, 3), np.uint8)
        drawn = FRAMES[round(time_s * RATE)]
        assert np.abs(pixels.astype(int) - drawn).mean() < 4
        assert np.array_equal(mover.mask_at(time_s), is_bright(pixels))
    assert next(mover.frames())[0] == 2.0


@pytest.mark.parametrize(
    ("time_s", "nearest_s"), [(2.0, 2.0), (2.74, 2.5), (2.76, 3.0), (3.5, 3.5)]
)
def test_a_mask_is_that_of_the_nearest_frame(
    mover: IndexedObject, time_s: float, nearest_s: float
) -> None:
    mask = mover.mask_at(time_s)
    assert (mask.shape, mask.dtype) == (SIZE_HW, np.bool_)
    wanted = is_bright(FRAMES[round(nearest_s * RATE)])
    assert (mask & wanted).sum() / (mask | wanted).sum() > 0.9


@pytest.mark.parametrize("time_s", [1.9, 3.6, float("nan")])
def test_beyond_its_time_it_has_no_mask(mover: IndexedObject, time_s: float) -> None:
    with pytest.raises(UsageError, match=r"expected a time from 2 to 3\.5 s, got"):
        mover.mask_at(time_s)


def test_a_shot_as_a_whole_has_no_track(index: Index) -> None:
    whole = next(
        point for point in index._searcher().index.scroll() if point.payload["kind"] == "image"
        and "t_key" in point.payload
    )  # fmt: skip
    shot = IndexedObject(whole.id, whole.parse_payload(), index.settings)
    assert shot.image().shape == (*SIZE_HW, 3)
    with pytest.raises(UsageError, match="expected an object of a video, got a whole shot"):
        shot.frames()


def test_what_is_not_there_is_told(
    mover: IndexedObject, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = mover.payload.model_copy(update={"generation": "0" * 32})
    with pytest.raises(NotIndexedError, match="got those of another revision"):
        IndexedObject(mover.object_id, other, index.settings).mask_at(2.0)
    lost = mover.payload.model_copy(update={"image_id": "0" * 32})
    with pytest.raises(NotIndexedError, match=r"the masks of a video in .*, got none"):
        IndexedObject(mover.object_id, lost, index.settings).mask_at(2.0)
    monkeypatch.setattr("pipeline.python_api.tracks.can_read_videos", lambda: False)
    with pytest.raises(UsageError, match=r"000\.mp4 is a video, for which PyAV is needed"):
        next(mover.frames())
    assert selection.NO_VIDEO_READER.startswith("a video, for which PyAV is needed")


def test_a_missing_frame_is_told(index: Index, mover: IndexedObject) -> None:
    Path(mover.uri.removeprefix("file://")).rename(Path(mover.uri.removeprefix("file://") + ".x"))
    try:
        with pytest.raises(Exception, match=r"000\.mp4"):
            list(mover.frames())
    finally:
        Path(mover.uri.removeprefix("file://") + ".x").rename(mover.uri.removeprefix("file://"))


def test_tables_have_times(index: Index) -> None:
    items = sorted(index.objects(), key=lambda item: (item.uri, item.payload.ordinal))
    table = as_hits(index, items).to_arrow()
    assert table["t_start"].to_pylist() == [item.t_start for item in items]
    assert table["t_end"].to_pylist()[0] == 1.5
    assert table["t_key"].null_count == 2


def test_every_key_frame_is_an_image_in_coco(index: Index) -> None:
    items = sorted(index.objects(), key=lambda item: (item.uri, item.payload.ordinal))
    coco = as_hits(index, items).to_coco()
    images = {image["id"]: image for image in coco["images"]}
    assert len(images) == len({(item.uri, item.t_key) for item in items}) == 5
    videos = {video["id"]: video for video in coco["videos"]}
    assert [video["uri"][-7:] for video in videos.values()] == ["000.mp4", "001.mp4"]
    for item, annotation in zip(items, coco["annotations"], strict=True):
        image = images[annotation["image_id"]]
        assert image["uri"] == item.uri
        if item.t_key is None:
            assert image["file_name"] == item.payload.key
            assert not {"video_id", "time_s"} & image.keys()
        else:
            assert image["file_name"] == f"{item.payload.key}#t={item.t_key:.3f}"
            assert (image["time_s"], videos[image["video_id"]]["uri"]) == (item.t_key, item.uri)
    still = [item for item in items if item.t_key is None]
    assert "videos" not in as_hits(index, still).to_coco()


def test_detections_are_of_one_frame(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    library: Any = ModuleType("supervision")
    library.Detections = lambda **fields: fields
    monkeypatch.setitem(sys.modules, "supervision", library)
    items = list(index.objects("kind=object"))
    detections: Any = as_hits(index, items).to_supervision()
    assert sum(len(fields["xyxy"]) for fields in detections.values()) == len(items)
    assert len(detections) == 5
    assert all("#t=" in name or name.endswith(".png") for name in detections)


def test_tracks_are_kept_beside_the_manifest(index: Index, mover: IndexedObject) -> None:
    tracks = TrackFiles(IndexHome.current(index.settings).parts)
    payload = mover.payload
    kept = tracks.read(payload.image_id, payload.generation, payload.ordinal)
    assert len(kept) == payload.frames


def test_examples_of_names_are_true() -> None:
    assert doctest.testmod(schemas.coco).failed == 0
