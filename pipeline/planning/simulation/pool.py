"""Simulates the model workers of a job: chunks they are at, their deaths, and who is to blame."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.planning.simulation.readers import Later
from pipeline.planning.simulation.work import ImageWork, wait_s
from pipeline.planning.simulation.world import World
from pipeline.runners.ray_pool.blame import Suspects
from pipeline.runners.ray_pool.chunks import Chunk
from pipeline.runners.ray_pool.runner import IN_FLIGHT


@dataclass(eq=False)
class Place:
    """Where a worker is: `reserved` for suspects, as a place of `ray_pool.actors`."""

    ready: bool = False
    reserved: bool = False
    alive: bool = True
    chunks: deque[Chunk] = field(default_factory=deque)
    began_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PoolPace:
    """`first_s` until the first workers have loaded their models, `start_s` until others have."""

    workers: int
    first_s: float
    start_s: float
    crashes_per_hour: float = 0.0


class Pool:
    """The workers; `finish` gets a chunk and its seconds, `retry` chunks to be read once more.

    `give_up` gets the chunk of an image that ends every worker; `wake`: there is room for a chunk.
    """

    def __init__(self, pace: PoolPace, work: ImageWork, world: World, later: Later) -> None:
        self._pace, self._work, self._later = pace, work, later
        self._clock, self._totals, self._random = world.clock, world.totals, world.random
        self.finish: Callable[[Chunk, float], None] = lambda chunk, seconds: None
        self.retry: Callable[[list[Chunk]], None] = lambda chunks: None
        self.give_up: Callable[[Chunk], None] = lambda chunk: None
        self.wake: Callable[[], None] = lambda: None
        self.places: list[Place] = []
        self.waiting: deque[Chunk] = deque()
        self.suspected: deque[Chunk] = deque()
        self._blame = Suspects()

    def stop(self) -> None:
        """All workers end now, and what was for them is forgotten."""
        for place in self.places:
            self._lose(place)
        self.places = []
        self.waiting.clear()
        self.suspected.clear()
        self._blame = Suspects()

    def start(self) -> None:
        """Begin to load the models in every worker."""
        for _ in range(self._pace.workers):
            self._add(self._pace.first_s)

    @property
    def is_busy(self) -> bool:
        """Whether there is a chunk with any worker, or for one."""
        return bool(self.waiting or self.suspected or any(p.chunks for p in self.places))

    def add(self, chunk: Chunk) -> None:
        """A chunk that is read."""
        (self.suspected if chunk.suspect else self.waiting).append(chunk)

    def dispatch(self) -> None:
        """Give workers what they have room for, as `RayRunner` does."""
        if not self._blame.suspects:
            for place in self.places:
                place.reserved = False
        for depth in range(IN_FLIGHT):
            for place in self.places:
                if place.ready and len(place.chunks) == depth:
                    self._give_next(place)

    def kill(self, place: Place) -> None:
        """A worker ends: what it had is suspected, or halved if it was alone with it."""
        self._lose(place)
        self._totals.deaths += 1
        self.places.remove(place)
        self._add(self._pace.start_s, reserved=True)
        for chunk in place.chunks:
            if not chunk.suspect:
                self._blame.suspect(chunk)
                self.suspected.append(chunk)
            else:
                self._judge(chunk)

    def clear(self, chunk: Chunk) -> None:
        """It has been worked on."""
        self._blame.clear(chunk)

    def _judge(self, chunk: Chunk) -> None:
        again = self._blame.narrow_down(chunk)
        for part in again:
            part.work = chunk.work
        if again:
            self.retry(again)
            return
        self._totals.given_up += 1
        self.give_up(chunk)

    def _lose(self, place: Place) -> None:
        place.alive = False
        if place.chunks:
            spent_s = self._clock.now - place.began_s
            self._totals.busy_s += spent_s
            self._totals.lost_s += spent_s

    def _add(self, start_s: float, *, reserved: bool = False) -> None:
        place = Place(reserved=reserved)
        self.places.append(place)
        self._later(start_s, lambda: self._make_ready(place))

    def _make_ready(self, place: Place) -> None:
        if not place.alive:
            return
        place.ready = True
        crash_s = wait_s(self._pace.crashes_per_hour, self._random)
        if crash_s < math.inf:
            self._later(crash_s, lambda: self._crash(place))
        self.wake()

    def _crash(self, place: Place) -> None:
        if place.alive:
            self.kill(place)

    def _give_next(self, place: Place) -> None:
        if place.reserved and place.chunks:
            return
        queue = self.suspected if place.reserved else self.waiting
        if queue:
            chunk = queue.popleft()
            place.chunks.append(chunk)
            if len(place.chunks) == 1:
                self._begin(place)

    def _count(self, chunk: Chunk) -> None:
        self._totals.chunks += 1
        if chunk.work:
            self._totals.chunks_again += 1
            self._totals.images_again += len(chunk.items)
        chunk.work = True

    def _begin(self, place: Place) -> None:
        place.began_s = self._clock.now
        chunk = place.chunks[0]
        self._count(chunk)
        images: range = chunk.items  # type: ignore[assignment]
        seconds = self._work.seconds(images)
        if self._work.kills(images):
            self._later(seconds / 2, lambda: self._crash(place))
            return
        self._later(seconds, lambda: self._end(place, chunk, seconds))

    def _end(self, place: Place, chunk: Chunk, seconds: float) -> None:
        if not place.alive:
            return
        place.chunks.popleft()
        self._totals.busy_s += seconds
        if place.chunks:
            self._begin(place)
        self.finish(chunk, seconds)
