"""What the service answers of videos: clips, frames, the timeline, a moment of it."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from starlette.requests import Request
from starlette.testclient import TestClient
from support import fakes
from support.moving_squares import SIZE_HW, write_squares
from support.service_world import BASE, OWNER
from support.waiting import until

from pipeline.index_home import IndexHome
from pipeline.jobs.ingest import ingest
from pipeline.search.searcher import Searcher
from pipeline.service.app import build_app
from pipeline.service.clip_maker import ClipKey, ClipMaker
from pipeline.service.problems import ProblemError
from pipeline.settings import Settings
from schemas.masks import CocoRle
from schemas.payload import PointPayload
from workers.indexes.open import open_index

SHOTS_S = (3.0, 2.0)


@dataclass
class World:
    """A service over a video of two shots, in each a square that moves and what is on its left."""

    client: TestClient
    settings: Settings
    video: Path
    points: dict[str, dict[str, Any]]

    def of(self, shot: int, kind: str = "square") -> str:
        """The id of the square in a shot, of its left half, of the shot itself, or of the image."""
        found = [
            identity
            for identity, each in self.points.items()
            if each.get("shot") == shot and kind_of(each) == kind
        ]
        (identity,) = found
        return identity

    @property
    def image(self) -> str:
        return next(each for each, payload in self.points.items() if payload.get("shot") is None)

    @property
    def video_id(self) -> str:
        return str(self.points[self.of(0)]["image_id"])


def kind_of(payload: dict[str, Any]) -> str:
    if payload["kind"] == "image":
        return "shot"
    return "left" if payload["bbox"][0] == 0 else "square"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_squares(folder / "videos" / "a.mp4", *SHOTS_S)
    fakes.write_images(folder / "videos", 1)
    settings = fakes.settings(folder / "index")
    ingest([str(folder / "videos")], settings, recipe=fakes.recipe(settings))
    return folder


@pytest.fixture
def world(made: Path) -> Iterator[World]:
    settings = fakes.settings(made / "index")
    searcher = Searcher(open_index(settings.index, None), fakes.embedder(), settings)
    points = {point.id: dict(point.payload) for point in searcher.index.scroll()}
    video, kept = made / "videos" / "a.mp4", made / "a.mp4"
    kept.write_bytes(video.read_bytes())
    with TestClient(
        build_app(searcher, settings, OWNER), base_url=BASE, client=("127.0.0.1", 50000)
    ) as client:
        yield World(client, settings, video, points)
    if not video.exists() or video.read_bytes() != kept.read_bytes():
        pytest.fail("a test that changes the video puts it back")


def get(world: World, path: str, status: int = 200, **headers: str) -> Any:
    answer = world.client.get(path, headers=headers)
    assert answer.status_code == status, answer.text
    return answer


def picture(answer: Any) -> np.ndarray:
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def frames_of(data: bytes) -> list[tuple[float, np.ndarray]]:
    with av.open(io.BytesIO(data)) as container:
        return [
            (float(frame.time), frame.to_ndarray(format="rgb24").astype(int))
            for frame in container.decode(video=0)
        ]


def line_box(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """Around what has the line's colour: neither white nor one of the grounds."""
    line = (pixels[..., 0] > 130) & (pixels[..., 0] - pixels[..., 1] > 50)
    rows, columns = np.nonzero(line)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def white_box(pixels: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(pixels.min(axis=2) > 180)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_a_clip_shows_the_seconds_of_the_object(world: World) -> None:
    answer = get(world, f"/v1/objects/{world.of(0)}/clip.mp4")
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    assert "immutable" in answer.headers["cache-control"]
    frames = frames_of(answer.content)
    payload = world.points[world.of(0)]
    assert frames[0][0] == 0
    assert frames[-1][0] == pytest.approx(payload["t_end"] - payload["t_start"], abs=0.05)
    assert frames[0][1].shape[:2] == SIZE_HW
    for _, pixels in frames:
        inner, outer = white_box(pixels), line_box(pixels)
        # The line goes with the square, between the frames that were looked at too.
        assert all(abs(one - other) <= 5 for one, other in zip(inner, outer, strict=True))
    second = frames_of(get(world, f"/v1/objects/{world.of(1)}/clip.mp4").content)
    assert np.abs(second[0][1][2, 2] - (90, 20, 40)).max() < 16


def test_a_clip_around_the_object_is_smaller(world: World) -> None:
    path = f"/v1/objects/{world.of(0)}/clip.mp4"
    around = frames_of(get(world, f"{path}?around=true").content)
    whole = frames_of(get(world, path).content)
    assert len(around) == len(whole)
    assert around[0][1].shape[1] <= whole[0][1].shape[1]
    assert all((pixels.min(axis=2) > 180).any() for _, pixels in around)


def test_an_animation_and_the_clip_of_a_shot(world: World) -> None:
    answer = get(world, f"/v1/objects/{world.of(0)}/clip.webp")
    assert answer.headers["content-type"] == "image/webp"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.n_frames > 10  # type: ignore[attr-defined]
    shot = frames_of(get(world, f"/v1/objects/{world.of(1, 'shot')}/clip.mp4").content)
    with pytest.raises(ValueError, match="zero-size"):
        line_box(shot[0][1])


def test_parts_of_a_clip(world: World) -> None:
    path = f"/v1/objects/{world.of(0)}/clip.mp4"
    whole = get(world, path)
    data, tag = whole.content, whole.headers["etag"]
    for asked, expected in {
        "bytes=0-99": data[:100],
        "bytes=100-": data[100:],
        "bytes=-7": data[-7:],
        f"bytes=5-{len(data) * 9}": data[5:],
        f"bytes=-{len(data) * 9}": data,
    }.items():
        part = get(world, path, 206, Range=asked)
        assert part.content == expected, asked
        start = len(data) - len(expected) if asked != "bytes=0-99" else 0
        assert (
            part.headers["content-range"]
            == f"bytes {start}-{start + len(expected) - 1}/{len(data)}"
        )
        assert part.headers["etag"] == tag
    for asked in ("bytes=0-1,5-9", "items=0-5", "bytes=9-3", "bytes=-", "bytes=x-", ""):
        assert get(world, path, 200, Range=asked).content == data, asked
    for asked in (f"bytes={len(data)}-", "bytes=-0"):
        answer = get(world, path, 416, Range=asked)
        assert answer.headers["content-range"] == f"bytes */{len(data)}"
        assert answer.json()["detail"] == f"expected a range within {len(data)} bytes"
    fresh = {"Range": "bytes=0-99", "If-Range": tag}
    assert world.client.get(path, headers=fresh).status_code == 206
    assert world.client.get(path, headers={**fresh, "If-Range": '"old"'}).content == data
    assert get(world, path, 304, **{"If-None-Match": tag}).content == b""


def test_a_clip_is_made_once(world: World) -> None:
    path = f"/v1/objects/{world.of(0)}/clip.mp4"
    data = get(world, path).content
    world.video.rename(world.video.with_suffix(".away"))
    try:
        assert get(world, path).content == data
        for gone in (f"{path}?around=true", f"/v1/objects/{world.of(0)}/frame.jpg"):
            assert "a.mp4" in get(world, gone, 410).json()["detail"]
        write_squares(world.video, 1.0)
        for name in ("clip.webp", "frame.jpg?t=1"):
            changed = get(world, f"/v1/objects/{world.of(0)}/{name}", 409).json()
            assert "a.mp4" in changed["detail"]
    finally:
        world.video.with_suffix(".away").replace(world.video)


def test_too_many_clips_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, done = threading.Event(), threading.Event()
    clips = world.client.app.state.service.clips  # type: ignore[attr-defined]

    def make(*_: object) -> bytes:
        begun.set()
        done.wait()
        return b"clip"

    monkeypatch.setattr(clips, "make", make)
    path = f"/v1/objects/{world.of(0)}/clip.mp4"
    answers: list[int] = []
    queue = world.client.app.state.service.queue  # type: ignore[attr-defined]
    threads = [
        threading.Thread(target=lambda: answers.append(world.client.get(path).status_code))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    begun.wait()
    until(lambda: queue._films == 8)
    refused = get(world, path, 503)
    assert refused.json()["detail"] == "too many clips are waited for"
    assert refused.headers["retry-after"] == "2"
    # Pictures do not wait for clips.
    get(world, f"/v1/objects/{world.of(0)}/frame.jpg")
    done.set()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8


def test_nobody_waits_for_a_clip_that_is_not_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def has_left(_: Request) -> bool:
        return True

    monkeypatch.setattr(Request, "is_disconnected", has_left)
    made: list[object] = []
    clips = world.client.app.state.service.clips  # type: ignore[attr-defined]
    monkeypatch.setattr(clips, "make", lambda *given: made.append(given))
    answer = get(world, f"/v1/objects/{world.of(0)}/clip.mp4", 408)
    assert answer.json()["detail"] == "nobody waits for the clip any more"
    assert made == []


def test_a_clip_that_takes_too_long_is_given_up(world: World) -> None:
    now = iter(range(0, 10_000, 9))
    maker = ClipMaker(world.settings, clock_s=lambda: next(now))
    payload = PointPayload.model_validate(world.points[world.of(0)])
    home = IndexHome.current(world.settings)
    with pytest.raises(ProblemError, match="the clip took too long to make"):
        maker.make(ClipKey(world.of(0), "mp4"), payload, None, home)


def test_a_clip_is_drawn_without_masks_that_are_not_kept(world: World, tmp_path: Path) -> None:
    payload = PointPayload.model_validate(world.points[world.of(0)])
    home = IndexHome.current(fakes.settings(tmp_path / "elsewhere"))
    data = ClipMaker(world.settings).make(ClipKey("x", "mp4"), payload, None, home)
    at_key = [
        pixels
        for time_s, pixels in frames_of(data)
        if abs(time_s - ((payload.t_key or 0) - (payload.t_start or 0))) < 0.01
    ]
    assert line_box(at_key[0])


def test_frames_show_the_object_then(world: World) -> None:
    square = world.of(0)
    path = f"/v1/objects/{square}/frame.jpg"
    best = picture(get(world, path))
    assert best.shape[:2] == SIZE_HW
    x0, y0, x1, y1 = world.points[square]["bbox"]
    inner = white_box(best)
    assert all(abs(a - b) <= 3 for a, b in zip(inner, (x0, y0, x1, y1), strict=True))
    assert line_box(best)
    early, late = (picture(get(world, f"{path}?t={t}")) for t in (0.25, 2.25))
    assert white_box(early)[0] < white_box(late)[0]
    for pixels in (early, late):
        inner, outer = white_box(pixels), line_box(pixels)
        assert all(abs(one - other) <= 5 for one, other in zip(inner, outer, strict=True))
    # It is not seen in the other shot, where there is another one; beyond the end is the last one.
    for query in ("t=4.0", "t=1&masks=false", "t=99999"):
        with pytest.raises(ValueError, match="zero-size"):
            line_box(picture(get(world, f"{path}?{query}")))
    assert get(world, f"{path}?t=1&size=32").headers["etag"] != get(world, path).headers["etag"]
    assert picture(get(world, f"{path}?size=32")).shape[1] == 32


@pytest.mark.parametrize("t", ["-1", "nan", "inf", "1e300", "x"])
def test_impossible_times_are_refused(world: World, t: str) -> None:
    get(world, f"/v1/objects/{world.of(0)}/frame.jpg?t={t}", 422)
    get(world, f"/v1/videos/{world.video_id}/objects?t={t}", 422)
    get(world, f"/v1/videos/{world.video_id}/timeline?t_from={t}", 422)


def test_the_timeline_has_all_shots_and_tracks(world: World) -> None:
    path = f"/v1/videos/{world.video_id}/timeline"
    timeline = get(world, path).json()
    assert (timeline["width"], timeline["height"]) == SIZE_HW[::-1]
    assert timeline["duration"] == pytest.approx(5.0, abs=0.2)
    assert [shot["shot"] for shot in timeline["shots"]] == [0, 1]
    assert [shot["t_start"] for shot in timeline["shots"]] == [0.0, 3.0]
    tracks = timeline["tracks"]
    assert timeline["left_out"] == 0
    assert {each["object_id"] for each in tracks} == {
        world.of(shot, kind) for shot in (0, 1) for kind in ("left", "square")
    }
    for track in tracks:
        payload = world.points[track["object_id"]]
        assert all(track[name] == payload[name] for name in ("t_start", "t_end", "t_key", "shot"))
        assert track["duration"] == payload["duration"]
        assert track["clip"][0] <= track["t_start"] <= track["t_end"] <= track["clip"][1]
        assert get(world, track["thumbnail"]).headers["content-type"] == "image/webp"
    few = get(world, f"{path}?limit=1").json()
    assert few["left_out"] == 3
    assert few["tracks"] == tracks[:1]
    assert tracks[0]["object_id"] == world.of(0, "left")
    late = get(world, f"{path}?t_from=3.2").json()
    assert {each["shot"] for each in late["tracks"]} == {1}
    assert [shot["shot"] for shot in late["shots"]] == [1]
    early = get(world, f"{path}?t_to=1").json()
    assert {each["shot"] for each in early["tracks"]} == {0}


def test_a_moment_has_the_masks_of_that_time(world: World) -> None:
    boxes = []
    for t in (0.5, 0.75, 1.0):
        moment = get(world, f"/v1/videos/{world.video_id}/objects?t={t}").json()
        assert [each["object_id"] for each in moment["objects"]] == [
            world.of(0, "left"),
            world.of(0),
        ]
        square = moment["objects"][1]["payload"]
        rle = CocoRle(tuple(square["rle"]["size"]), square["rle"]["counts"])
        assert rle.bbox_xyxy == tuple(square["bbox"])
        assert rle.area_px == square["area"]
        assert square["t_key"] == t
        boxes.append(square["bbox"])
    assert boxes[0][0] < boxes[1][0] < boxes[2][0]
    assert boxes[1][0] == pytest.approx((boxes[0][0] + boxes[2][0]) / 2, abs=1)
    assert get(world, f"/v1/videos/{world.video_id}/objects?t=999").json()["objects"] == []


def test_images_and_strangers_have_no_clips(world: World) -> None:
    image, stranger = world.image, "00000000-0000-4000-8000-000000000000"
    image_id = world.points[image]["image_id"]
    for name in ("clip.mp4", "clip.webp", "frame.jpg"):
        answer = get(world, f"/v1/objects/{image}/{name}", 404).json()
        assert answer["detail"].startswith("expected something in a video, got an image")
        answer = get(world, f"/v1/objects/{stranger}/{name}", 404).json()
        assert answer["detail"] == f"the index holds no object {stranger}"
    for name in ("timeline", "objects?t=1"):
        answer = get(world, f"/v1/videos/{image_id}/{name}", 404).json()
        assert answer["detail"].startswith("expected something in a video, got an image")
        answer = get(world, f"/v1/videos/{stranger}/{name}", 404).json()
        assert stranger in answer["detail"]


def test_a_video_as_an_image_is_its_first_shot(world: World) -> None:
    answer = get(world, f"/v1/images/{world.video_id}").json()
    assert answer["object_id"] == world.of(0, "shot")
    assert len(answer["objects"]) == 4
    plain, drawn = (
        picture(get(world, f"/v1/images/{world.video_id}/preview.jpg?masks={masks}"))
        for masks in ("false", "true")
    )
    assert plain.shape == drawn.shape == (*SIZE_HW, 3)
