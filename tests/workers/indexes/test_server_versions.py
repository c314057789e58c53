"""Servers of several versions, collections of others, and answers that Qdrant does not give."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest
from qdrant_client import QdrantClient, models
from support.index_cases import DIM, embedded, held, ids_of, options_for, unit, where
from support.loopback_server import running_server
from support.qdrant_server import BEHIND, QdrantServer, qdrant_server

from pipeline.index_home import manifest_folder
from schemas.errors import IndexUnavailableError, UsageError, VectorIndexError
from schemas.points import IndexQuery
from schemas.records import VECTOR_NAME, WORDS_NAME
from workers.indexes.open import generations_of, open_index
from workers.indexes.point_index import PointIndex
from workers.indexes.server import connection
from workers.indexes.server import index as server_index
from workers.indexes.server import opening as server_opening

pytestmark = [
    pytest.mark.trials,
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
]
KEYS = ["2026/a.jpg", "2026/ä.jpg", "2026%/b.jpg", "2025/a.jpg", "20", "2026"]


def opened(server: QdrantServer, *, create: bool = True) -> PointIndex:
    index = open_index(options_for(f"{server.url}/objects"), DIM, create=create)
    assert isinstance(index, PointIndex)
    return index


def filled(server: QdrantServer) -> PointIndex:
    index = opened(server)
    index.replace_images([embedded(key, unit(n, 3)) for n, key in enumerate(KEYS)])
    return index


@pytest.mark.parametrize("version", ["1.15.5", "1.9.2", "0.11.0", "1.0.0", "v1.15.0"])
def test_a_server_without_a_fence_is_refused(version: str) -> None:
    with qdrant_server(version) as server:
        for create in (True, False):
            with pytest.raises(UsageError) as caught:
                opened(server, create=create)
        operations = {request.operation for request in server.requests}
    assert str(caught.value) == (
        f"expected a Qdrant server of version 1.16 or newer at {server.url}, got {version}: it "
        "ignores `update_filter`, which keeps two runs from overwriting each other"
    )
    assert operations == {"GET /exists"}


@pytest.mark.parametrize("version", ["1.16.0", "1.18.3", "1.19.0", "1.20.0-dev", "2.0.0"])
@pytest.mark.parametrize(
    "prefix", ["2026/", "2026", "", "2026/ä", "2026%", "2027", "2026/a.jpg", "2026/A"]
)
def test_beginnings_of_keys_are_found_by_any_server(version: str, prefix: str) -> None:
    expected = {key for key in KEYS if key.startswith(prefix)}
    condition = where("key", "^=", prefix)
    with qdrant_server(version) as server, filled(server) as index:
        assert index.count([condition]) == 3 * len(expected)
        assert {point.payload["key"] for point in index.scroll([condition])} == expected
        hits = index.search(IndexQuery(unit(0, 1)[0], 99, (condition,)))
        assert {hit.payload.key for hit in hits} == expected
        assert {entry.value for entry in index.facet("key", [condition])} == expected
        both = [condition, where("key", "!=", "2026/a.jpg"), where("kind", "=", "image")]
        assert index.count(both) == len(expected - {"2026/a.jpg"})
        twice = [condition, where("bucket", "^=", "pho")]
        assert index.count(twice) == 3 * len(expected)
        assert index.count([condition, where("bucket", "^=", "vid")]) == 0


def test_a_server_is_asked_for_its_version_once() -> None:
    asked: list[str] = []

    def read_version(client: QdrantClient) -> object:
        asked.append("")
        return original(client)

    original = QdrantClient.info
    with qdrant_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(QdrantClient, "info", read_version)
        with filled(server) as index:
            index.search(IndexQuery(unit(0, 1)[0], 3))
            index.info()
    assert len(asked) == 1


def test_too_many_values_to_look_through_need_a_newer_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_index, "_MOST_WITH_PREFIX", 2)
    with qdrant_server("1.18.3") as server, filled(server) as index:
        assert index.count([where("key", "^=", "2025")]) == 3
        with pytest.raises(UsageError, match=r"version 1\.19 or newer at .*'key'.*got 1\.18\.3$"):
            index.count([where("key", "^=", "20")])


def test_a_page_of_a_scroll_looks_the_values_up_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_index, "PAGE", 2)
    with qdrant_server("1.18.3") as server, filled(server) as index:
        server.requests.clear()
        assert len(list(index.scroll([where("key", "^=", "2026")]))) == 12
        operations = [request.operation for request in server.requests]
    assert operations.count("POST /facet") == 1
    assert operations.count("POST /points/scroll") > 5


def test_a_server_that_tells_no_version_is_taken_for_a_new_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO), qdrant_server("") as server, filled(server) as index:
        assert index.count([where("key", "^=", "2026/")]) == 6
    (record,) = [record for record in caplog.records if record.name == connection.__name__]
    assert "to tell its version, got status 404" in record.getMessage()


def test_a_server_may_be_behind_a_path() -> None:
    with qdrant_server() as server, filled(server) as index:
        location = f"{server.url}/{BEHIND}/objects"
        with open_index(options_for(location), DIM) as same:  # type: ignore[attr-defined]
            assert held(same) == held(index)
        generations = generations_of(options_for(location))
        assert generations.names() == ["first"]
        assert generations.location("first") == location
        assert generations.location("b") == f"{location}.generation-b"
        assert manifest_folder(location) != manifest_folder(f"{server.url}/objects")
        with pytest.raises(VectorIndexError, match=f"{BEHIND}/no"):
            open_index(options_for(f"{server.url}/{BEHIND}/no/objects"), DIM)


@pytest.mark.parametrize("name", [".", ".."])
def test_a_step_in_a_path_is_no_collection(name: str) -> None:
    with pytest.raises(UsageError, match=r"expected a collection at http://q:6333, got '\.+'"):
        open_index(options_for(f"http://q:6333/{name}"), DIM, create=True)


def vector_params(**changes: object) -> models.VectorParams:
    plain = {"size": DIM, "distance": models.Distance.COSINE}
    return models.VectorParams.model_validate({**plain, **changes})


IDF = models.SparseVectorParams(modifier=models.Modifier.IDF)
SEVERAL = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)


@pytest.mark.parametrize(
    ("vector", "words", "why"),
    [
        (vector_params(distance="Dot"), IDF, "compares its vectors by Dot, an index of objseek by"),
        (vector_params(distance="Euclid"), IDF, "compares its vectors by Euclid"),
        (vector_params(distance="Manhattan"), IDF, "compares its vectors by Manhattan"),
        (vector_params(multivector_config=SEVERAL), IDF, "has several vectors a point"),
        (vector_params(datatype="uint8"), IDF, "keeps its vectors as whole numbers"),
        (vector_params(), models.SparseVectorParams(), "counts every word alike"),
    ],
)
def test_a_collection_that_would_rank_otherwise_is_refused(
    vector: models.VectorParams, words: models.SparseVectorParams, why: str
) -> None:
    client = QdrantClient(":memory:")
    client.create_collection(
        "theirs", vectors_config={VECTOR_NAME: vector}, sparse_vectors_config={WORDS_NAME: words}
    )
    for create in (True, False):
        with pytest.raises(UsageError) as caught:
            server_opening.build(options_for("http://q/theirs"), DIM, create=create, client=client)
        assert str(caught.value).startswith(f"the collection 'theirs' at http://q:6333 {why}")
    client.close()


@pytest.mark.parametrize("datatype", [None, "float32", "float16"])
def test_a_collection_that_fits_is_taken(datatype: str | None) -> None:
    client = QdrantClient(":memory:")
    vectors = {VECTOR_NAME: vector_params(datatype=datatype)}
    client.create_collection("ours", vectors_config=vectors)
    index = server_opening.build(options_for("http://q/ours"), DIM, create=True, client=client)
    assert not index.has_words()
    index.close()


OWN = embedded("a.jpg", unit(0, 2))
PAYLOAD = {"kind": "object", "image_id": "7e2a6b3a-fccd-4c4e-a433-57d8ac55b201"}


@pytest.mark.parametrize(
    ("identity", "payload"),
    [
        (5, {}),
        (0, PAYLOAD),
        (2**63, PAYLOAD),
        ("7e2a6b3a-fccd-4c4e-a433-57d8ac55b202", {}),
        ("7e2a6b3a-fccd-4c4e-a433-57d8ac55b203", PAYLOAD),
        ("7e2a6b3a-fccd-4c4e-a433-57d8ac55b204", {"image_id": None}),
        ("7e2a6b3a-fccd-4c4e-a433-57d8ac55b205", {"image_id": 7}),
        ("7e2a6b3a-fccd-4c4e-a433-57d8ac55b206", {"image_id": ["a"]}),
        ("7e2a6b3a-fccd-4c4e-a433-57d8ac55b207", {"image_id": {}}),
        ("7e2a6b3a-fccd-4c4e-a433-57d8ac55b208", {**PAYLOAD, "kind": "thing"}),
        ("7e2a6b3a-fccd-4c4e-a433-57d8ac55b209", {**PAYLOAD, "bbox": [1, 2]}),
        ("7e2a6b3a-fccd-4c4e-a433-57d8ac55b210", {**PAYLOAD, "ingested_at": "soon"}),
        ("7e2a6b3a-fccd-4c4e-a433-57d8ac55b211", {"labels": "cat", "run_started_at": 5}),
    ],
)
@pytest.mark.parametrize(
    "ask",
    [
        {},
        {"group_size": 1},
        {"group_size": 2},
        {"max_overlap": 0.5},
        {"diversity": 0.5},
        {"diversity": 0.5, "group_size": 1},
    ],
)
def test_points_of_others_are_no_hits_and_end_no_search(
    identity: int | str, payload: dict[str, object], ask: dict[str, float]
) -> None:
    client = QdrantClient(":memory:")
    index = server_opening.build(options_for("http://q/mixed"), DIM, create=True, client=client)
    index.replace_images([OWN])
    theirs = models.PointStruct(id=identity, vector={VECTOR_NAME: [1.0] * DIM}, payload=payload)
    client.upsert("mixed", [theirs])
    query = IndexQuery(unit(0, 1)[0], 9, **ask)  # type: ignore[arg-type]
    found = index.search(query)
    assert {str(hit.object_id) for hit in found} <= ids_of(OWN)
    assert found
    # What an ingest and a verification need goes on.
    assert index.replace_images([OWN]) == set()
    assert held(index) == {*ids_of(OWN), str(identity)}
    index.delete_points([str(identity)])
    assert held(index) == ids_of(OWN)
    index.close()


@contextmanager
def answering(respond: Callable[[str], tuple[int, bytes]]) -> Iterator[str]:
    """The address of a server that answers each path so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = respond(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    with running_server(Handler) as endpoint:
        yield endpoint


ODD = [
    (200, b""), (200, b"null"), (200, b"[]"), (200, b"{}"), (200, b"5"), (200, b'"text"'),
    (200, b"<html>down for maintenance</html>"), (200, b"\xff\xfe"), (200, b'{"result":'),
    (200, b'{"result": null}'), (200, b'{"result": []}'), (200, b'{"result": {"points": 5}}'),
    (200, b'{"result": {"exists": "perhaps"}}'), (201, b""), (202, b"no"), (204, b""),
    (301, b""), (302, b"moved"), (418, b"a teapot"), (500, b"<html>"), (502, b""), (504, b"\xff"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), ODD)
def test_an_answer_that_qdrant_does_not_give_is_one_sentence(status: int, body: bytes) -> None:
    with answering(lambda path: (status, body)) as url:
        options = options_for(f"{url}/objects").model_copy(update={"retry_budget_s": 0})
        with pytest.raises(VectorIndexError, match=url) as caught:
            open_index(options, DIM)
        assert "\n" not in str(caught.value)
        with pytest.raises(VectorIndexError, match=url) as caught:
            generations_of(options).current()
        assert "\n" not in str(caught.value)


VERSIONS = [
    (b"null", True), (b"<html>", True), (b"", True), (b'{"title": "qdrant"}', True),
    (b'{"title": "q", "version": ""}', True), (b'{"title": "q", "version": "newest"}', True),
    (b'{"title": "q", "version": null}', True), (b'{"title": "q", "version": 1.18}', True),
    (b'{"title": "q", "version": "1"}', True), (b'{"title": "q", "version": "1.18.3"}', False),
    (b'{"title": "q", "version": "1.19.0"}', True), (b'{"title": "q", "version": "1.18"}', False),
    (b'{"title": "q", "version": "1.16.2-dev+x"}', False),
]  # fmt: skip


@pytest.mark.parametrize(("body", "has_prefixes"), VERSIONS)
def test_a_version_is_read_however_it_is_told(body: bytes, has_prefixes: bool) -> None:
    with answering(lambda path: (200, body)) as url:
        address = server_opening.server_address(f"{url}/objects")
        client = connection.connect(address, options_for(f"{url}/objects"))
        assert connection.read_features(client, address).has_prefixes is has_prefixes
        client.close()


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_that_is_too_busy_for_its_version_is_no_new_one(status: int) -> None:
    def respond(path: str) -> tuple[int, bytes]:
        if path == "/":
            return status, b"busy"
        return 200, json.dumps({"result": {"exists": True}}).encode()

    with answering(respond) as url, pytest.raises(IndexUnavailableError, match=str(status)):
        open_index(options_for(f"{url}/objects"), DIM)


def test_an_alias_is_the_collection_that_it_stands_for() -> None:
    with qdrant_server() as server, filled(server):
        client = QdrantClient(url=server.url, check_compatibility=False)
        alias = models.CreateAlias(collection_name="objects", alias_name="pictures")
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
        client.close()
        generations = generations_of(options_for(f"{server.url}/pictures"))
        assert generations.location("first") == f"{server.url}/objects"
        assert generations.location("b") == f"{server.url}/objects.generation-b"
        assert generations.names() == ["first"]
        assert generations.current() == "first"
        own = generations_of(options_for(f"{server.url}/objects"))
        assert own.location("first") == f"{server.url}/objects"
