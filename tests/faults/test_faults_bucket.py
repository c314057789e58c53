"""A bucket that changes while it is read, slow writers of older runs, and syncs in between."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from support import fakes
from support.qdrant_server import qdrant_server
from support.s3_server import S3Server, moto_server

from pipeline.jobs.ingest import ingest
from pipeline.jobs.sync import sync
from pipeline.jobs.verify import verify
from pipeline.manifest.audit import Fault, Finding
from pipeline.runners.model_worker import ModelWorker
from pipeline.runners.recipe import Recipe
from pipeline.settings import Settings
from schemas.ids import image_id
from schemas.images import Decoded, ImageRef
from schemas.manifest import State
from schemas.options import IndexOptions, StoreOptions
from schemas.records import EmbeddedImage
from workers.indexes.edge.index import EdgeIndex
from workers.indexes.filters import EVERY_POINT, PointFilter
from workers.indexes.open import open_index
from workers.indexes.point_index import PointIndex
from workers.indexes.points import Point, image_points
from workers.indexes.server.index import ServerIndex

pytestmark = pytest.mark.long

SEED = 23
IMAGES = 40
OVERWRITES, DELETES, SWAPS, ZOMBIES = 8, 4, 2, 2
"""What happens in a round; as many images come as are deleted."""
Box = tuple[int, int, int, int]


@dataclass
class Bucket:
    """Pictures, no two alike: `squares` is where each version has its bright object."""

    server: S3Server
    scratch: Path
    refs: dict[str, ImageRef] = field(default_factory=dict)
    squares: dict[str, Box] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = self.server.make_bucket()
        self.source = f"s3://{self.name}/"

    def put(self, key: str) -> None:
        """Make or overwrite an object."""
        number = len(self.squares)
        body = fakes.write_image(self.scratch / "picture.png", number).read_bytes()
        done = self.server.client.put_object(Bucket=self.name, Key=key, Body=body)
        version = done["ETag"].strip('"')
        x, y = number % 16 + 1, number // 16 % 10 + 1
        self.squares[version] = (x, y, x + 6, y + 4)
        self.refs[key] = ImageRef("s3", self.name, key, version, len(body))

    def delete(self, key: str) -> None:
        self.server.client.delete_object(Bucket=self.name, Key=key)
        del self.refs[key]


@dataclass(frozen=True)
class Zombie:
    """What a run that has been overtaken is still to write."""

    image: EmbeddedImage
    run_started_at: datetime


def swapping_reader(
    refs: Sequence[ImageRef], reader: partial[list[Decoded]], bucket: Bucket, keys: set[str]
) -> list[Decoded]:
    """Reads as `reader` does, when these objects have been overwritten since they were listed."""
    for key in keys & {ref.key for ref in refs}:
        keys.remove(key)
        bucket.put(key)
    return reader(refs)


@dataclass
class World:
    bucket: Bucket
    settings: Settings
    recipe: Recipe
    chance: random.Random
    tally: Counter[str] = field(default_factory=Counter)

    def sync(self, swapped: Sequence[str] = ()) -> None:
        reader = partial(
            swapping_reader, reader=self.recipe.reader, bucket=self.bucket, keys=set(swapped)
        )
        recipe = replace(self.recipe, reader=reader)
        sync([self.bucket.source], self.settings, max_delete=0.5, recipe=recipe)

    def round(self, number: int) -> None:
        """Change the bucket, sync twice, and let the zombies have their turn."""
        overwritten = self.chance.sample(sorted(self.bucket.refs), OVERWRITES + DELETES)
        deleted = [overwritten.pop() for _ in range(DELETES)]
        slow, other = self.zombies(overwritten[:ZOMBIES])
        for key in overwritten:
            self.bucket.put(key)
        for at, key in enumerate(deleted):
            self.bucket.delete(key)
            self.bucket.put(f"{number:02}-{at}.png")
        in_between = number % 2 == 0
        with overtaking(self.settings, other) if in_between else nullcontext():
            self.sync(swapped=overwritten[-SWAPS:])
        self.look_at_swapped(overwritten[-SWAPS:])
        self.sync()
        self.tally.update(overwrites=OVERWRITES, deletes=DELETES, between=in_between)
        self.is_fenced(slow)
        if not in_between:
            self.is_found_and_repaired(other)
        assert verify(self.settings, [self.bucket.source]).findings == []

    def zombies(self, keys: Sequence[str]) -> list[Zombie]:
        started = datetime.now(UTC)
        decoded = self.recipe.reader([self.bucket.refs[key] for key in keys])
        images = ModelWorker(self.recipe).process(decoded)
        return [Zombie(image, started) for image in images if isinstance(image, EmbeddedImage)]

    def look_at_swapped(self, keys: Sequence[str]) -> None:
        rows = fakes.rows(self.settings)
        for key in keys:
            row = rows[key]
            if row.state is State.DONE:
                assert row.version == self.bucket.refs[key].version
            else:
                assert (row.state, row.error_class) == (State.FAILED, "ObjectChangedError")
            self.tally[f"swaps {row.state}"] += 1
        for payload, _ in fakes.points(self.settings).values():
            if payload["ordinal"] == 1:
                self.tally["wrong bytes"] += (
                    payload["bbox"] != self.bucket.squares[str(payload["version"])]
                )

    def is_fenced(self, zombie: Zombie) -> None:
        before = fakes.points(self.settings)
        with closing(open_index(self.settings.index, None)) as index:
            fenced = index.replace_images([zombie.image], zombie.run_started_at)
        assert fenced == {image_id(zombie.image.ref)}
        assert fakes.points(self.settings) == before
        self.tally["fenced"] += 1

    def is_found_and_repaired(self, zombie: Zombie) -> None:
        """One that knows no fence."""
        rows = image_points(zombie.image, zombie.run_started_at)
        with closing(open_index(self.settings.index, None)) as index:
            assert isinstance(index, PointIndex)
            index.upsert(rows)
            index.flush()
        expected = [Finding(Fault.STALE, zombie.image.ref.uri, len(rows))]
        assert verify(self.settings, repairing=True, max_delete=1).findings == expected
        self.tally["repaired"] += 1


@contextmanager
def overtaking(settings: Settings, zombie: Zombie) -> Iterator[None]:
    """The zombie writes when the later run has looked for others, and has not yet written."""
    kind = ServerIndex if settings.index.location.startswith("http") else EdgeIndex
    upsert, identity = kind.upsert, str(image_id(zombie.image.ref))
    waiting = [zombie]

    def late(index: PointIndex, rows: Sequence[Point], over: PointFilter = EVERY_POINT) -> None:
        if waiting and any(row.payload["image_id"] == identity for row in rows):
            overtaken = waiting.pop()
            assert index.replace_images([overtaken.image], overtaken.run_started_at) == set()
        upsert(index, rows, over)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kind, "upsert", late)
        yield
    assert not waiting


@pytest.fixture
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with qdrant_server() if request.param == "server" else nullcontext() as server:
        yield f"{server.url}/objects" if server else str(tmp_path / "index")


@pytest.mark.parametrize(
    ("location", "rounds"),
    [
        ("folder", 2),
        ("server", 1),
        pytest.param("folder", 25, marks=pytest.mark.faults),
        pytest.param("server", 5, marks=pytest.mark.faults),
    ],
    ids=["short", "short at a server", "whole", "whole at a server"],
    indirect=["location"],
)
def test_after_a_sync_the_index_is_what_the_bucket_is(
    location: str,
    rounds: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("pipeline.jobs.verify._ON_ITS_WAY", timedelta(0))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with moto_server() as store:
        changes = {"store": StoreOptions(endpoint_url=store.endpoint_url)}
        clean = fakes.settings(tmp_path / "clean").model_copy(update=changes)
        settings = clean.model_copy(update={"index": IndexOptions(location=location)})
        bucket = Bucket(store, tmp_path)
        for number in range(IMAGES):
            bucket.put(f"{number:03}.png")
        world = World(bucket, settings, fakes.recipe(settings), random.Random(SEED))
        world.sync()
        for number in range(rounds):
            world.round(number)
        ingest([bucket.source], clean, recipe=fakes.recipe(clean))
        expected = fakes.points(clean)
        missing, extra, differ = fakes.compared(fakes.points(settings), expected)
    tally = world.tally
    with capsys.disabled():
        print(
            f"\n{tally['overwrites']} overwrites, {tally['deletes']} deletes, {rounds * SWAPS} "
            f"swaps between listing and reading ({tally['swaps failed']} failed until the next "
            f"sync, {tally['swaps done']} done as the new version, {tally['wrong bytes']} of "
            f"wrong bytes), {rounds * ZOMBIES} zombies ({tally['fenced']} fenced, "
            f"{tally['between']} between look and upsert removed, {tally['repaired']} without a "
            f"fence found and repaired), seed "
            f"{SEED}: {missing} of {len(expected)} points missing, {extra} stale, {differ} differ"
        )
    assert len(expected) == 3 * len(bucket.refs) == 3 * IMAGES
    assert (missing, extra, differ, tally["wrong bytes"]) == (0, 0, 0, 0)
    assert tally["swaps failed"] + tally["swaps done"] == rounds * SWAPS
    assert tally["fenced"] + tally["between"] + tally["repaired"] == rounds * ZOMBIES
