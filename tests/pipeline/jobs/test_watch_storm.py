"""Whatever events do, at rest a watched index is what its bucket is."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from support import fakes
from support.qdrant_server import qdrant_server
from support.waiting import until
from support.watch_world import World, watched_bucket, watching

from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.search import Condition
from workers.indexes.open import open_index

pytestmark = pytest.mark.long


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with watched_bucket(tmp_path) as world:
        yield world


class Searchable:
    """When each version of each image was first there to be found; seconds since it was put."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.put_at: dict[tuple[str, str], float] = {}
        self.seconds: dict[tuple[str, str], float] = {}

    def look(self, ended: threading.Event) -> None:
        images = Condition(field="kind", op="=", value="image")
        with open_index(self._settings.index, None) as index:  # type: ignore[attr-defined]
            last = False
            while not last:
                last = ended.wait(0.5)
                payloads = [point.payload for point in index.scroll([images])]
                seen = {(payload["key"], payload["version"]) for payload in payloads}
                now = time.monotonic()
                for image_version in seen & self.put_at.keys() - self.seconds.keys():
                    self.seconds[image_version] = now - self.put_at[image_version]


def change_bucket(
    world: World, operations: int, chance: random.Random, searchable: Searchable
) -> None:
    """Creates, overwrites and deletes in random order.

    Of their events some are lost, some come again, and many come late and out of order.
    """
    keys = [f"{number:03}.png" for number in range(max(8, operations // 8))]
    late: list[str] = []
    for _ in range(operations):
        key = chance.choice(keys)
        if chance.random() < 0.3:
            world.delete(key)
        else:
            began = time.monotonic()
            version = world.put(key, chance.randrange(160))
            searchable.put_at.setdefault((key, version), began)
        late += [key] * chance.choices([0, 1, 2, 3], [0.1, 0.6, 0.2, 0.1])[0]
        chance.shuffle(late)
        while late and (len(late) > 6 or chance.random() < 0.5):
            world.send(late.pop())
    for key in late:
        world.send(key)


def ingest_again_and_again(world: World, ended: threading.Event) -> int:
    """Other ingests of the same source, as if somebody did not know of the watch."""
    runs = 0
    while not ended.wait(0.1):
        # There may be no image just now.
        with suppress(UsageError):
            ingest([world.source], world.settings, recipe=fakes.recipe(world.settings))
            runs += 1
    return runs


@pytest.mark.parametrize(
    "operations",
    [pytest.param(100, id="short"), pytest.param(2000, marks=pytest.mark.faults, id="whole")],
)
def test_at_rest_the_index_is_the_bucket(
    world: World, operations: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with qdrant_server() as server:
        place = {"location": f"{server.url}/photos", "state": str(tmp_path / "state")}
        index = world.settings.index.model_copy(update=place)
        world.settings = world.settings.model_copy(update={"index": index})
        searchable, ended = Searchable(world.settings), threading.Event()
        world.put("000.png", 0)
        with watching(world), ThreadPoolExecutor(2) as pool:
            until(lambda: len(world.rounds) == 1)
            looking = pool.submit(searchable.look, ended)
            beside = pool.submit(ingest_again_and_again, world, ended)
            change_bucket(world, operations, random.Random(operations), searchable)
            until(lambda: world.waiting() == 0)
            ended.set()
            looking.result()
            assert beside.result() > 0
        world.watch(threading.Event(), once=True, queue=None)
        assert world.indexed() == world.listed()
        assert verify(world.settings, [world.source]).findings == []
        taken = sorted(searchable.seconds.values())
        assert taken
        with capsys.disabled():
            print(
                f"\n{operations:,} operations: {len(taken):,} versions were found, "
                f"{np.median(taken):.2f} s (p50) and {np.quantile(taken, 0.95):.2f} s (p95) "
                "after their PUT"
            )
