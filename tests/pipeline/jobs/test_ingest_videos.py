"""Videos in an ingest: what becomes of them, where a run goes on, and what is done again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import fakes
from support.fakes import compared, rows
from support.ingested_videos import counting, manifest_files, payloads, run, with_margin
from support.moving_squares import SIZE_HW, draw_frames, write_squares

from pipeline.index_home import IndexHome
from pipeline.jobs.added_object import ObjectToAdd, add_object
from pipeline.jobs.reembed import reembed
from pipeline.jobs.retry import retry
from pipeline.jobs.sync import sync
from pipeline.jobs.verify import verify
from pipeline.manifest.audit import Fault
from pipeline.manifest.track_files import TrackFiles
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.errors import NotIndexedError, StoreUnavailableError, UsageError
from schemas.manifest import State
from schemas.masks import CocoRle, ObjectMask
from schemas.videos import VideoPiece
from workers.indexes.open import open_index


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return fakes.settings(tmp_path / "index")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a video of two shots, 40 s long: three pieces."""
    write_squares(tmp_path / "videos" / "a.mp4", 20.0, 20.0)
    return tmp_path / "videos"


def test_a_video_becomes_tracks_and_shots(folder: Path, settings: Settings) -> None:
    fakes.write_images(folder, 3)
    summary = run(folder, settings)
    counts = summary.counts
    assert (counts.listed, counts.done, counts.objects) == (4, 4, 3 * 2 + 4)
    row = rows(settings)["a.mp4"]
    assert (row.state, row.objects, row.shots) == (State.DONE, 4, 2)
    shots = [each for each in payloads(settings, "image") if each.shot is not None]
    assert [(each.t_start, each.t_end, each.frames) for each in shots] == [
        (0.0, 19.5, 40),
        (20.0, 39.5, 40),
    ]
    tracks = [each for each in payloads(settings, "object") if each.shot is not None]
    assert [each.shot for each in tracks] == [0, 0, 1, 1]
    assert all((each.height, each.width) == SIZE_HW for each in tracks)
    assert all(each.video_duration == pytest.approx(40.0, abs=0.2) for each in tracks)
    square = tracks[0]
    assert square.area < tracks[1].area
    assert (square.t_start, square.t_end, square.duration) == (0.0, 19.5, 19.5)
    assert square.motion is not None
    assert square.motion > 0 == tracks[1].motion
    assert not verify(settings, [str(folder)]).findings
    with open_index(settings.index, None) as index:  # type: ignore[attr-defined]
        assert index.info().images == 4


def test_masks_are_kept_of_every_frame(folder: Path, settings: Settings) -> None:
    run(folder, settings)
    row = rows(settings)["a.mp4"]
    tracks = TrackFiles(IndexHome.current(settings).parts)
    every = tracks.read_all(row.image_id, row.generation)
    assert len(every) == 4
    for ordinal, sightings in enumerate(every):
        times = [each.time_s for each in sightings]
        assert times == sorted(set(times))
        assert len(times) >= 39
        assert tracks.read(row.image_id, row.generation, ordinal) == sightings
    with pytest.raises(NotIndexedError):
        tracks.read(row.image_id, "another", 0)
    with pytest.raises(NotIndexedError):
        tracks.read("6c1b5b0e-7f0e-5b52-9d8a-0f6a3b0c2e11", row.generation, 0)


def test_a_second_run_reads_nothing(folder: Path, settings: Settings) -> None:
    run(folder, settings)
    recipe, reader = counting(settings)
    assert run(folder, settings, recipe).counts.unchanged == 1
    assert reader.numbers == []


def test_other_options_of_videos_leave_images_alone(folder: Path, settings: Settings) -> None:
    fakes.write_images(folder, 3)
    run(folder, settings)
    slower = settings.model_copy(update={"video": settings.video.model_copy(update={"fps": 1.0})})
    counts = run(folder, slower).counts
    assert (counts.unchanged, counts.done) == (3, 1)
    assert not verify(slower).findings
    assert payloads(slower, "object")[-1].frames in (20, 21)


def interrupt_at(number: int) -> Callable[[VideoPiece], None]:
    def fail(piece: VideoPiece) -> None:
        if piece.number == number:
            raise KeyboardInterrupt

    return fail


