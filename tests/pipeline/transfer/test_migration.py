"""Migrations between folders and servers: every point is there, and a search finds the same."""

from __future__ import annotations

import os
import uuid
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient
from support import damage
from support.qdrant_server import QdrantServer
from support.transfer_world import IMAGES, at, small_index

from bench.transfer import make
from pipeline.jobs.verify import verify
from pipeline.settings import Settings
from pipeline.transfer.migrate import migrate
from schemas.errors import UsageError, VectorIndexError
from schemas.points import IndexQuery
from workers.indexes.open import open_index
from workers.indexes.server import generations as server_generations
from workers.indexes.server import opening as server_opening

POINTS = 3 * (IMAGES + 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return small_index(tmp_path_factory.mktemp("world"))


def queries(count: int, dim: int) -> np.ndarray:
    vectors = np.random.default_rng(3).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def top_ten(settings: Settings) -> list[dict[str, float]]:
    with closing(open_index(settings.index, None)) as index:
        found = [
            index.search(IndexQuery(vector, limit=10, exact=True))
            for vector in queries(100, index.dim)
        ]
    return [{hit.object_id: hit.score for hit in hits} for hits in found]


def agree(first_results: list[dict[str, float]], second_results: list[dict[str, float]]) -> bool:
    """Whether scores are the same, and points, but for those that score what the last one does."""
    for first, second in zip(first_results, second_results, strict=True):
        if not np.allclose(sorted(first.values()), sorted(second.values()), rtol=0, atol=1e-6):
            return False
        certain = [key for key, score in first.items() if score > min(first.values()) + 2e-6]
        if any(abs(second.get(key, -9) - first[key]) > 1e-6 for key in certain):
            return False
    return True


def test_a_migration_to_a_server_and_back(world: Settings, tmp_path: Path) -> None:
    server = QdrantServer()
    try:
        there = at(world, f"{server.url}/photos")
        there = with_state(there, tmp_path / "state")
        first = migrate(world, there)
        back = at(world, tmp_path / "back")
        second = migrate(there, with_state(back, None))
        assert first == second
        assert (first.points, first.images) == (POINTS, IMAGES + 2)
        assert agree(top_ten(there), top_ten(world))
        assert agree(top_ten(back), top_ten(world))
        assert verify(back).findings == []
        with pytest.raises(UsageError, match="to migrate to, there are images"):
            migrate(world, there)
    finally:
        server.close()


def test_a_damaged_index_is_not_migrated(tmp_path: Path) -> None:
    settings = small_index(tmp_path)
    damage.do(damage.lose_one, settings, "003.png")
    target = at(settings, tmp_path / "target")
    message = r"got others for 1 image, the first is file://\S+/003\.png \(missing: 1\)"
    with pytest.raises(VectorIndexError, match=message):
        migrate(settings, target)
    assert not (tmp_path / "target").exists()


def with_state(settings: Settings, state: Path | None) -> Settings:
    index = settings.index.model_copy(update={"state": None if state is None else str(state)})
    return settings.model_copy(update={"index": index})


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore:Local mode", "ignore:Payload indexes have no effect")
def test_100_000_points_migrate_there_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the client's engine in memory, or the server that OBJSEEK_TEST_QDRANT_URL names."""
    source = make(tmp_path / "made", objects=90_910)
    url = os.environ.get("OBJSEEK_TEST_QDRANT_URL")
    if url is None:
        url = "http://in-memory:6333"
        engine = QdrantClient(":memory:")
        monkeypatch.setattr(engine, "close", lambda: None)
        monkeypatch.setattr(server_opening, "connect", lambda address, options: engine)
        monkeypatch.setattr(server_generations, "connect", lambda address, options: engine)
    there = with_state(at(source, f"{url}/migrated-{uuid.uuid4().hex}"), tmp_path / "state")
    first = migrate(source, there)
    back = with_state(at(source, tmp_path / "back"), None)
    second = migrate(there, back)
    assert first == second
    assert (first.points, first.images) == (100_001, 9_091)
    before = top_ten(source)
    assert agree(top_ten(there), before)
    assert agree(top_ten(back), before)
    with capsys.disabled():
        print(f"\n{first.points:,} points there and back: checksum {first.checksum} in all three")
