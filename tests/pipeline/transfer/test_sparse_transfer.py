"""Sparse vectors of the user's own go through exports, backups and migrations to the bit."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.qdrant_server import qdrant_server
from support.transfer_world import at, raw_points, small_index

from pipeline.settings import Settings
from pipeline.transfer.backup import backup, restore
from pipeline.transfer.export_parquet import export
from pipeline.transfer.import_parquet import import_dataset
from pipeline.transfer.migrate import migrate
from schemas.dataset import point_digest, points_schema, points_table, read_dim, table_points
from schemas.errors import DatasetError
from schemas.points import Point, SparseVector
from workers.indexes.open import open_index

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")

Terms = dict[str, list[tuple[int, float]] | None]


def own_of(points: dict[str, Point]) -> Terms:
    return {
        identity: None
        if point.sparse is None
        else sorted(zip(point.sparse.indices.tolist(), point.sparse.values.tolist(), strict=True))
        for identity, point in points.items()
    }


def read(settings: Settings) -> Terms:
    with closing(open_index(settings.index, None)) as index:
        return own_of({point.id: point for point in index.scan(sparse=True)})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = small_index(tmp_path_factory.mktemp("sparse"))
    rng = np.random.default_rng(0)
    points = sorted(raw_points(settings).values(), key=lambda point: point.id)
    written = []
    for point in points[::2]:
        indices = rng.choice(2**32, 6, replace=False).astype(np.uint32)
        values = rng.standard_normal(6).astype(np.float32)
        written.append(replace(point, sparse=SparseVector(indices, values)))
    with closing(open_index(settings.index, None)) as index:
        index.restore(written)
    return settings


def test_exports_backups_and_migrations_keep_them(world: Settings, tmp_path: Path) -> None:
    before = read(world)
    assert sum(own is not None for own in before.values()) == (len(before) + 1) // 2
    export(world, str(tmp_path / "parquet"))
    imported = at(world, tmp_path / "imported")
    import_dataset(imported, str(tmp_path / "parquet"))
    assert read(imported) == before
    backup(world, str(tmp_path / "backup"))
    restored = at(world, tmp_path / "restored")
    restore(restored, str(tmp_path / "backup"))
    assert read(restored) == before
    with qdrant_server() as server:
        moved = at(world, f"{server.url}/moved")
        assert migrate(world, moved).points == len(before)
        assert read(moved) == before
        back = at(world, tmp_path / "back")
        migrate(moved, back)
        assert read(back) == before


def test_an_export_without_the_columns_is_read(world: Settings) -> None:
    points = sorted(raw_points(world).values(), key=lambda point: point.id)
    dim = len(points[0].vector) if points[0].vector is not None else 0
    table = points_table(points, dim).drop_columns(["sparse_indices", "sparse_values"])
    assert read_dim(table.schema) == dim
    again = list(table_points(table))
    assert all(isinstance(point, Point) and point.sparse is None for point in again)


def test_a_digest_covers_a_sparse_vector_where_there_is_one(world: Settings) -> None:
    point = next(iter(raw_points(world).values()))
    own = SparseVector(np.array([3, 1], np.uint32), np.array([0.5, 2.0], np.float32))
    turned = SparseVector(own.indices[::-1], own.values[::-1])
    other = SparseVector(own.indices, own.values + 1)
    digests = [point_digest(replace(point, sparse=each)) for each in (None, own, turned, other)]
    assert digests[0] == point_digest(point)
    assert digests[1] == digests[2]
    assert len(set(digests)) == 3


def test_a_digest_of_before_is_what_it_was() -> None:
    words = SparseVector(np.array([2, 1], np.uint32), np.array([1.5, 0.25], np.float32))
    point = Point("p", {"area": 7, "uri": "file:///a"}, None, words)
    assert point_digest(point) == 223638510223819090853276872810503547528


@pytest.mark.parametrize(
    ("indices", "values", "why"),
    [
        ([1, 1], [0.5, 0.5], "expected each index once"),
        ([1, 2], [0.5], "expected as many values as indices"),
        ([1], [0.0], "finite and not zero"),
        ([1], [float("nan")], "finite and not zero"),
        ([], [], "expected a term at least"),
        ([1], None, "expected as many values as indices"),
        (None, [1.0], "expected as many values as indices"),
        ([None], [1.0], "sparse_indices, sparse_values"),
        ([1], [None], "finite and not zero"),
    ],
)
def test_a_wrong_one_is_named_by_file_and_row(
    world: Settings,
    tmp_path: Path,
    indices: list[int] | None,
    values: list[float] | None,
    why: str,
) -> None:
    export(world, str(tmp_path / "parquet"))
    file = next((tmp_path / "parquet" / "points" / "kind=image").glob("*.parquet"))
    table = pq.read_table(file, partitioning=None)
    for name, changed in (("sparse_indices", indices), ("sparse_values", values)):
        column = table[name].to_pylist()
        column[1] = changed
        position = table.schema.get_field_index(name)
        field = points_schema(1).field(name)
        table = table.set_column(position, field, pa.array(column, field.type))
    pq.write_table(table, file)
    with pytest.raises(DatasetError, match=why) as caught:
        import_dataset(at(world, tmp_path / "other"), str(tmp_path / "parquet"))
    assert "part-00000.parquet, row 2: sparse_indices, sparse_values: " in str(caught.value)
