"""Tags stay with an object whatever job writes it: ingest, sync, reembed, label, transfers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support import fakes
from support.added_objects import add, searcher_of
from support.qdrant_server import qdrant_server
from support.transfer_world import at

from pipeline.index_home import IndexHome
from pipeline.jobs import carried_tags
from pipeline.jobs.ingest import ingest
from pipeline.jobs.reembed import reembed
from pipeline.jobs.sync import sync
from pipeline.jobs.tag import find_objects, tag_objects
from pipeline.jobs.verify import verify
from pipeline.search.filter_syntax import parse_conditions
from pipeline.settings import Settings
from pipeline.transfer.backup import backup, restore
from pipeline.transfer.export_coco import export_coco
from pipeline.transfer.export_parquet import export
from pipeline.transfer.import_parquet import import_dataset
from pipeline.transfer.migrate import migrate
from schemas.ids import fingerprint
from schemas.tags import TagChange, Tags
from workers.indexes.open import open_index

IMAGES = 3
Shown = dict[tuple[str, str, str], Tags]


class OtherEmbedder(fakes.MeanEmbedder):
    """The same vectors under another name."""

    name = "other"

    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = fingerprint({"embedder": self.name})


@pytest.fixture(params=["folder", "server", "lance"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """An index of a few images."""
    fakes.write_images(tmp_path / "images", IMAGES)
    settings = fakes.settings(tmp_path / "index")
    if request.param == "lance":
        settings = at(settings, f"lance+file://{tmp_path / 'table'}")
    if request.param != "server":
        run(settings, tmp_path)
        yield settings
        return
    with qdrant_server() as server:
        place = {"location": f"{server.url}/photos", "state": str(tmp_path / "state")}
        settings = settings.model_copy(update={"index": settings.index.model_copy(update=place)})
        run(settings, tmp_path)
        yield settings


def run(settings: Settings, folder: Path) -> None:
    ingest([str(folder / "images")], settings, recipe=fakes.recipe(settings))


def give(settings: Settings, condition: str, *tags: str) -> None:
    """Tag all objects that meet a condition."""
    with searcher_of(settings) as searcher:
        ids = list(find_objects(parse_conditions([condition]), searcher))
        assert ids
        done = tag_objects(ids, TagChange.parse(tags, ()), searcher)
        assert (len(done.changed), done.missing) == (len(ids), ())


def tags_in(settings: Settings) -> Shown:
    """Tags by the name of the image, the kind of the point and its mask."""
    with closing(open_index(IndexHome.current(settings).index, None)) as opened:
        payloads = [point.parse_payload() for point in opened.scroll()]
    return {
        (each.key.rpartition("/")[2], each.kind, each.rle.counts if each.rle else ""): each.tags
        for each in payloads
        if each.tags
    }


def test_ingests_and_syncs_keep_them(index: Settings, tmp_path: Path) -> None:
    give(index, "ordinal=0", "red")
    before = tags_in(index)
    assert len(before) == IMAGES
    run(index, tmp_path)
    assert tags_in(index) == before
    # One is recorded as failed, and done again: its objects have the same ids.
    home = IndexHome.current(index)
    row = next(iter(home.manifest.latest()))
    home.manifest.append([replace(row, state=type(row.state).FAILED, retryable=True)])
    home.manifest.flush()
    run(index, tmp_path)
    assert tags_in(index) == before
    (tmp_path / "images" / "001.png").unlink()
    fakes.write_image(tmp_path / "images" / "003.png", 3)
    sync([str(tmp_path / "images")], index, max_delete=0.5, recipe=fakes.recipe(index))
    assert tags_in(index) == {key: tags for key, tags in before.items() if key[0] != "001.png"}
    assert verify(index, [str(tmp_path / "images")]).findings == []


@pytest.mark.parametrize("most", [1, 1000])
def test_another_embedder_leaves_them(
    index: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(carried_tags, "_MOST_TAGS", most)
    added = add(index, tmp_path / "images" / "000.png")
    give(index, "ordinal=1", "red", "to print")
    with searcher_of(index) as searcher:
        whole = next(iter(searcher.index.scroll(parse_conditions(["kind=image"]))))
        ids = [uuid.UUID(added.id), uuid.UUID(whole.id)]
        tag_objects(ids, TagChange.parse(["mine"], ()), searcher)
    before = tags_in(index)
    assert len(before) == IMAGES + 2
    recipe = replace(fakes.recipe(index), embedder=OtherEmbedder)
    assert reembed(index, recipe=recipe).switched
    assert tags_in(index) == before
    with searcher_of(index, OtherEmbedder()) as searcher:
        assert searcher.embedder_name == "other"
        assert searcher.index.count(parse_conditions(["tags=red"])) == IMAGES


def test_transfers_take_them_along(index: Settings, tmp_path: Path) -> None:
    give(index, "ordinal=0", "red", "Grün")
    before = tags_in(index)
    export(index, str(tmp_path / "parquet"))
    backup(index, str(tmp_path / "backup"))
    imported, restored, moved = (
        at(fakes.settings(tmp_path / "x"), place)
        for place in (
            tmp_path / "imported",
            f"lance+file://{tmp_path / 'restored'}",
            tmp_path / "moved",
        )
    )
    import_dataset(imported, str(tmp_path / "parquet"))
    restore(restored, str(tmp_path / "backup"))
    migrate(index, moved)
    assert [tags_in(each) for each in (imported, restored, moved)] == [before] * 3
    export_coco(index, tmp_path / "masks.json")
    written = json.loads((tmp_path / "masks.json").read_text())["annotations"]
    assert sorted(each["tags"] for each in written if "tags" in each) == [["red", "Grün"]] * IMAGES
    assert len(written) == 2 * IMAGES
