"""Ways to damage an index behind its manifest's back, each with what a verification should find.

Each takes an open index and the name of an image that is in it.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import qdrant_edge as edge

from pipeline.manifest.audit import Fault
from pipeline.settings import Settings
from schemas.points import Point
from schemas.records import VECTOR_NAME
from schemas.thumbnails import to_text
from workers.indexes.edge.index import EdgeIndex
from workers.indexes.open import open_index

Damage = Callable[[EdgeIndex, str], None]


def rows_of(index: EdgeIndex, name: str) -> list[Point]:
    """The points of one image, as they can be written again; the image itself first."""
    rows = [
        point
        for point in index.scan()
        if point.vector is not None and str(point.payload["key"]).endswith(name)
    ]
    return sorted(rows, key=lambda row: row.payload["ordinal"])


def altered(row: Point, **payload: object) -> Point:
    return Point(row.id, {**row.payload, **payload}, row.vector)


def new_id() -> str:
    return str(uuid.uuid4())


def lose_one(index: EdgeIndex, name: str) -> None:
    index.delete_points([rows_of(index, name)[1].id])


def lose_all(index: EdgeIndex, name: str) -> None:
    index.delete_points([row.id for row in rows_of(index, name)])


def add_one(index: EdgeIndex, name: str) -> None:
    row = rows_of(index, name)[2]
    index.upsert([Point(new_id(), {**row.payload, "ordinal": 9}, row.vector)])


def change_a_box(index: EdgeIndex, name: str) -> None:
    index.upsert([altered(rows_of(index, name)[1], bbox=[0, 0, 1, 1])])


def change_a_mask(index: EdgeIndex, name: str) -> None:
    row = rows_of(index, name)[1]
    index.upsert([altered(row, rle={**row.payload["rle"], "counts": "0000"})])


def cut_a_mask(index: EdgeIndex, name: str) -> None:
    row = rows_of(index, name)[1]
    index.upsert(
        [altered(row, rle={**row.payload["rle"], "counts": row.payload["rle"]["counts"][:-1]})]
    )


def move_a_box_out(index: EdgeIndex, name: str) -> None:
    index.upsert([altered(rows_of(index, name)[1], bbox=[90, 90, 95, 95])])


def change_what_kind_of_value_it_is(index: EdgeIndex, name: str) -> None:
    index.upsert([altered(rows_of(index, name)[1], area="large")])


def lose_a_field(index: EdgeIndex, name: str) -> None:
    row = rows_of(index, name)[1]
    payload = {field: value for field, value in row.payload.items() if field != "predicted_iou"}
    index.upsert([Point(row.id, payload, row.vector)])


def lose_a_thumbnail(index: EdgeIndex, name: str) -> None:
    row = rows_of(index, name)[1]
    payload = {field: value for field, value in row.payload.items() if field != "thumbnail"}
    index.upsert([Point(row.id, payload, row.vector)])


def show_another_thumbnail(index: EdgeIndex, name: str) -> None:
    row = rows_of(index, name)[1]
    index.upsert([altered(row, thumbnail=to_text(b"another"))])


def lose_all_of_a_thumbnail(index: EdgeIndex, name: str) -> None:
    row = rows_of(index, name)[1]
    payload = {field: value for field, value in row.payload.items() if "thumbnail" not in field}
    index.upsert([Point(row.id, payload, row.vector)])


def no_number(index: EdgeIndex, name: str) -> None:
    row = rows_of(index, name)[1]
    broken = row.vector.copy()
    broken[3] = np.nan
    index.upsert([Point(row.id, row.payload, broken)])


def no_vector(index: EdgeIndex, name: str) -> None:
    row = rows_of(index, name)[1]
    index._shard.update(edge.UpdateOperation.delete_vectors([row.id], [VECTOR_NAME]))


def bring_back_an_old_generation(index: EdgeIndex, name: str) -> None:
    index.upsert(
        [
            Point(new_id(), {**row.payload, "generation": "0" * 32}, row.vector)
            for row in rows_of(index, name)
        ]
    )


def bring_another_image(index: EdgeIndex, name: str) -> None:
    row = rows_of(index, name)[0]
    other = {"image_id": new_id(), "uri": "s3://elsewhere/x.jpg"}
    index.upsert([Point(new_id(), {**row.payload, **other}, row.vector)])


def bring_what_is_not_ours(index: EdgeIndex, name: str) -> None:
    vector = rows_of(index, name)[0].vector
    index.upsert([Point(new_id(), {"colour": "red"}, vector)])


DAMAGES: list[tuple[Damage, Fault, int]] = [
    (lose_one, Fault.MISSING, 1),
    (lose_all, Fault.MISSING, 3),
    (add_one, Fault.EXTRA, 1),
    (change_a_box, Fault.ALTERED, 0),
    (move_a_box_out, Fault.BROKEN, 1),
    (cut_a_mask, Fault.BROKEN, 1),
    (change_a_mask, Fault.BROKEN, 1),
    (change_what_kind_of_value_it_is, Fault.ALTERED, 1),
    (lose_a_field, Fault.ALTERED, 0),
    (lose_a_thumbnail, Fault.NO_THUMBNAIL, 1),
    (show_another_thumbnail, Fault.FOREIGN_THUMBNAIL, 1),
    (lose_all_of_a_thumbnail, Fault.ALTERED, 0),
    (no_number, Fault.NOT_FINITE, 1),
    (no_vector, Fault.NOT_FINITE, 1),
    (bring_back_an_old_generation, Fault.STALE, 3),
    (bring_another_image, Fault.EXTRA, 1),
    (bring_what_is_not_ours, Fault.EXTRA, 1),
]
"""Each with the fault that it is, and how many points that concerns; each image has three."""


def do(damage: Damage, settings: Settings, name: str) -> None:
    """Open the index of `settings`, damage it and make that durable."""
    index = open_index(settings.index, None)
    assert isinstance(index, EdgeIndex)
    with index:
        damage(index, name)
        index.flush()


def tear_the_log(settings: Settings, aside: Path) -> None:
    """What a crash leaves whose last points are in the log alone, one byte of which is wrong."""
    folder = Path(settings.index.location)
    index = open_index(settings.index, None)
    assert isinstance(index, EdgeIndex)
    with index:
        rows = [point for point in index.scan() if point.vector is not None]
        index.delete_points([row.id for row in rows])
        index.upsert(rows)
        shutil.copytree(folder, aside)
    shutil.rmtree(folder)
    aside.rename(folder)
    log = folder / "points" / "wal" / "open-1"
    content = bytearray(log.read_bytes())
    used = int(np.flatnonzero(np.frombuffer(content, np.uint8))[-1])
    content[used * 9 // 10] ^= 0xFF
    log.write_bytes(content)
