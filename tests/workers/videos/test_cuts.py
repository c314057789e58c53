"""Where shots begin: in drawn scenes with cuts, dissolves, flashes, pans and zooms."""

from __future__ import annotations

import numpy as np
import pytest

from workers.videos.cuts import CONTEXT_S, SmallImages, find_cuts, measure_change

HW = (48, 64)


def draw_shot(seed: int, count: int, fps: float, pan_px_s: float = 0.0) -> np.ndarray:
    """float (count, 48, 64, 3): a ground of its own colours, and blocks that move over it."""
    rng = np.random.default_rng(seed)
    cells = rng.uniform(20, 235, (7, 56, 3)) * rng.uniform(0.5, 1, 3)
    ground = np.kron(cells, np.ones((8, 8, 1)))[: HW[0]]
    blocks = [
        (rng.uniform(0, 255, 3), rng.uniform(5, 40, 2), rng.uniform(-12, 12, 2)) for _ in range(4)
    ]
    frames = []
    for k in range(count):
        shift = int(40 + pan_px_s * k / fps) % (ground.shape[1] - HW[1])
        image = ground[:, shift : shift + HW[1]].copy()
        for colour, start, speed in blocks:
            y, x = np.abs(start + speed * k / fps).astype(int) % (np.array(HW) - 8)
            image[y : y + 8, x : x + 8] = colour
        frames.append(image + rng.normal(0, 2, image.shape))
    return np.array(frames)


def as_video(frames: np.ndarray, fps: float) -> tuple[np.ndarray, SmallImages]:
    return np.arange(len(frames)) / fps, frames.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("fps", [5.0, 10.0, 24.0, 60.0])
def test_hard_cuts_are_found_at_their_first_frames(fps: float) -> None:
    expected, found = [], []
    for seed in range(0, 60, 3):
        lengths = [int(fps * part) for part in (1.7, 2.4, 1.1)]
        pans = (0.0, 10.0, 0.0)
        shots = [draw_shot(seed + k, lengths[k], fps, pans[k]) for k in range(3)]
        cuts = find_cuts(*as_video(np.concatenate(shots), fps))
        expected += [(seed, cut) for cut in np.cumsum(lengths)[:-1].tolist()]
        found += [(seed, cut) for cut in cuts]
    assert found == expected


@pytest.mark.parametrize("fps", [10.0, 30.0])
@pytest.mark.parametrize("length_s", [0.03, 0.15, 0.3])
def test_flashes_are_no_cuts(fps: float, length_s: float) -> None:
    for seed in range(10):
        frames = draw_shot(seed, int(4 * fps), fps)
        lit = slice(int(1.5 * fps), int(1.5 * fps) + max(int(length_s * fps), 1))
        brighter, white, strange = (frames.copy() for _ in range(3))
        brighter[lit] *= 1.8
        white[lit] = 255
        strange[lit] = draw_shot(seed + 100, 1, fps)[0]
        for flashed in (brighter, white, strange):
            assert find_cuts(*as_video(flashed, fps)) == []


@pytest.mark.parametrize("fps", [10.0, 30.0])
def test_motion_is_no_cut(fps: float) -> None:
    for seed in range(10):
        panned = draw_shot(seed, int(5 * fps), fps, pan_px_s=60.0)
        shaken = draw_shot(seed, int(5 * fps), fps)
        rng = np.random.default_rng(seed)
        shifts = rng.integers(-2, 3, (len(shaken), 2))
        shaken = np.array(
            [np.roll(f, s, (0, 1)) for f, s in zip(shaken, shifts.tolist(), strict=True)]
        )
        faded = draw_shot(seed, int(5 * fps), fps)
        faded *= np.linspace(1, 0.5, len(faded))[:, None, None, None]
        for frames in (panned, shaken, faded):
            assert find_cuts(*as_video(frames, fps)) == []


@pytest.mark.parametrize("fps", [10.0, 25.0])
@pytest.mark.parametrize("length_s", [0.5, 1.0])
def test_a_dissolve_is_one_cut_within_it(fps: float, length_s: float) -> None:
    for seed in range(0, 20, 2):
        count, start = int(6 * fps), int(3 * fps)
        first, second = (draw_shot(seed + k, count, fps) for k in range(2))
        share = np.clip((np.arange(count) - start) / (length_s * fps), 0, 1)[:, None, None, None]
        cuts = find_cuts(*as_video(first * (1 - share) + second * share, fps))
        assert len(cuts) == 1
        assert start < cuts[0] <= start + length_s * fps


def test_a_cut_depends_on_what_is_near_alone() -> None:
    fps = 12.0
    shots = [draw_shot(seed, 20 + 7 * seed, fps) for seed in range(8)]
    shots[3] = np.linspace(shots[2][-1], shots[4][0], 10)
    times_s, images = as_video(np.concatenate(shots), fps)
    rng = np.random.default_rng(0)
    times_s = times_s + rng.uniform(0, 0.04, len(times_s))
    times_s[100:] += 20
    cuts = find_cuts(times_s, images)
    assert len(cuts) >= 6
    for first in range(0, len(times_s) - 10, 9):
        for count in (10, 31):
            start_s, end_s = times_s[first], times_s[min(first + count, len(times_s) - 1)]
            begin = np.searchsorted(times_s, start_s - CONTEXT_S)
            end = np.searchsorted(times_s, end_s + CONTEXT_S, "right")
            found = begin + np.array(find_cuts(times_s[begin:end], images[begin:end]), int)
            within = [cut for cut in found.tolist() if start_s < times_s[cut] <= end_s]
            assert within == [cut for cut in cuts if start_s < times_s[cut] <= end_s]


def test_slides_have_a_cut_at_each_change() -> None:
    slides = [draw_shot(seed, 1, 1.0)[0] for seed in range(4)]
    frames = np.array([slides[k // 3] for k in range(12)])
    assert find_cuts(np.arange(12.0) * 2, frames.astype(np.uint8)) == [3, 6, 9]


def test_short_videos_have_none() -> None:
    _, images = as_video(draw_shot(0, 2, 10.0), 10.0)
    for count in (0, 1, 2):
        assert find_cuts(np.arange(count) / 10, images[:count]) == []


def test_a_change_of_brightness_alone_is_none() -> None:
    image = draw_shot(1, 1, 10.0).clip(0, 120).astype(np.float32)
    assert measure_change(image, image * 1.5) == pytest.approx([0], abs=0.02)
    assert measure_change(image, 255 - image) > 0.3
