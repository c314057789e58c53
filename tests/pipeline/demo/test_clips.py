"""Drawn clips: deterministic, with exact masks, written so that they can be read again."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.demo.clips import RATE, draw_clip, write_clip, write_demo_clips
from pipeline.demo.movers import LeavingPath, PassingPath, WanderingPath, reflect
from pipeline.demo.scenes import MIN_VISIBLE_PX, SCENE_HW
from pipeline.demo.sprites import held_out_sprites


def read(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_the_same_seed_gives_the_same_clip() -> None:
    first, again, other = (draw_clip(seed, 1, "plain", 1.0) for seed in (3, 3, 4))
    pixels, seen = first.draw_frame(0.7)
    same, seen_again = again.draw_frame(0.7)
    assert (pixels == same).all()
    assert seen == seen_again
    assert (pixels != other.draw_frame(0.7)[0]).any()
    assert (pixels.shape, pixels.dtype) == ((*SCENE_HW, 3), np.uint8)
    assert first.times_s == [k / RATE for k in range(10)]
    assert first.cuts_s == ()


@pytest.mark.parametrize("number", range(4))
def test_visible_masks_share_no_pixel(number: int) -> None:
    clip = draw_clip(5, number, "plain")
    for time_s in (0.0, 4.2, 9.9):
        _, seen = clip.draw_frame(time_s)
        assert len({each.object_id for each in seen}) == len(seen) <= len(clip.concepts)
        masks = np.array([each.rle.decode() for each in seen])
        assert masks.sum(axis=0).max() <= 1
        assert all(each.rle.area_px >= MIN_VISIBLE_PX for each in seen)
        assert all(0 < each.visible_fraction <= 1 for each in seen)


def test_the_masks_are_where_the_objects_are() -> None:
    clip = draw_clip(6, 0, "plain")
    shot = clip.shots[0]
    canvas, seen = shot.draw_frame(3.0)
    without, _ = type(shot)(
        shot.movers[:-1],
        shot.background,
        shot.camera,
        has_shadows=False,
        start_s=0,
        first_id=0,
        seed=shot.seed,
    ).draw_frame(3.0)
    foremost = next(each for each in seen if each.object_id == len(shot.movers) - 1)
    mask = foremost.rle.decode()
    assert (np.abs(canvas - without).max(axis=2)[mask] > 0).mean() > 0.9


def test_kinds_have_their_cuts() -> None:
    for kind in ("cut", "dissolve", "jump"):
        clip = draw_clip(1, 0, kind, 5.0)
        (cut_s,) = clip.cuts_s
        assert 1.5 <= cut_s <= 3.5
        before, after = (
            {each.object_id for each in clip.draw_frame(t)[1]} for t in (cut_s - 0.1, cut_s)
        )
        assert max(before) < 100 <= min(after)
    jump = draw_clip(1, 0, "jump")
    assert jump.shots[0].background is jump.shots[1].background
    flash = draw_clip(1, 0, "flash")
    level = [flash.draw_frame(t)[0].mean() for t in (flash.event_s - 1, flash.event_s)]
    assert level[1] > 1.2 * level[0]
    twins = draw_clip(1, 0, "twins")
    assert len(set(twins.concepts.values())) == 3 < len(twins.concepts)


def test_a_dissolve_fades_from_one_shot_into_the_next() -> None:
    clip = draw_clip(2, 0, "dissolve")
    at_s = clip.event_s
    before, half, after = (clip.draw_frame(at_s + t)[0].astype(int) for t in (-0.1, 0.5, 1.0))
    near = np.abs(half - (before + after) / 2).mean()
    assert near < np.abs(half - before).mean()
    assert near < np.abs(half - after).mean()


def test_clips_are_written_and_read_again(tmp_path: Path) -> None:
    clip = draw_clip(1, 1, "cut", 1.0, held_out_sprites())
    for name in ("first.mp4", "again.mp4"):
        write_clip(clip, tmp_path / name)
    assert (tmp_path / "first.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()
    frames = read(tmp_path / "first.mp4")
    assert len(frames) == RATE
    drawn = list(clip.draw_frames())
    errors = [np.abs(a.astype(int) - b).mean() for a, b in zip(frames, drawn, strict=True)]
    assert max(errors) < 8
    assert {each.style for shot in clip.shots for each in map(_sprite, shot.movers)} <= {
        "fluent-emoji-3d",
        "noto-line",
    }


def _sprite(mover):
    return mover.sprite


def test_the_demo_has_clips_of_several_kinds(tmp_path: Path) -> None:
    paths = write_demo_clips(tmp_path, 2, seed=1, duration_s=0.5)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "clips/0001.mp4",
        "clips/0002.mp4",
    ]
    assert all(len(read(path)) == 5 for path in paths)


def test_paths_lead_behind_others_out_and_back() -> None:
    assert [reflect(x, 10, 20) for x in (10, 15, 20, 24, 30, 33, -3)] == [
        10,
        15,
        20,
        16,
        10,
        13,
        17,
    ]
    still = WanderingPath((480, 640), (300.0, 200.0), (0.0, 0.0))
    assert still.find_centre(7.0) == (300, 200)
    passing = PassingPath((480, 640), still, (50.0, 0.0), 3.0)
    assert [passing.find_centre(t)[0] for t in (2.0, 3.0, 4.0)] == [250, 300, 350]
    leaving = LeavingPath(still, -80.0, 5.0, 2.0, 1.0)
    assert [leaving.find_centre(t)[0] for t in (3.0, 3.5, 4.0, 6.0, 6.5, 7.0)] == [
        300, 110, -80, -80, 110, 300,
    ]  # fmt: skip
