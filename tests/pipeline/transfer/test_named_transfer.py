"""Named vectors of the user's own go through exports, backups and migrations."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.index_cases import unit
from support.qdrant_server import qdrant_server
from support.transfer_world import at, raw_points, small_index

from pipeline.index_home import IndexHome
from pipeline.settings import Settings
from pipeline.transfer.backup import backup, restore
from pipeline.transfer.export_parquet import export
from pipeline.transfer.import_parquet import import_dataset
from pipeline.transfer.migrate import migrate
from schemas.dataset import point_digest
from schemas.errors import DatasetError
from schemas.records import Float32Vector
from workers.indexes.open import open_index

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")

DIMS = {"title": 3, "poster": 7}
Named = dict[str, dict[str, Float32Vector]]


def read(settings: Settings) -> Named:
    with closing(open_index(settings.index, None)) as index:
        assert index.named_dims() == DIMS
        return {point.id: dict(point.named_vectors) for point in index.scan(named=True)}


def assert_same(found: Named, wanted: Named) -> None:
    assert {each: set(named) for each, named in found.items()} == {
        each: set(named) for each, named in wanted.items()
    }
    for each, named in wanted.items():
        for name, vector in named.items():
            np.testing.assert_allclose(found[each][name], vector, atol=1e-6)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = small_index(tmp_path_factory.mktemp("named"))
    points = sorted(raw_points(settings).values(), key=lambda point: point.id)
    titles, posters = (unit(1, len(points), dim) for dim in DIMS.values())
    written = [
        replace(
            point,
            named_vectors={"title": titles[number]}
            | ({"poster": posters[number]} if number % 4 == 0 else {}),
        )
        for number, point in enumerate(points)
        if number % 2 == 0
    ]
    dim = len(points[0].vector) if points[0].vector is not None else 0
    with IndexHome.current(settings).points(create_for=dim, named=DIMS) as index:
        index.restore(written)
    return settings


@pytest.mark.parametrize("kind", ["folder", "lance"])
def test_exports_backups_and_migrations_keep_them(
    world: Settings, tmp_path: Path, kind: str
) -> None:
    def place(name: str) -> Settings:
        folder = tmp_path / name
        return at(world, folder if kind == "folder" else f"lance+file://{folder}")

    before = read(world)
    assert [len(named) for _, named in sorted(before.items())][:5] == [2, 0, 1, 0, 2]
    export(world, str(tmp_path / "parquet"))
    imported = place("imported")
    import_dataset(imported, str(tmp_path / "parquet"))
    assert_same(read(imported), before)
    backup(imported, str(tmp_path / "backup"))
    restored = place("restored")
    restore(restored, str(tmp_path / "backup"))
    assert_same(read(restored), before)
    moved = place("moved")
    assert migrate(restored, moved).points == len(before)
    assert_same(read(moved), before)


def test_a_server_keeps_them(world: Settings, tmp_path: Path) -> None:
    before = read(world)
    with qdrant_server() as server:
        moved = at(world, f"{server.url}/moved")
        migrate(world, moved)
        assert_same(read(moved), before)
        back = at(world, tmp_path / "back")
        migrate(moved, back)
        assert_same(read(back), before)


def test_a_digest_tells_which_of_them_a_point_has(world: Settings) -> None:
    point = next(iter(raw_points(world).values()))
    digests = {
        point_digest(replace(point, named_vectors=dict.fromkeys(names, unit(1, 1, 3)[0])))
        for names in ((), ("title",), ("poster",), ("title", "poster"))
    }
    assert len(digests) == 4
    assert point_digest(point) in digests


@pytest.mark.parametrize("wrong", [[0.0, 0.0, 0.0], [float("nan"), 1.0, 0.0]])
def test_a_wrong_one_is_named_by_file_and_row(
    world: Settings, tmp_path: Path, wrong: list[float]
) -> None:
    export(world, str(tmp_path / "parquet"))
    file = next((tmp_path / "parquet" / "points" / "kind=image").glob("*.parquet"))
    table = pq.read_table(file, partitioning=None)
    column = table["vector_title"].to_pylist()
    column[1] = wrong
    position = table.schema.get_field_index("vector_title")
    field = table.schema.field(position)
    pq.write_table(table.set_column(position, field, pa.array(column, field.type)), file)
    with pytest.raises(DatasetError, match="row 2: vector_title: expected a finite vector other"):
        import_dataset(at(world, tmp_path / "other"), str(tmp_path / "parquet"))


def test_files_of_two_lengths_are_refused(world: Settings, tmp_path: Path) -> None:
    export(world, str(tmp_path / "parquet"))
    file = next((tmp_path / "parquet" / "points" / "kind=object").glob("*.parquet"))
    table = pq.read_table(file, partitioning=None).drop_columns(["vector_title"])
    longer = pa.array([None] * table.num_rows, pa.list_(pa.float32(), 4))
    pq.write_table(table.append_column("vector_title", longer), file)
    with pytest.raises(DatasetError, match=r"expected vectors 'title' of \d numbers, got \d"):
        import_dataset(at(world, tmp_path / "other"), str(tmp_path / "parquet"))
