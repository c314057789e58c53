"""An ingest by an inventory and one by a listing agree on what is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import fakes
from support.inventories import entries_of, inventory_files
from support.s3_server import S3Server, moto_server

from pipeline.jobs.ingest import ingest
from pipeline.jobs.sync import sync
from pipeline.settings import Settings
from schemas.counts import IngestCounts
from schemas.errors import UsageError
from workers.stores.inventory.manifest import InventoryFormat


@dataclass
class World:
    """A bucket of four images, another of its inventories, and an index of the former."""

    server: S3Server
    settings: Settings
    bucket: str
    inventories: str

    def take_inventory(self, format: InventoryFormat) -> str:
        """The source of a new inventory of the bucket as it is."""
        entries = entries_of(self.server.client, self.bucket)
        for key, body in inventory_files(self.bucket, format, [entries[2:], entries[:2]]).items():
            self.server.client.put_object(Bucket=self.inventories, Key=key, Body=body)
        return f"inventory+s3://{self.inventories}/inventories"

    def put(self, key: str, number: int, folder: Path) -> None:
        body = fakes.write_image(folder / "one.png", number).read_bytes()
        self.server.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def ingest(self, source: str) -> IngestCounts:
        return ingest([source], self.settings, recipe=fakes.recipe(self.settings)).counts


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with moto_server() as server:
        settings = fakes.settings(tmp_path / "index")
        store = settings.store.model_copy(update={"endpoint_url": server.endpoint_url})
        settings = settings.model_copy(update={"store": store})
        made = World(server, settings, server.make_bucket(), server.make_bucket())
        for number in range(4):
            made.put(f"2026/{number}.png", number, tmp_path)
        yield made


@pytest.mark.parametrize("format", ["Parquet", "ORC", "CSV"])
def test_what_one_has_done_the_other_leaves_alone(world: World, format: InventoryFormat) -> None:
    inventory = world.take_inventory(format)
    first = world.ingest(f"s3://{world.bucket}/2026/0")
    assert (first.done, first.unchanged) == (1, 0)
    second = world.ingest(inventory)
    assert (second.listed, second.done, second.unchanged) == (4, 3, 1)
    third = world.ingest(f"s3://{world.bucket}")
    assert (third.listed, third.done, third.unchanged) == (4, 0, 4)


def test_what_has_changed_since_is_not_taken_for_what_was_listed(
    world: World, tmp_path: Path
) -> None:
    inventory = world.take_inventory("Parquet")
    world.server.client.delete_object(Bucket=world.bucket, Key="2026/0.png")
    world.put("2026/1.png", 77, tmp_path)
    counts = world.ingest(inventory)
    assert (counts.listed, counts.gone) == (4, 1)
    by_listing = world.ingest(f"s3://{world.bucket}")
    assert (by_listing.listed, by_listing.done + by_listing.unchanged) == (3, 3)
    assert len({payload["image_id"] for payload, _ in fakes.points(world.settings).values()}) == 3


def test_an_inventory_removes_nothing(world: World) -> None:
    inventory = world.take_inventory("CSV")
    world.ingest(f"s3://{world.bucket}")
    with pytest.raises(UsageError, match="cannot show which images are no longer there"):
        sync([inventory], world.settings, recipe=fakes.recipe(world.settings))
