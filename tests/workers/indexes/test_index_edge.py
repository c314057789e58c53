"""The embedded index: who may open it, and what a crash, a full or a foreign folder does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.index_cases import DIM, embedded, held, ids_of, options_for, unit
from support.paths import ROOT

from schemas.errors import (
    IndexBusyError,
    IndexMissingError,
    IndexUnavailableError,
    UsageError,
    VectorIndexError,
)
from schemas.points import IndexQuery
from workers.indexes.edge import index as edge_index
from workers.indexes.edge import opening as edge_opening
from workers.indexes.edge import schema
from workers.indexes.edge.index import EdgeIndex
from workers.indexes.open import open_index


@pytest.fixture
def folder_index(tmp_path: Path) -> Iterator[EdgeIndex]:
    with edge_opening.build(options_for(str(tmp_path / "index")), DIM, create=True) as made:
        yield made


def test_a_killed_process_loses_nothing_it_was_told_is_written(tmp_path: Path) -> None:
    location = tmp_path / "index"
    script = (
        "import os, signal, sys; sys.path[:0] = ['tests', '.']\n"
        "from support.index_cases import *\n"
        f"index = open_index(options_for({str(location)!r}), DIM, create=True)\n"
        "index.replace_images([embedded('a.jpg', unit(0, 5))])\n"
        "index.replace_images([embedded('a.jpg', unit(0, 3), version='v2')])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    with edge_opening.build(options_for(str(location)), DIM) as index:
        assert held(index) == ids_of(embedded("a.jpg", unit(0, 3), version="v2"))


def test_a_folder_in_use_is_refused(folder_index: EdgeIndex, tmp_path: Path) -> None:
    location = str(tmp_path / "index")
    expected = f"the index in {location} is in use: an ingest or another process has it open"
    with pytest.raises(IndexBusyError) as caught:
        edge_opening.build(options_for(location), DIM, create=True)
    assert str(caught.value) == expected
    script = (
        "from schemas.errors import IndexBusyError\n"
        "from schemas.options import IndexOptions\n"
        "from workers.indexes.open import open_index\n"
        "try:\n"
        f"    open_index(IndexOptions(location={location!r}), None)\n"
        "except IndexBusyError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected
    folder_index.close()
    edge_opening.build(options_for(location), None).close()


def test_whoever_is_refused_leaves_the_owner_unharmed(tmp_path: Path) -> None:
    options = options_for(str(tmp_path / "index"))
    written = set()
    with edge_opening.build(options, DIM, create=True) as owner:
        for number in range(4):
            image = embedded(f"{number}.jpg", unit(number, 4))
            owner.replace_images([image])
            written |= ids_of(image)
            with pytest.raises(IndexBusyError):
                edge_opening.build(options, None)
    with edge_opening.build(options, None) as opened:
        assert held(opened) == written


def test_a_missing_index_is_named_and_not_made(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(IndexMissingError) as caught:
            open_index(options_for(str(folder)), None)
        assert str(caught.value) == f"there is no index in the folder {folder}"
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_may_come_before_the_index(tmp_path: Path) -> None:
    (tmp_path / "manifest").mkdir()
    with pytest.raises(IndexMissingError):
        open_index(options_for(str(tmp_path)), None)
    open_index(options_for(str(tmp_path)), DIM, create=True).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest", "points"]


@pytest.mark.parametrize("create", [True, False])
def test_other_things_are_left_alone(tmp_path: Path, create: bool) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"is no index and holds other things \(holiday.jpg\)"):
        open_index(options_for(str(tmp_path)), DIM, create=create)
    with pytest.raises(UsageError, match=r"holiday.jpg is a file"):
        open_index(options_for(str(tmp_path / "holiday.jpg")), DIM, create=create)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = tmp_path / "file" / "index"
    with pytest.raises(IndexUnavailableError) as caught:
        open_index(options_for(str(folder)), DIM, create=True)
    assert str(caught.value) == f"the index folder {folder} cannot be used: Not a directory"


def test_a_damaged_configuration_is_named(tmp_path: Path) -> None:
    open_index(options_for(str(tmp_path)), DIM, create=True).close()
    for text in ("", "{}", '{"vectors":{"other":{"size":3}}}', "[1]"):
        (tmp_path / "points" / "edge_config.json").write_text(text)
        with pytest.raises(VectorIndexError, match="expected an index made by objseek"):
            open_index(options_for(str(tmp_path)), DIM)


def test_a_damaged_segment_is_one_sentence(tmp_path: Path) -> None:
    with edge_opening.build(options_for(str(tmp_path)), DIM, create=True) as index:
        index.replace_images([embedded("a.jpg", unit(0, 3))])
    for state in (tmp_path / "points" / "segments").rglob("segment.json"):
        state.write_text("{")
    with pytest.raises(VectorIndexError, match=rf"the index in {tmp_path} failed: ") as caught:
        open_index(options_for(str(tmp_path)), DIM)
    assert "\n" not in str(caught.value)


def disk_with(free: int) -> Callable[[object], SimpleNamespace]:
    return lambda _: SimpleNamespace(free=free)


def test_a_full_disk_is_noticed_before_anything_is_written(
    folder_index: EdgeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = embedded("a.jpg", unit(0, 3))
    folder_index.replace_images([image])
    monkeypatch.setattr("workers.indexes.edge.index.shutil.disk_usage", disk_with(30 * 2**20))
    with pytest.raises(IndexUnavailableError) as caught:
        folder_index.replace_images([embedded("a.jpg", unit(1, 2), version="v2")])
    assert re.fullmatch(
        rf"the disk of the index folder {tmp_path / 'index'} is full: 30 MB are free, "
        r"\d+ MB are needed",
        str(caught.value),
    )
    assert caught.value.retryable
    assert held(folder_index) == ids_of(image)
    with pytest.raises(IndexUnavailableError, match="is full"):
        open_index(options_for(str(tmp_path / "new")), DIM, create=True)
    assert list((tmp_path / "new").iterdir()) == []


_ALMOST_NOTHING = 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 500 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500m", "tmpfs", str(disk)]
    try:
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("a file system cannot be mounted here")
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_really_full_disk(small_disk: Path) -> None:
    with edge_opening.build(options_for(str(small_disk / "index")), DIM, create=True) as index:
        image = embedded("a.jpg", unit(0, 3))
        index.replace_images([image])
        fill = small_disk / "fill"
        free = os.statvfs(small_disk)
        with fill.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - _ALMOST_NOTHING)
        with pytest.raises(IndexUnavailableError, match="is full"):
            index.replace_images([embedded("b.jpg", unit(1, 3))])
        assert held(index) == ids_of(image)
        fill.unlink()
        index.replace_images([embedded("b.jpg", unit(1, 3))])
        assert index.info().images == 2


def test_a_really_read_only_disk(small_disk: Path) -> None:
    open_index(options_for(str(small_disk / "index")), DIM, create=True).close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with closing(open_index(options_for(str(small_disk / "index")), None)) as copy:
        assert copy.count() == 0
        with pytest.raises(IndexUnavailableError, match="can only be read"):
            copy.require_writable()
    for name, create in (("index", True), ("other", True)):
        folder = small_disk / name
        with pytest.raises(IndexUnavailableError, match="Read-only file system") as caught:
            open_index(options_for(str(folder)), DIM, create=create)
        assert str(folder) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_many_points_are_tidied_up_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (edge_index, schema):
        monkeypatch.setattr(module, "MOST_UNTIDIED", 400)
    options = options_for(str(tmp_path / "index"))
    vectors = unit(0, 1500, 64)
    images = [
        embedded(f"{number}.jpg", vectors[number * 150 : (number + 1) * 150], size_hw=(200, 30))
        for number in range(10)
    ]
    with edge_opening.build(options, 64, create=True) as index:
        segments = []
        for image in images:
            index.replace_images([image])
            info = index._shard.info()
            segments.append((info.segments_count, info.indexed_vectors_count))
        assert [count for count, _ in segments] == sorted(count for count, _ in segments)
        assert segments[1] == (1, 0)
        assert segments[-1][0] > 2
        assert segments[-1][1] >= 1200
        assert held(index) == set().union(*map(ids_of, images))
        order = np.argsort(-(vectors @ vectors[700]))[:1000].tolist()

        def found(*, exact: bool) -> list[int]:
            payloads = [
                hit.payload for hit in index.search(IndexQuery(vectors[700], 1000, exact=exact))
            ]
            return [
                int(payload.key.split(".")[0]) * 150 + payload.ordinal + 1 for payload in payloads
            ]

        assert found(exact=True) == order
        # In four bits a few of many are lost at the end, and none of the first.
        roughly = found(exact=False)
        assert roughly[:100] == order[:100]
        assert len(set(roughly) & set(order)) >= 980
    with edge_opening.build(options, 64) as index:
        assert held(index) == set().union(*map(ids_of, images))


def test_tidying_up_on_closing_keeps_every_point(tmp_path: Path) -> None:
    options = options_for(str(tmp_path / "index"), upsert_batch=512)
    vectors = unit(0, 1200, 64)
    newest = embedded("a.jpg", vectors[:250], version="v2", size_hw=(1300, 30))
    with edge_opening.build(options, 64, create=True) as index:
        index.replace_images([embedded("a.jpg", vectors, size_hw=(1300, 30))])
        index.replace_images([newest])
    with edge_opening.build(options, 64) as index:
        assert held(index) == ids_of(newest)
        hits = index.search(IndexQuery(vectors[5], 250))
        order = np.argsort(-(vectors[:250] @ vectors[5]))
        assert [hit.payload.ordinal + 1 for hit in hits] == order.tolist()


def test_threads_may_share_an_index(tmp_path: Path) -> None:
    with edge_opening.build(options_for(str(tmp_path / "index")), DIM, create=True) as index:

        def write(first: int) -> None:
            for number in range(first, first + 12):
                index.replace_images([embedded(f"{number}.jpg", unit(number, 4))])

        def read(seed: int) -> None:
            for _ in range(40):
                index.search(IndexQuery(unit(seed, 1)[0], 5))
                list(index.scroll())

        with ThreadPoolExecutor(4) as pool:
            writes = [pool.submit(write, first) for first in (0, 100)]
            reads = [pool.submit(read, seed) for seed in (1, 2)]
            for done in (*writes, *reads):
                done.result()
        assert index.info().points == 2 * 12 * 4
