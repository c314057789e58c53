"""Draws short videos with exact ground truth, and writes them. Deterministic for a seed.

Kinds: `plain` is one shot, `cut` two; of `twins` three drawings alone move about, each two or three
times; `flash` is one shot with a flash, `dissolve` two shots that fade into one another, `jump` two
before the same background.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import av
import numpy as np

from pipeline.demo.drawn_shots import DrawnShot, SeenObject, draw_shot
from pipeline.demo.scenes import SCENE_HW
from pipeline.demo.sprites import Concept, Sprite, bundled_sprites
from schemas.images import UInt8Image

ClipKind = Literal["plain", "cut", "twins", "flash", "dissolve", "jump"]
RATE = 10
_SECOND_SHOT_ID = 100
_TWIN_DRAWINGS = 3
_DISSOLVE_S, _FLASH_S = 1.0, 0.12
_FLASH_GAIN = 0.6
_CRF = "23"  # x264's own
_DEMO_KINDS: tuple[ClipKind, ...] = ("plain", "cut", "twins")


@dataclass(frozen=True)
class DrawnClip:
    """A clip that can be drawn, of `frame_count` frames, `RATE` a second.

    `event_s` is when the second shot or the flash begins.
    """

    kind: ClipKind
    shots: tuple[DrawnShot, ...]
    event_s: float
    frame_count: int

    @property
    def cuts_s(self) -> tuple[float, ...]:
        """When shots begin, but for the first."""
        return (self.event_s,) if len(self.shots) > 1 else ()

    @cached_property
    def concepts(self) -> dict[int, Concept]:
        """What each object depicts."""
        return {
            shot.first_id + k: mover.sprite.concept
            for shot in self.shots
            for k, mover in enumerate(shot.movers)
        }

    @property
    def times_s(self) -> list[float]:
        return [k / RATE for k in range(self.frame_count)]

    def draw_frame(self, time_s: float) -> tuple[UInt8Image, list[SeenObject]]:
        """uint8 (height, width, 3), and the objects that are to be seen in it.

        While a shot fades into another its own objects count no more.
        """
        since_s = time_s - self.event_s
        is_second = len(self.shots) > 1 and since_s > -1e-9
        shot = self.shots[is_second]
        canvas, seen = shot.draw_frame(time_s)
        gain = (
            1 + _FLASH_GAIN * math.exp(-((since_s / _FLASH_S) ** 2)) if self.kind == "flash" else 1
        )
        pixels = shot.expose(canvas, time_s, gain)
        if self.kind == "dissolve" and is_second and since_s < _DISSOLVE_S:
            before = self.shots[0].expose(self.shots[0].draw_frame(time_s)[0], time_s)
            share = max(since_s, 0) / _DISSOLVE_S
            pixels = (before * (1 - share) + pixels * share).astype(np.uint8)
        return pixels, seen

    def draw_frames(self) -> Iterator[UInt8Image]:
        for time_s in self.times_s:
            yield self.draw_frame(time_s)[0]


def draw_clip(
    seed: int,
    number: int,
    kind: ClipKind,
    duration_s: float = 10.0,
    sprites: Sequence[Sprite] | None = None,
) -> DrawnClip:
    """Clip `number` of a seed; without `sprites` of drawings that the models have not seen."""
    rng = np.random.default_rng([seed, number])
    sprites = bundled_sprites() if sprites is None else sprites
    event_s = round(rng.uniform(0.3, 0.7) * duration_s * RATE) / RATE
    has_two = kind in ("cut", "dissolve", "jump")
    first_span = (0.0, event_s if has_two else duration_s)
    drawings = _TWIN_DRAWINGS if kind == "twins" else None
    shots = [draw_shot(rng, sprites, first_span, drawings=drawings)]
    if has_two:
        second = draw_shot(rng, sprites, (event_s, duration_s), _SECOND_SHOT_ID)
        if kind == "jump":
            second = replace(second, background=shots[0].background, camera=shots[0].camera)
        shots.append(second)
    return DrawnClip(kind, tuple(shots), event_s, round(duration_s * RATE))


def write_clip(clip: DrawnClip, path: Path) -> None:
    """Write it as H.264, in the container that the name's end says."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width = SCENE_HW
        stream.pix_fmt = "yuv420p"
        # On one thread, as files else depend on how many there are.
        stream.options = {"crf": _CRF, "threads": "1"}
        for pixels in clip.draw_frames():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def draw_demo_clip(seed: int, number: int, duration_s: float = 6.0) -> DrawnClip:
    """Clip `number`, from 1, of a seed: of several kinds in turn."""
    return draw_clip(seed, number, _DEMO_KINDS[(number - 1) % len(_DEMO_KINDS)], duration_s)


def write_demo_clips(folder: Path, count: int, seed: int, duration_s: float = 6.0) -> list[Path]:
    """Write clips 1 to `count` of a seed, of several kinds, as `folder`/clips/0001.mp4 and on."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(1, count + 1):
        paths.append(folder / "clips" / f"{number:04d}.mp4")
        write_clip(draw_demo_clip(seed, number, duration_s), paths[-1])
    return paths
