"""Builds queries of a Qdrant server: by words, by examples, fused, varied; neighbours, samples."""

from __future__ import annotations

from typing import Any

from qdrant_client import models

from schemas.points import IndexQuery, SparseVector
from schemas.records import VECTOR_NAME, WORDS_NAME, Float32Matrix
from workers.indexes.points import RRF_K


def to_sparse(vector: SparseVector) -> models.SparseVector:
    """The server's sparse vector."""
    return models.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())


def ranking_request(
    query: IndexQuery,
    where: models.Filter | None,
    pool: int,
    *,
    with_words: bool,
    params: models.SearchParams | None = None,
) -> dict[str, Any]:
    """The first `pool` points as `query` ranks them; its words count `with_words` alone.

    `params` is how vectors are compared.
    """
    nearest = query.require_vector().tolist()
    request: dict[str, Any] = {"query": nearest, "using": VECTOR_NAME}
    if query.liked is not None:
        disliked = [] if query.disliked is None else query.disliked.tolist()
        examples = models.RecommendInput(
            positive=query.liked.tolist(),
            negative=disliked,
            strategy=models.RecommendStrategy.BEST_SCORE,
        )
        request["query"] = models.RecommendQuery(recommend=examples)
    if query.words is not None and with_words:
        sparse = models.Prefetch(
            query=to_sparse(query.words), using=WORDS_NAME, limit=pool, filter=where
        )
        both = [models.Prefetch(**request, params=params, limit=pool, filter=where), sparse]
        request = {"query": models.RrfQuery(rrf=models.Rrf(k=RRF_K)), "prefetch": both}
        params = None
    if query.diversity:
        before = models.Prefetch(**request, params=params, limit=pool, filter=where)
        mmr = models.Mmr(diversity=query.diversity, candidates_limit=pool)
        varied = models.NearestQuery(nearest=nearest, mmr=mmr)
        request = {"query": varied, "using": VECTOR_NAME, "prefetch": before}
        params = None
    if params is not None:
        request["search_params"] = params
    return request | {"query_filter": where, "limit": pool}


def neighbour_requests(
    vectors: Float32Matrix,
    where: models.Filter | None,
    limit: int,
    threshold: float,
    params: models.SearchParams | None,
) -> list[models.QueryRequest]:
    """The `limit` nearest points to each row, above `threshold`, without payloads."""
    return [
        models.QueryRequest(
            query=vector.tolist(),
            using=VECTOR_NAME,
            filter=where,
            limit=limit,
            score_threshold=threshold,
            params=params,
            with_payload=False,
        )
        for vector in vectors
    ]


def sample_request(where: models.Filter | None, limit: int) -> dict[str, Any]:
    """Points chosen at random, with their vectors."""
    chosen = models.SampleQuery(sample=models.Sample.RANDOM)
    return {
        "query": chosen,
        "query_filter": where,
        "limit": limit,
        "with_vectors": [VECTOR_NAME],
    }