def test_a_run_goes_on_inside_a_video(folder: Path, settings: Settings, tmp_path: Path) -> None:
    recipe, reader = counting(settings, interrupt_at(2))
    with pytest.raises(KeyboardInterrupt):
        run(folder, settings, recipe)
    assert reader.numbers == [0, 1]
    recipe, reader = counting(settings)
    assert run(folder, settings, recipe).counts.done == 1
    assert reader.numbers == [2]
    clean = fakes.settings(tmp_path / "clean")
    run(folder, clean)
    there, expected = fakes.points(settings), fakes.points(clean)
    assert compared(there, expected) == (0, 0, 0)
    assert not list((tmp_path / "index" / "manifest" / "pieces").iterdir())


def test_a_piece_that_fails_is_all_that_a_retry_reads(folder: Path, settings: Settings) -> None:
    def fail(piece: VideoPiece) -> None:
        if piece.number == 1:
            raise StoreUnavailableError(f"expected an answer, got none ({piece.ref.uri})")

    recipe, _ = counting(settings, fail)
    assert run(folder, settings, recipe).counts.failed == 1
    assert rows(settings)["a.mp4"].state is State.FAILED
    recipe, reader = counting(settings)
    summary = retry(settings, recipe=recipe)
    assert summary is not None
    assert summary.counts.done == 1
    assert 0 not in reader.numbers
    assert not verify(settings).findings


