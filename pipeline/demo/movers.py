"""Moves sprites over a frame: along walls that throw them back, behind others, out and back in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from pipeline.demo.scenes import draw_sprite
from pipeline.demo.sprites import Sprite

_MARGIN_PX = 40.0
_MIN_SIDE_SHARE, _MAX_SIDE_SHARE = 0.09, 0.32  # longer side of a sprite, of the frame's longer side
_SLOWEST_PASSING, _FASTEST = 45.0, 160.0  # pixels a second
_LARGEST_PASSING_SHARE = 0.8  # of the longer side of what is passed


def reflect(x: float, low: float, high: float) -> float:
    """Where something is that goes straight to `x` between two walls that throw it back."""
    way = (x - low) % (2 * (high - low))
    return low + min(way, 2 * (high - low) - way)


@dataclass(frozen=True, slots=True)
class Wave:
    """A sine over time."""

    size: float = 0.0
    hz: float = 0.0
    phase: float = 0.0

    def at(self, time_s: float) -> float:
        return self.size * math.sin(2 * math.pi * self.hz * time_s + self.phase)


class Path(Protocol):
    """Where the centre of a sprite is."""

    def find_centre(self, time_s: float) -> tuple[float, float]:
        """x and y, pixels."""
        ...


@dataclass(frozen=True, slots=True)
class WanderingPath:
    """Straight on and back from the margins of a frame of `size_hw`, swaying a little."""

    size_hw: tuple[int, int]
    start_xy: tuple[float, float]
    speed_xy: tuple[float, float]
    sway: Wave = Wave()

    def find_centre(self, time_s: float) -> tuple[float, float]:
        sway = self.sway.at(time_s)
        x, y = (
            reflect(start + speed * time_s, _MARGIN_PX, size - _MARGIN_PX)
            for start, speed, size in zip(
                self.start_xy, self.speed_xy, self.size_hw[::-1], strict=True
            )
        )
        return x + sway, y + sway / 2


@dataclass(frozen=True, slots=True)
class PassingPath:
    """At `middle_s` just where another is, before and after on its two sides."""

    size_hw: tuple[int, int]
    other: Path
    speed_xy: tuple[float, float]
    middle_s: float

    def find_centre(self, time_s: float) -> tuple[float, float]:
        x, y = (
            reflect(place + speed * (time_s - self.middle_s), _MARGIN_PX, size - _MARGIN_PX)
            for place, speed, size in zip(
                self.other.find_centre(time_s), self.speed_xy, self.size_hw[::-1], strict=True
            )
        )
        return x, y


@dataclass(frozen=True, slots=True)
class LeavingPath:
    """As `inner`, but out of the frame at `outside_x` for `away_s` around `middle_s`.

    Leaving takes `door_s`, and so does coming back.
    """

    inner: Path
    outside_x: float
    middle_s: float
    away_s: float
    door_s: float

    def find_centre(self, time_s: float) -> tuple[float, float]:
        x, y = self.inner.find_centre(time_s)
        until_gone_s = abs(time_s - self.middle_s) - self.away_s / 2
        share = min(max(1 - until_gone_s / self.door_s, 0), 1)
        return x + (self.outside_x - x) * share, y


@dataclass(frozen=True, slots=True)
class Mover:
    """A sprite on its path: `side_px` is its longer side, as a power of e times `growth`."""

    sprite: Sprite
    path: Path
    side_px: float
    growth: Wave
    angle_deg: float
    turn_deg_s: float
    swing: Wave
    is_flipped: bool
    gain: float

    def draw(self, time_s: float) -> np.ndarray:
        """float32 (height, width, 4), RGB 0..255, alpha 0..1."""
        angle = self.angle_deg + self.turn_deg_s * time_s + self.swing.at(time_s)
        side = self.side_px * math.exp(self.growth.at(time_s))
        return draw_sprite(
            self.sprite, side, is_flipped=self.is_flipped, angle_deg=angle, gain=self.gain
        )


def draw_movers(
    rng: np.random.Generator,
    sprites: Sequence[Sprite],
    size_hw: tuple[int, int],
    span_s: tuple[float, float],
) -> list[Mover]:
    """Movers of these sprites, four or more, for the time of a shot, the hindmost first.

    The first two pass behind the two largest of the others, the last one leaves and comes back.
    """
    passing, wandering, leaving = sprites[:2], sprites[2:-1], sprites[-1]
    free = [_draw_mover(rng, sprite, size_hw) for sprite in wandering]
    largest = sorted(free, key=lambda mover: -mover.side_px)
    behind = [
        _pass_behind(rng, sprite, other, size_hw, span_s)
        for sprite, other in zip(passing, [*largest, *largest], strict=False)
    ]
    return [*behind, *free, _leave(rng, leaving, size_hw, span_s)]


def _draw_mover(
    rng: np.random.Generator,
    sprite: Sprite,
    size_hw: tuple[int, int],
    max_side_px: float = math.inf,
) -> Mover:
    height, width = size_hw
    low, high = (math.log(share * max(size_hw)) for share in (_MIN_SIDE_SHARE, _MAX_SIDE_SHARE))
    side = min(math.exp(rng.uniform(low, high)), max_side_px)
    speed = 0.0 if rng.random() < 0.15 else min(rng.lognormal(math.log(45), 0.7), _FASTEST)
    path = WanderingPath(
        size_hw,
        (rng.uniform(_MARGIN_PX, width - _MARGIN_PX), rng.uniform(_MARGIN_PX, height - _MARGIN_PX)),
        _draw_direction(rng, speed),
        _draw_wave(rng, 18, (0.15, 0.5)),
    )
    return Mover(
        sprite,
        path,
        side,
        growth=_draw_wave(rng, 0.25, (0.05, 0.25)),
        angle_deg=rng.normal(0, 15),
        turn_deg_s=rng.normal(0, 8),
        swing=_draw_wave(rng, 12, (0.1, 0.5)),
        is_flipped=bool(rng.random() < 0.5),
        gain=rng.uniform(0.85, 1.1),
    )


def _pass_behind(
    rng: np.random.Generator,
    sprite: Sprite,
    other: Mover,
    size_hw: tuple[int, int],
    span_s: tuple[float, float],
) -> Mover:
    mover = _draw_mover(rng, sprite, size_hw, _LARGEST_PASSING_SHARE * other.side_px)
    speed = _draw_direction(rng, rng.uniform(_SLOWEST_PASSING, _FASTEST / 2))
    path = PassingPath(size_hw, other.path, speed, _draw_middle(rng, span_s))
    return replace(mover, path=path)


def _leave(
    rng: np.random.Generator, sprite: Sprite, size_hw: tuple[int, int], span_s: tuple[float, float]
) -> Mover:
    mover = _draw_mover(rng, sprite, size_hw)
    beyond = 0.8 * mover.side_px
    outside = -beyond if rng.random() < 0.5 else size_hw[1] + beyond
    middle, away, door = _draw_middle(rng, span_s), rng.uniform(0.6, 2.5), rng.uniform(0.8, 1.6)
    return replace(mover, path=LeavingPath(mover.path, outside, middle, away, door))


def _draw_middle(rng: np.random.Generator, span_s: tuple[float, float]) -> float:
    return span_s[0] + rng.uniform(0.3, 0.7) * (span_s[1] - span_s[0])


def _draw_direction(rng: np.random.Generator, speed: float) -> tuple[float, float]:
    way = rng.uniform(0, 2 * math.pi)
    return speed * math.cos(way), speed * math.sin(way)


def _draw_wave(rng: np.random.Generator, largest: float, hz: tuple[float, float]) -> Wave:
    return Wave(rng.uniform(0, largest), rng.uniform(*hz), rng.uniform(0, 2 * math.pi))
