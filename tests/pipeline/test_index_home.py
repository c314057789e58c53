"""An index on a server, called by an alias: it has the manifest of the collection it stands for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models
from support import fakes
from support.qdrant_server import QdrantServer, qdrant_server

from pipeline.cli.status_report import gather_report
from pipeline.index_home import IndexHome, manifest_folder
from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.settings import Settings

pytestmark = [
    pytest.mark.trials,
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[QdrantServer]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    fakes.write_images(tmp_path / "images", 4)
    with qdrant_server() as made:
        yield made


def settings_of(server: QdrantServer, name: str) -> Settings:
    settings = fakes.settings(Path("unused"))
    index = settings.index.model_copy(update={"location": f"{server.url}/{name}"})
    return settings.model_copy(update={"index": index})


def add_alias(server: QdrantServer, collection: str, name: str) -> None:
    client = QdrantClient(url=server.url, check_compatibility=False)
    alias = models.CreateAlias(collection_name=collection, alias_name=name)
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    client.close()


def test_an_alias_has_the_manifest_of_its_collection(server: QdrantServer, tmp_path: Path) -> None:
    images, own, alias = (
        str(tmp_path / "images"), settings_of(server, "photos-1"), settings_of(server, "photos"),
    )  # fmt: skip
    assert ingest([images], own, recipe=fakes.recipe(own)).counts.done == 4
    add_alias(server, "photos-1", "photos")
    report = gather_report(alias, [images], 1)
    assert report.fields["images"]["done"] == 4
    assert report.fields["waiting"] == 0
    # Work under either name is work on the same index.
    assert ingest([images], alias, recipe=fakes.recipe(alias)).counts.unchanged == 4
    fakes.write_image(tmp_path / "images" / "new.png", 9)
    assert ingest([images], alias, recipe=fakes.recipe(alias)).counts.done == 1
    assert ingest([images], own, recipe=fakes.recipe(own)).counts.unchanged == 5
    assert verify(alias, [images]).findings == []
    assert IndexHome.current(alias).index.location == own.index.location
    assert IndexHome.current(alias).location == alias.index.location


def test_a_manifest_under_an_aliass_name_is_kept_where_it_is_the_only_one(
    server: QdrantServer, tmp_path: Path
) -> None:
    images, own, alias = (
        str(tmp_path / "images"), settings_of(server, "photos-1"), settings_of(server, "photos"),
    )  # fmt: skip
    ingest([images], own, recipe=fakes.recipe(own))
    add_alias(server, "photos-1", "photos")
    # As it was when an alias had a manifest of its own.
    folders = [manifest_folder(each.index.location) for each in (own, alias)]
    folders[0].rename(folders[1])
    assert ingest([images], alias, recipe=fakes.recipe(alias)).counts.unchanged == 4


def test_an_index_may_be_behind_a_path(server: QdrantServer, tmp_path: Path) -> None:
    images, behind = str(tmp_path / "images"), settings_of(server, "behind/qdrant/photos")
    assert ingest([images], behind, recipe=fakes.recipe(behind)).counts.done == 4
    assert ingest([images], behind, recipe=fakes.recipe(behind)).counts.unchanged == 4
    assert verify(behind, [images]).findings == []
    fields = gather_report(behind, (), 1).fields
    assert fields["index"] == f"{server.url}/behind/qdrant/photos"
    assert fields["images"]["done"] == 4