def test_what_is_no_video_is_rejected(tmp_path: Path, settings: Settings) -> None:
    source = tmp_path / "videos"
    source.mkdir()
    (source / "a.mp4").write_bytes(b"no video at all" * 100)
    write_squares(source / "b.mp4", 2.0)
    whole = (source / "b.mp4").read_bytes()
    (source / "b.mp4").write_bytes(whole[: len(whole) // 2])
    counts = run(source, settings).counts
    assert (counts.rejected, counts.done) == (2, 0)
    for name in ("a.mp4", "b.mp4"):
        row = rows(settings)[name]
        assert row.message.count(row.uri) == 1
        assert row.message.startswith("expected")


def test_a_video_of_one_frame_has_its_objects(tmp_path: Path, settings: Settings) -> None:
    write_squares(tmp_path / "videos" / "a.mp4", 0.1)
    run(tmp_path / "videos", settings)
    assert [each.duration for each in payloads(settings, "object")] == [0.0, 0.0]


def test_the_length_need_not_be_told(tmp_path: Path, settings: Settings) -> None:
    write_squares(tmp_path / "told" / "a.mkv", 40.0)
    run(tmp_path / "told", settings)
    assert rows(settings)["a.mkv"].shots == 1
    assert payloads(settings, "image")[0].t_end == pytest.approx(39.5, abs=0.5)


def test_what_is_no_longer_there_leaves_nothing(folder: Path, settings: Settings) -> None:
    fakes.write_images(folder, 3)
    run(folder, settings)
    kept = Path(settings.index.location) / "manifest" / "videos"
    assert len(list(kept.iterdir())) == 1
    (folder / "a.mp4").unlink()
    sync([str(folder)], settings, max_delete=1, recipe=fakes.recipe(settings))
    assert list(kept.iterdir()) == []
    assert not verify(settings, [str(folder)]).findings


def test_objects_are_not_added_to_a_video_by_hand(folder: Path, settings: Settings) -> None:
    run(folder, settings)
    mask = np.zeros(SIZE_HW, bool)
    mask[:9, :9] = True
    uri = rows(settings)["a.mp4"].uri
    home = IndexHome.current(settings)
    with (
        home.points() as index,
        Searcher(index, settings=settings, generation=home.generation) as searcher,
        pytest.raises(UsageError, match="got a video"),
    ):
        add_object(ObjectToAdd(uri, CocoRle.from_mask(mask)), searcher)


def test_lost_masks_are_found_and_made_again(folder: Path, settings: Settings) -> None:
    run(folder, settings)
    (kept,) = (Path(settings.index.location) / "manifest" / "videos").iterdir()
    kept.unlink()
    (finding,) = verify(settings, repairing=True).findings
    assert finding.fault is Fault.NO_MASKS
    assert run(folder, settings).counts.done == 1
    assert kept.exists()
    assert not verify(settings).findings


def test_two_workers_make_the_same(folder: Path, settings: Settings, tmp_path: Path) -> None:
    write_squares(folder / "b.mp4", 18.0)
    run(folder, settings)
    both = fakes.settings(tmp_path / "both", workers=2)
    run(folder, both)
    assert compared(fakes.points(both), fakes.points(settings)) == (0, 0, 0)


class NamingMatcher:
    """Finds every mask of more than `least_px` pixels to show one text."""

    fingerprint = "f"

    def __init__(self, least_px: int) -> None:
        self._least_px = least_px

    def name(self, masks: Sequence[ObjectMask], vectors: object) -> list[ObjectMask | None]:
        return [
            replace(mask, segmenter_label="a text", segmenter_score=0.75)
            if mask.area_px > self._least_px
            else None
            for mask in masks
        ]


def test_of_a_video_those_tracks_stay_that_show_a_text(folder: Path, settings: Settings) -> None:
    run(folder, settings, replace(fakes.recipe(settings), matcher=lambda: NamingMatcher(200)))
    assert [each.segmenter_label for each in payloads(settings, "object")] == ["a text"] * 2
    assert not verify(settings).findings
    anew = with_margin(settings, 0.3)
    assert reembed(anew, recipe=fakes.recipe(anew)).switched
    with IndexHome.current(settings).points() as index:
        found = [point.parse_payload() for point in index.scroll()]
    objects = [each for each in found if each.kind == "object"]
    assert [(each.segmenter_label, each.segmenter_score) for each in objects] == [
        ("a text", 0.75)
    ] * 2
    assert not verify(settings).findings


def test_a_video_of_which_no_track_shows_a_text_is_done(folder: Path, settings: Settings) -> None:
    run(folder, settings, replace(fakes.recipe(settings), matcher=lambda: NamingMatcher(10**6)))
    row = rows(settings)["a.mp4"]
    assert (row.state, row.objects, row.shots) == (State.DONE, 0, 2)
    assert not verify(settings).findings
    anew = with_margin(settings, 0.3)
    assert reembed(anew, recipe=fakes.recipe(anew)).switched
    assert not verify(settings).findings


def test_nothing_is_kept_of_a_failed_video_that_is_gone(folder: Path, settings: Settings) -> None:
    fakes.write_images(folder, 3)
    run(folder, settings)
    write_squares(folder / "a.mp4", 40.0)

    def fail(piece: VideoPiece) -> None:
        if piece.number == 1:
            raise StoreUnavailableError(f"expected an answer, got none ({piece.ref.uri})")

    recipe, _ = counting(settings, fail)
    assert run(folder, settings, recipe).counts.failed == 1
    kept = [path for path in manifest_files(settings) if path.parent.name in ("pieces", "videos")]
    assert {path.parent.name for path in kept} == {"pieces", "videos"}
    (folder / "a.mp4").unlink()
    sync([str(folder)], settings, max_delete=1, recipe=fakes.recipe(settings))
    assert not any(path.exists() for path in kept)


def test_frames_asked_with_other_points_make_other_videos(folder: Path, settings: Settings) -> None:
    fakes.write_images(folder, 3)
    run(folder, settings)
    # The number that it is for images anyway, which frames are then asked with too.
    side = settings.segmenter.points_per_side
    segmenter = settings.segmenter.model_copy(update={"points_per_side": side})
    told = settings.model_copy(update={"segmenter": segmenter})
    counts = run(folder, told).counts
    assert (counts.unchanged, counts.done) == (3, 1)
    assert run(folder, told).counts.unchanged == 4


def test_animations_are_done_again_as_what_they_are_taken_for(
    tmp_path: Path, settings: Settings
) -> None:
    source = tmp_path / "animations"
    source.mkdir()
    frames = [Image.fromarray(frame) for frame in draw_frames([1.0])]
    frames[0].save(source / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    fakes.write_images(source, 2)
    run(source, settings)
    assert rows(settings)["a.gif"].shots == 0
    moving = settings.model_copy(
        update={"store": settings.store.model_copy(update={"animations": True})}
    )
    for changed, shots in ((moving, 1), (settings, 0)):
        counts = run(source, changed).counts
        assert (counts.unchanged, counts.done) == (2, 1)
        assert rows(changed)["a.gif"].shots == shots
        assert not verify(changed).findings
        assert run(source, changed).counts.unchanged == 3
