"""Videos among images: what is asked for, whatever comes back in which order, and how it ends."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from support.drawn_tracks import FoundObject, track_found
from support.video_pieces import make_part

from pipeline.ingestion.video_queue import VideoQueue
from pipeline.manifest.kept_pieces import KeptPieces
from pipeline.manifest.part_storage import FolderParts
from pipeline.manifest.track_files import TrackFiles
from schemas.boxes import ImageBoxes
from schemas.errors import ManifestError
from schemas.images import Failure, ImageRef, Stage
from schemas.masks import CocoRle, ObjectMask
from schemas.options import CropOptions, DecodeOptions, StoreOptions, VideoOptions
from schemas.pipelines import Pipeline
from schemas.records import EmbeddedImage, Result
from schemas.videos import TrackedPiece, VideoInfo, VideoPiece
from schemas.work import Worked, WorkItem
from workers.videos.build_video import VideoMaker
from workers.videos.join_pieces import join_pieces

STEPS = 4
_MOST_TURNS = 1000
PIPELINE = Pipeline.of(("bright", "1"), ("mean", "2"), DecodeOptions(), CropOptions()).for_videos(
    VideoOptions()
)


def video(name: str, version: str = "v") -> ImageRef:
    return ImageRef("s3", "b", f"{name}.mp4", version, 1)


def image(name: str) -> ImageRef:
    return ImageRef("s3", "b", f"{name}.png", "v", 1)


def tracked(ref: ImageRef, number: int, frames: int, told_s: float | None = None) -> TrackedPiece:
    """A piece of a video that has so many frames, two a second, with a square in each."""
    part = range(number * STEPS, min(frames, (number + 1) * STEPS + 1))
    times = [k / 2 for k in part]
    found = [(time_s, [_square()]) for time_s in times]
    return TrackedPiece(
        VideoPiece(ref, number, STEPS),
        VideoInfo((8, 8), told_s),
        (make_part(times),) if times else (),
        (track_found(found),) if times else (),
        frames <= (number + 1) * STEPS + 1,
    )


def _square() -> FoundObject:
    mask = np.zeros((8, 8), bool)
    mask[2:6, 2:6] = True
    measured = ObjectMask.measure(CocoRle.from_mask(mask))
    assert measured is not None
    return FoundObject(measured, np.eye(4, dtype=np.float32)[0])


@dataclass
class Videos:
    """What a runner is given, and what it makes of it. `frames`: how many a video has, by key."""

    queue: VideoQueue
    frames: dict[str, int]
    told_s: dict[str, float] = field(default_factory=dict)
    failing: set[tuple[str, int]] = field(default_factory=set)
    asked: list[tuple[str, int]] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)

    def work(self, item: WorkItem) -> Worked:
        ref = item.ref
        if isinstance(item.video, EmbeddedImage):
            self.joined.append(ref.key)
            return item.video
        if item.video is None:
            return Failure(ref, Stage.READ, "StoreError", "not read", retryable=True)
        self.asked.append((ref.key, item.video.number))
        if (ref.key, item.video.number) in self.failing:
            return Failure(ref, Stage.READ, "StoreError", "not read", retryable=True)
        return tracked(ref, item.video.number, self.frames[ref.key], self.told_s.get(ref.key))

    def run(
        self, chunks: Sequence[Sequence[ImageRef]], at_once: int = 1, seed: int = 0
    ) -> list[Result]:
        """All results of a run in which so many chunks are worked on, and end in any order."""
        draw, results = random.Random(seed), []
        items = self.queue.items(iter([[WorkItem(ref) for ref in refs] for refs in chunks]))
        running: list[list[WorkItem]] = []
        for _ in range(_MOST_TURNS):
            given = next(items, None)
            if given:
                running.append(given)
            if given is None and not running:
                return results
            if given == []:
                assert running, "nothing is worked on that could be waited for"
            if len(running) >= at_once or not given:
                ended = running.pop(draw.randrange(len(running)))
                results += self.queue.take([self.work(item) for item in ended])
        raise AssertionError("the run does not end")


def keep(folder: Path, ref: ImageRef, frames: int, *numbers: int) -> None:
    """Keep pieces as an earlier run does."""
    kept = KeptPieces(FolderParts(folder))
    for number in numbers:
        kept.keep(tracked(ref, number, frames), VideoMaker(PIPELINE).revision(ref))


def make_queue(tmp_path: Path, warnings: list[str] | None = None) -> VideoQueue:
    parts = FolderParts(tmp_path)
    warn = [].append if warnings is None else warnings.append
    queue = VideoQueue(StoreOptions(), KeptPieces(parts), TrackFiles(parts), warn)
    queue.maker = VideoMaker(PIPELINE)
    return queue


def test_a_length_that_cannot_be_true_asks_for_little(tmp_path: Path) -> None:
    ref = video("a")
    videos = Videos(make_queue(tmp_path), {ref.key: 30}, {ref.key: 1e12})
    (result,) = videos.run([[ref]], at_once=2)
    assert isinstance(result, EmbeddedImage)
    assert len(videos.asked) < 20
    long = Videos(make_queue(tmp_path / "long"), {ref.key: 300 * STEPS}, {ref.key: 1e12})
    (result,) = long.run([[ref]], at_once=2)
    assert isinstance(result, EmbeddedImage)
    assert result.whole.span is not None
    assert result.whole.span.frames == 300 * STEPS


@pytest.mark.parametrize("at_once", [1, 2, 5, 40])
@pytest.mark.parametrize("seed", range(5))
def test_every_image_and_video_has_one_result(tmp_path: Path, at_once: int, seed: int) -> None:
    draw = random.Random(seed)
    names = [f"{number}" for number in range(40)]
    refs = [video(name) if draw.random() < 0.7 else image(name) for name in names]
    frames = {ref.key: draw.choice([1, 2, 5, 6, 30]) for ref in refs}
    told_s = {key: count * draw.choice([0.1, 0.5, 2.0]) for key, count in frames.items()}
    failing = {(ref.key, draw.randrange(3)) for ref in refs[:8]}
    videos = Videos(make_queue(tmp_path), frames, told_s, failing)
    results = videos.run([refs[:7], [], refs[7:30], refs[30:]], at_once, seed)
    assert sorted(result.ref.key for result in results) == sorted(ref.key for ref in refs)
    for result in results:
        failed = any((result.ref.key, number) in videos.failing for number in range(3))
        if result.ref.key.endswith(".png"):
            continue
        if isinstance(result, Failure):
            assert failed
            continue
        expected = _build(result.ref, frames[result.ref.key], told_s[result.ref.key])
        assert result.whole.span == expected.whole.span
        assert [each.span for each in result.objects] == [each.span for each in expected.objects]
    assert len(videos.joined) == len(set(videos.joined))
    assert (videos.queue.frames.left, videos.queue.frames.unfinished) == (0, 0)


def _build(ref: ImageRef, frames: int, told_s: float) -> EmbeddedImage:
    """The video of one piece after the other."""
    count = max(1, -(-(frames - 1) // STEPS))
    every = [tracked(ref, number, frames, told_s) for number in range(count)]
    shots = join_pieces(every, VideoOptions())
    return VideoMaker(PIPELINE).build(ref, every[0].info, shots)


def test_a_piece_from_beyond_the_end_joins_nothing_again(tmp_path: Path) -> None:
    ref = video("a")
    queue = make_queue(tmp_path)
    videos = Videos(queue, {ref.key: 6}, {ref.key: 9.0})
    items = queue.items(iter([[WorkItem(ref)]]))
    (first,) = next(items)
    queue.take([videos.work(first)])
    given = [next(items)[0] for _ in range(4)]
    assert [item.video.number for item in given if isinstance(item.video, VideoPiece)] == [
        1, 2, 3, 4,
    ]  # fmt: skip
    queue.take([videos.work(given[0])])
    (whole,) = next(items)
    assert isinstance(whole.video, EmbeddedImage)
    queue.take([videos.work(item) for item in given[1:]])
    assert next(items) == []
    assert queue.take([videos.work(whole)]) == [whole.video]
    assert next(items, None) is None


def test_a_run_goes_on_with_the_pieces_of_its_revision_alone(tmp_path: Path) -> None:
    ref = video("a")
    keep(tmp_path, ref, 14, 0, 1)
    keep(tmp_path, video("a", "older"), 14, 2)
    videos = Videos(make_queue(tmp_path), {ref.key: 14})
    (result,) = videos.run([[ref]])
    assert isinstance(result, EmbeddedImage)
    assert videos.asked == [(ref.key, 2), (ref.key, 3)]
    videos.queue.forget([result])
    assert not list((tmp_path / "pieces").iterdir())


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("data", [b"", b"no piece at all", None])
def test_a_damaged_piece_is_made_again(tmp_path: Path, number: int, data: bytes | None) -> None:
    ref = video("a")
    keep(tmp_path, ref, 14, 0, 1)
    damaged = sorted((tmp_path / "pieces").iterdir())[number]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2] if data is None else data)
    videos = Videos(make_queue(tmp_path), {ref.key: 14})
    (result,) = videos.run([[ref]])
    assert isinstance(result, EmbeddedImage)
    assert result.whole.span == _build(ref, 14, 0.0).whole.span
    assert videos.asked[0] == (ref.key, 0)


def test_a_piece_that_is_lost_meanwhile_is_made_again(tmp_path: Path) -> None:
    ref = video("a")
    queue = make_queue(tmp_path)
    videos = Videos(queue, {ref.key: 10})
    items = queue.items(iter([[WorkItem(ref)]]))
    queue.take([videos.work(next(items)[0])])
    queue.take([videos.work(next(items)[0])])
    for kept in (tmp_path / "pieces").iterdir():
        kept.unlink()
    results: list[Result] = []
    for given in items:
        results += queue.take([videos.work(item) for item in given])
    (result,) = results
    assert isinstance(result, EmbeddedImage)
    assert result.objects[0].span == _build(ref, 10, 0.0).objects[0].span


def test_pieces_that_never_last_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(self: KeptPieces, *args: object) -> Iterator[TrackedPiece]:
        raise ManifestError("expected a piece, got none")
        yield

    monkeypatch.setattr(KeptPieces, "read", lose)
    ref = video("a")
    with pytest.raises(ManifestError):
        Videos(make_queue(tmp_path), {ref.key: 10}).run([[ref]])


@pytest.mark.parametrize("state", ["gone", "rejected"])
def test_nothing_is_kept_of_what_is_no_longer_a_video(tmp_path: Path, state: str) -> None:
    ref = video("a")
    queue = make_queue(tmp_path)
    (result,) = Videos(queue, {ref.key: 10}).run([[ref]])
    queue.forget([result])
    assert list((tmp_path / "videos").iterdir())
    now = replace(ref, version="w")
    failure = Failure(now, Stage.READ, "E", "no", retryable=False, **{state: True})
    queue.forget([failure])
    assert not list((tmp_path / "videos").iterdir())


@pytest.mark.parametrize("state", ["gone", "rejected"])
def test_nothing_need_be_kept_of_what_is_no_video(tmp_path: Path, state: str) -> None:
    failure = Failure(video("a"), Stage.READ, "E", "no", retryable=False, **{state: True})
    make_queue(tmp_path).forget([failure])
    assert not list(tmp_path.iterdir())


def test_boxes_of_a_video_are_not_taken_in_silence(tmp_path: Path) -> None:
    ref, warnings = video("a"), list[str]()
    queue = make_queue(tmp_path, warnings)
    boxes = ImageBoxes(((1, 1, 5, 5),))
    items = queue.items(iter([[WorkItem(ref, boxes), WorkItem(image("b"), boxes)]]))
    assert [item.ref for item in next(items)] == [image("b")]
    (warning,) = warnings
    assert ref.uri in warning
