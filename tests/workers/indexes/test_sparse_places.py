"""Where indexes keep sparse vectors: made when needed, or told to be missing in one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from support.index_cases import DIM, embedded, make_opener, options_for, unit
from support.qdrant_server import qdrant_server

from schemas.errors import UsageError
from schemas.points import IndexQuery, SparseVector
from schemas.records import SPARSE_NAME, VECTOR_NAME, WORDS_NAME
from workers.indexes.point_index import PointIndex
from workers.indexes.server import opening as server_opening

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")

IDF = models.SparseVectorParams(modifier=models.Modifier.IDF)
NONE_HERE = "expected an index with sparse vectors to search by one, this has none"


def sparse(terms: Mapping[int, float]) -> SparseVector:
    return SparseVector(np.array([*terms], np.uint32), np.array([*terms.values()], np.float32))


def write_sparse(index: PointIndex) -> str:
    """Put an image of two points in, of which the first has a sparse vector; its id."""
    index.replace_images([embedded("a.jpg", unit(0, 2))])
    first = min(index.scan(words=True), key=lambda point: point.id)
    index.restore([replace(first, sparse=sparse({4: 0.5}))])
    return first.id


def find(index: PointIndex, vector: bool = False) -> list[tuple[str, float]]:
    dense = unit(1, 1)[0] if vector else None
    hits = index.search(IndexQuery(dense, 5, sparse=sparse({4: 2.0})))
    return [(hit.object_id, hit.score) for hit in hits]


def places(shard: Path) -> object:
    return json.loads((shard / "edge_config.json").read_bytes())["sparse_vectors"]


def test_a_folder_gets_its_place_with_the_first_sparse_vector(tmp_path: Path) -> None:
    opened, _ = make_opener("edge", tmp_path)
    shard = tmp_path / "index" / "points"
    with opened() as index:
        assert not index.has_sparse()
        index.replace_images([embedded("a.jpg", unit(0, 2))])
        assert not index.has_sparse()
        assert places(shard) == {WORDS_NAME: {"modifier": "idf"}}
        for vector in (True, False):
            with pytest.raises(UsageError) as caught:
                find(index, vector)
            assert str(caught.value) == NONE_HERE
        assert [point.sparse for point in index.scan(sparse=True)] == [None, None]
        identity = write_sparse(index)
        assert index.has_sparse()
        assert find(index) == [(identity, 1.0)]
    assert places(shard) == {WORDS_NAME: {"modifier": "idf"}, SPARSE_NAME: {"modifier": "none"}}
    with opened(None, create=False) as index:
        assert index.has_sparse()
        assert find(index) == [(identity, 1.0)]
        assert len(index.search(IndexQuery(unit(1, 1)[0], 5))) == 2


def test_a_collection_of_before_gets_its_place_when_it_is_written_to() -> None:
    client = QdrantClient(":memory:")
    vectors = {VECTOR_NAME: models.VectorParams(size=DIM, distance=models.Distance.COSINE)}
    client.create_collection("old", vectors_config=vectors, sparse_vectors_config={WORDS_NAME: IDF})
    before = server_opening.build(options_for("http://q/old"), DIM, client=client)
    before.replace_images([embedded("a.jpg", unit(0, 2))])
    assert not before.has_sparse()
    with pytest.raises(UsageError) as caught:
        find(before)
    assert str(caught.value) == NONE_HERE
    with pytest.raises(UsageError, match="'old' at http://q:6333 has no place for sparse vectors"):
        write_sparse(before)
    after = server_opening.build(options_for("http://q/old"), DIM, create=True, client=client)
    assert after.has_sparse()
    identity = write_sparse(after)
    assert find(after) == [(identity, 1.0)]
    client.close()


@pytest.mark.trials
def test_a_server_that_cannot_add_a_vector_goes_on_without() -> None:
    with qdrant_server("1.16.0") as server:
        vectors = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
        server.make_collection("old", {VECTOR_NAME: vectors}, {WORDS_NAME: IDF})
        with server_opening.build(options_for(f"{server.url}/old"), DIM, create=True) as index:
            assert not index.info().has_sparse
            index.replace_images([embedded("a.jpg", unit(0, 2))])
            with pytest.raises(UsageError) as caught:
                find(index)
            assert str(caught.value) == NONE_HERE
        # One that is new there has the place from the start.
        with server_opening.build(options_for(f"{server.url}/new"), DIM, create=True) as index:
            identity = write_sparse(index)
            assert find(index) == [(identity, 1.0)]


@pytest.mark.trials
def test_what_another_process_has_added_meanwhile_is_taken() -> None:
    with qdrant_server() as server:
        vectors = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
        places = {WORDS_NAME: IDF, SPARSE_NAME: models.SparseVectorParams()}
        server.make_collection("new", {VECTOR_NAME: vectors}, places)
        client = QdrantClient(url=server.url, check_compatibility=False)
        details = client.get_collection("new")
        details.config.params.sparse_vectors = {WORDS_NAME: IDF}
        assert server_opening.add_sparse(client, "new", details)
        client.close()


def test_a_collection_that_weighs_rare_terms_is_refused() -> None:
    client = QdrantClient(":memory:")
    vectors = {VECTOR_NAME: models.VectorParams(size=DIM, distance=models.Distance.COSINE)}
    client.create_collection(
        "theirs", vectors_config=vectors, sparse_vectors_config={SPARSE_NAME: IDF}
    )
    with pytest.raises(UsageError, match="counts rare terms of sparse vectors more"):
        server_opening.build(options_for("http://q/theirs"), DIM, client=client)
    client.close()
