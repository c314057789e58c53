"""What the tests of added objects share: images, and indexes of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import fakes
from support.added_objects import IMAGES, run
from support.qdrant_server import qdrant_server

from pipeline.index_home import IndexHome
from pipeline.settings import Settings


@pytest.fixture
def images(tmp_path: Path) -> Path:
    fakes.write_images(tmp_path / "images", IMAGES)
    return tmp_path / "images"


@pytest.fixture(params=["folder", "server"])
def settings(request: pytest.FixtureRequest, images: Path, tmp_path: Path) -> Iterator[Settings]:
    """Of an index with all of the images, of either kind."""
    made = fakes.settings(tmp_path / "index")
    if request.param == "folder":
        run(images, made)
        yield made
        return
    with qdrant_server() as server:
        place = {"location": f"{server.url}/photos", "state": str(tmp_path / "state")}
        made = made.model_copy(update={"index": made.index.model_copy(update=place)})
        run(images, made)
        yield made


@pytest.fixture
def folder(images: Path, tmp_path: Path) -> Settings:
    """Of an index in a folder."""
    made = fakes.settings(tmp_path / "index")
    run(images, made)
    return made


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on its way to a server is judged at once."""
    monkeypatch.setattr(IndexHome, "is_shared", False)
