"""What is shown of imported images: of no known size, without masks, or without a point."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from starlette.testclient import TestClient
from support import vector_files, vector_world
from support.service_world import BASE, OWNER

from pipeline.drawing.search_sheet import draw_sheet
from pipeline.python_api.index import Index
from pipeline.search.kept_pictures import PictureSource
from pipeline.search.searcher import Searcher
from pipeline.service.app import build_app
from pipeline.settings import Settings
from schemas.errors import UnknownModelError, UsageError
from schemas.search import ObjectExample, SearchQuery, TextExample
from workers.images.header import read_size
from workers.indexes.open import open_index

_WHOLE, _BOX, _LONE, _WEB = range(4)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An image that has a point as a whole, one of an object alone, and one of the web.

    TIFF, so that no header tells how large they are.
    """
    for name, colour in (("a", (200, 30, 30)), ("b", (30, 30, 200))):
        Image.new("RGB", (60, 40), colour).save(tmp_path / f"{name}.tif")
    rows = pa.table(
        {
            "uri": [str(tmp_path / "a.tif")] * 2
            + [str(tmp_path / "b.tif"), "https://images.test/c.jpg"],
            "embedding": list(vector_files.unit_rows(4)),
            "bbox": [None, [10, 5, 30, 25], [0, 0, 200, 30], None],
            "name": ["whole", "box", "lone", "web"],
        }
    )
    made = vector_world.settings(tmp_path / "index")
    vector_world.bring(made, vector_files.write_parquet(tmp_path / "v.parquet", rows))
    return made


@contextmanager
def asked(settings: Settings) -> Iterator[TestClient]:
    searcher = Searcher(open_index(settings.index, None), None, settings)
    app = build_app(searcher, settings, OWNER)
    with TestClient(app, base_url=BASE, client=("127.0.0.1", 50000)) as client:
        client.headers["Authorization"] = f"Bearer {OWNER}"
        yield client


def ids(settings: Settings) -> list[tuple[str, str]]:
    """The ids of the points and of their images, in the order of the rows."""
    names = ("whole", "box", "lone", "web")
    points = {each.payload["own"]["name"]: each for each in vector_world.points(settings)}
    return [(points[name].id, points[name].payload["image_id"]) for name in names]


def size_of(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


def test_the_service_shows_them(settings: Settings) -> None:
    points = ids(settings)
    with asked(settings) as client:
        crops = [client.get(f"/v1/objects/{each[0]}/crop.jpg?size=64") for each in points]
        assert [each.status_code for each in crops[:3]] == [200, 200, 200]
        assert size_of(crops[_WHOLE].content) == (64, 43)
        # A box that leaves its image is cut off at the edge.
        assert size_of(crops[_LONE].content) == (64, 43)
        assert crops[_WEB].status_code >= 400
        assert "those of the web are not fetched" in crops[_WEB].json()["detail"]
        image = client.get(f"/v1/images/{points[_WHOLE][1]}").json()
        assert [image["payload"][name] for name in ("width", "height")] == [60, 40]
        assert [each["payload"]["bbox"] for each in image["objects"]] == [[10, 5, 30, 25]]
        lone = client.get(f"/v1/images/{points[_LONE][1]}").json()
        assert lone["payload"]["kind"] == "object"
        assert [each["payload"]["bbox"] for each in lone["objects"]] == [[0, 0, 60, 30]]
        preview = client.get(f"/v1/images/{points[_LONE][1]}/preview.jpg?masks=true")
        assert size_of(preview.content) == (60, 40)
        web = client.get(f"/v1/images/{points[_WEB][1]}").json()
        assert (web["payload"]["uri"], web["payload"]["width"]) == ("https://images.test/c.jpg", 0)
        mask = client.get(f"/v1/objects/{points[_BOX][0]}/mask.png")
        assert "the size of an image" in mask.json()["detail"]


def test_a_vector_searches_through_the_service(settings: Settings) -> None:
    vector, points = vector_files.unit_rows(4)[_BOX].tolist(), ids(settings)
    with asked(settings) as client:
        found = client.post("/v1/search", json={"vector": vector}).json()
        assert found["hits"][0]["object_id"] == points[_BOX][0]
        assert found["hits"][0]["payload"]["own"] == {"name": "box"}
        wrong = client.post("/v1/search", json={"vector": [1.0, 2.0]})
        assert wrong.status_code == 422
        assert "a vector of 8 numbers, as those of the index, got 2" in wrong.json()["detail"]
        zero = client.post("/v1/search", json={"vector": [0.0] * 8})
        assert zero.status_code == 422


def test_a_sheet_shows_them(settings: Settings) -> None:
    vector = tuple(vector_files.unit_rows(4)[0].tolist())
    query = SearchQuery(vector=vector, kind=None, limit=4)
    with Searcher.open(settings) as searcher:
        hits = searcher.search(query).hits
        assert len(hits) == 4
        source = PictureSource.of_index(searcher.index, settings)
        sheet = draw_sheet(query, hits, settings, searcher.embedder_name, source, None)
    pixels = np.asarray(sheet.picture).reshape(-1, 3).astype(int)
    for colour in ((200, 30, 30), (30, 30, 200)):
        assert (np.abs(pixels - colour).max(axis=1) < 12).sum() > 1000


def test_texts_cannot_be_searched_where_nobody_knows_the_embedder(settings: Settings) -> None:
    like = ObjectExample(object_id=ids(settings)[_BOX][0])
    with Searcher.open(settings) as searcher:
        with pytest.raises(UnknownModelError, match=r"made by 'own', which objseek has not"):
            searcher.search(SearchQuery(positive=(TextExample(text="a cat"),)))
        (first, *_) = searcher.search(SearchQuery(positive=(like,))).hits
        assert first.payload.own == {"name": "lone"}


def test_python_searches_with_a_vector(settings: Settings) -> None:
    with Index.connect(settings.index.location, None, {}) as index:
        hits = index.search(vector=vector_files.unit_rows(4)[_LONE], filter="own.name^=lo")
        assert [hit.payload.own for hit in hits] == [{"name": "lone"}]
        assert hits[0].crop().shape == (30, 60, 3)
        with pytest.raises(UsageError, match="a vector of 8 numbers"):
            index.search(vector=[1.0])


def test_headers_tell_the_size_of_an_image_as_it_is_shown(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg", exif=turned)
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    Image.new("RGB", (60, 40)).save(tmp_path / "a.tif")
    assert read_size(str(tmp_path / "a.jpg")) == (60, 40)
    assert read_size(str(tmp_path / "a.png")) == (40, 60)
    assert read_size(str(tmp_path / "a.tif")) is None
    (tmp_path / "a.bmp").write_bytes(b"BM")
    assert read_size(str(tmp_path / "a.bmp")) is None
    assert read_size(str(tmp_path / "nowhere.png")) is None
