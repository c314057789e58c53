"""Processes that write to one Lance index at the same time, and are killed in the middle of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.index_cases import DIM, embedded, ids_of, unit
from support.lance_writer import expected_points, image_of, run_of
from support.paths import ROOT
from support.processes import kill
from support.s3_relay import Fault, relaying
from support.s3_server import S3Server, moto_server, real_server
from support.waiting import until

from schemas.ids import image_id
from schemas.options import IndexOptions
from workers.indexes.lance.index import LanceIndex
from workers.indexes.open import open_index
from workers.indexes.point_index import PointIndex

if TYPE_CHECKING:
    from lance import LanceDataset

pytestmark = pytest.mark.long

SCRIPT = ROOT / "tests" / "support" / "lance_writer.py"
PATHS = os.pathsep.join([str(ROOT), str(ROOT / "tests")])


@dataclass(frozen=True)
class Place:
    """Where an index is, and what a bucket is reached by."""

    location: str
    endpoint: str = ""

    def options(self) -> IndexOptions:
        return IndexOptions(
            location=self.location, endpoint_url=self.endpoint or None, refresh_s=0, timeout_s=60
        )

    def opened(self, *, create: bool = False) -> PointIndex:
        index = open_index(self.options(), DIM, create=create)
        assert isinstance(index, PointIndex)
        return index


@pytest.fixture(name="server", params=["moto", "real"])
def a_server(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    with moto_server() if request.param == "moto" else real_server() as server:
        yield server


@contextmanager
def working(what: str, place: Place, writer: int = 0, commits: int = 0) -> Iterator[Worker]:
    """A process that has the index open."""
    arguments = [what, place.location, place.endpoint, str(writer), str(commits)]
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, "PYTHONPATH": PATHS},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Worker(process)
    finally:
        kill(process.pid)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


@dataclass(frozen=True)
class Worker:
    process: subprocess.Popen[str]

    def begin(self, *, last: bool = False) -> None:
        """Have it do what it is for, once; with `last` it ends then."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        if last:
            self.process.stdin.close()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def wait(self) -> str:
        """What it has printed since, when it has ended by itself."""
        assert self.process.stdout is not None
        printed = self.process.stdout.read()
        assert self.process.wait() == 0
        return printed


def held(index: PointIndex) -> Counter[str]:
    return Counter(point.id for point in index.scroll())


def written_by_all(place: Place, writers: int, commits: int, *, tidied: bool) -> int:
    """Have all write at once, and check what is there then; how often it was tidied meanwhile."""
    times = 0
    before = [embedded(f"before-{number}.jpg", unit(number, 12)) for number in range(10)]
    expected = Counter(identity for image in before for identity in ids_of(image))
    with place.opened(create=True) as index:
        for image in before:
            index.replace_images([image], run_of(0))
        scroll, version = index.scroll(), newest_version(index)
        seen = [next(scroll).id]
        with ExitStack() as stack:
            workers = [
                stack.enter_context(working("write", place, writer, commits))
                for writer in range(writers)
            ]
            tidier = stack.enter_context(working("tidy", place)) if tidied else None
            for worker in workers:
                worker.begin(last=True)
            while tidier is not None and any(worker.process.poll() is None for worker in workers):
                tidier.begin()
                assert tidier.line() == "tidied\n"
                times += 1
            for worker in workers:
                assert worker.wait().split() == [str(commit) for commit in range(commits)]
        # Who reads a version goes on reading it.
        seen += [point.id for point in scroll]
        assert Counter(seen) == expected
        assert Counter(version.to_table(columns=["id"])["id"].to_pylist()) == expected
        assert held(index) == expected + expected_points(writers, commits)
    return times


def newest_version(index: PointIndex) -> LanceDataset:
    assert isinstance(index, LanceIndex)
    return index._table.latest()


@pytest.mark.parametrize(
    "commits", [8, pytest.param(50, marks=pytest.mark.faults)], ids=["short", "whole"]
)
@pytest.mark.parametrize("tidied", [False, True], ids=["writers alone", "with upkeep"])
def test_writers_at_the_same_time_lose_and_double_nothing(
    commits: int, tidied: bool, server: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(f"lance+s3://{server.make_bucket()}/index", server.endpoint_url)
    times = written_by_all(place, 4, commits, tidied=tidied)
    with capsys.disabled():
        print(f"\n4 writers x {commits} commits, tidied up {times} times: 0 points lost, 0 twice")


@pytest.mark.parametrize(
    "commits", [8, pytest.param(50, marks=pytest.mark.faults)], ids=["short", "whole"]
)
def test_writers_to_a_folder_at_the_same_time_lose_and_double_nothing(
    commits: int, tmp_path: Path
) -> None:
    assert written_by_all(Place(f"lance+file://{tmp_path}/index"), 4, commits, tidied=True) > 0


@pytest.mark.parametrize("fault", ["hang", "keep"], ids=["before it", "after it"])
def test_a_writer_that_is_killed_at_any_request_leaves_all_old_or_all_new_points(
    fault: Fault, server: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    new = image_of(0, 0)
    old, beside = embedded(new.ref.key, unit(7, 5), version="v0"), embedded("b.jpg", unit(8, 2))
    outcomes = Counter[str]()
    with relaying(server.endpoint_url) as relay:
        place = Place(f"lance+s3://{server.make_bucket()}/index", server.endpoint_url)
        with place.opened(create=True) as index:
            for number in count(1):
                index.delete_images([image_id(image.ref) for image in (old, beside)])
                # In one file, of which one image goes.
                assert index.replace_images([old, beside], run_of(-1)) == set()
                with working("write", Place(place.location, relay.endpoint_url), 0, 1) as worker:
                    relay.restart({number: fault})
                    worker.begin(last=True)
                    until(lambda: relay.reached.is_set() or worker.process.poll() is not None)
                ends = {
                    name: Counter([*ids_of(image), *ids_of(beside)])
                    for name, image in (("old", old), ("new", new))
                }
                (outcome,) = (name for name, points in ends.items() if held(index) == points)
                if not relay.reached.is_set():
                    break
                outcomes[outcome] += 1
    assert outcome == "new"
    assert outcomes["old"] > 5
    assert (outcomes["new"] > 0) == (fault == "keep")
    with capsys.disabled():
        print(f"\nkilled at each of {outcomes.total()} requests of a commit: {dict(outcomes)}")
