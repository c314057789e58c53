"""Lays out an embedded index: vectors, words, payload indexes; adds what older indexes lack."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import qdrant_edge as edge

from schemas.errors import VectorIndexError
from schemas.named_vectors import NO_NAMED, NamedDims, plain_name, stored_among, stored_name
from schemas.payload import (
    DATETIME_FIELDS,
    FIRST_LABEL,
    FIRST_LABEL_SCORE,
    FLOAT_FIELDS,
    INTEGER_FIELDS,
    KEYWORD_FIELDS,
    OwnKind,
)
from schemas.records import SPARSE_NAME, VECTOR_NAME, WORDS_NAME
from workers.indexes.edge.copies import SHARD
from workers.indexes.edge.disk_room import CREATE_RESERVE, check_room

UNFINISHED = ".creating-"
"""Prefix of the names of folders in which shards are made."""
CONFIG_FILE = "edge_config.json"
# New points and their payload indexes take 2 KB of memory each until they are tidied up.
MOST_UNTIDIED = 10_000  # points
# Numbers that few filter by: each index takes 5 MB, also where there is no point.
_NOT_INDEXED = frozenset({"t_key", "video_duration", "mean_area_frac", "frames", "shot"})
# Tidied points are not tidied again with others: that would take longer the more there are.
_SEGMENT_SHARE = 1.5  # of what so many vectors take


def make_config(dim: int, named: NamedDims = NO_NAMED) -> edge.EdgeConfig:
    """The configuration of a shard whose vectors have `dim` numbers, `named` ones their own."""
    untidied_kb = MOST_UNTIDIED * max(dim, *named.values(), 0) * 4 // 1024
    vectors = {VECTOR_NAME: _vector_params(dim)}
    return edge.EdgeConfig(
        vectors=vectors | {stored_name(name): _vector_params(size) for name, size in named.items()},
        payload_memory=edge.Memory.Cold,
        id_tracker_memory=edge.Memory.Cold,
        # No graph: search compares with every vector, in four bits a number.
        hnsw_config=edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000),
        wal_enabled=True,
        optimizers=edge.EdgeOptimizersConfig(
            indexing_threshold=untidied_kb, max_segment_size=int(_SEGMENT_SHARE * untidied_kb)
        ),
    )


def _vector_params(dim: int) -> edge.EdgeVectorParams:
    return edge.EdgeVectorParams(
        size=dim,
        distance=edge.Distance.Cosine,
        memory=edge.Memory.Cold,
        quantization_config=edge.TurboQuantQuantizationConfig(
            bits=edge.TurboQuantBitSize.Bits4, memory=edge.Memory.Cold
        ),
    )


def _payload_indexes() -> dict[str, edge.PayloadSchemaParams]:
    cold = edge.Memory.Cold
    return {
        **{
            name: edge.KeywordIndexParams(prefix=True, memory=cold)
            for name in (*KEYWORD_FIELDS, FIRST_LABEL)
        },
        **{
            name: edge.IntegerIndexParams(lookup=True, range=True, memory=cold)
            for name in INTEGER_FIELDS
            if name not in _NOT_INDEXED
        },
        **{
            name: edge.FloatIndexParams(memory=cold)
            for name in (*FLOAT_FIELDS, FIRST_LABEL_SCORE)
            if name not in _NOT_INDEXED
        },
        **{name: edge.DatetimeIndexParams(memory=cold) for name in DATETIME_FIELDS},
    }


def create_shard(folder: Path, dim: int, named: NamedDims = NO_NAMED) -> None:
    """Make an empty shard in a folder of an index. Raises IndexUnavailableError, OSError."""
    check_room(folder, CREATE_RESERVE)
    # Made aside and renamed: whoever finds a shard finds all its payload indexes.
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder))
    try:
        shard = edge.EdgeShard.create(str(unfinished), make_config(dim, named))
        try:
            add_missing_fields(shard, unfinished)
            shard.flush()
        finally:
            shard.close()
        unfinished.rename(folder / SHARD)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def read_dim(shard: Path) -> int:
    """How many numbers a shard's vectors have. Raises VectorIndexError if it is not objseek's."""
    try:
        size = json.loads((shard / CONFIG_FILE).read_bytes())["vectors"][VECTOR_NAME]["size"]
    except (ValueError, KeyError, TypeError) as exc:
        raise VectorIndexError(
            f"expected an index made by objseek in {shard}, but its {CONFIG_FILE} is not one"
        ) from exc
    return int(size)


def read_named(shard: Path) -> dict[str, int]:
    """How many numbers the named vectors of a shard have, by name."""
    vectors = json.loads((shard / CONFIG_FILE).read_bytes())["vectors"]
    return {
        plain_name(stored) or "": int(vectors[stored]["size"]) for stored in stored_among(vectors)
    }


def add_named(shard: edge.EdgeShard, named: NamedDims) -> None:
    """Make place for named vectors, of which there is none yet; durable on return."""
    for name, dim in named.items():
        shard.update(
            edge.UpdateOperation.create_dense_vector(stored_name(name), dim, edge.Distance.Cosine)
        )
    if named:
        shard.flush()


def add_missing_fields(shard: edge.EdgeShard, path: Path) -> None:
    """Add the payload indexes and the words that an index of an older version lacks."""
    existing = shard.info().payload_schema
    missing = {name: params for name, params in _payload_indexes().items() if name not in existing}
    for field, params in missing.items():
        shard.update(edge.UpdateOperation.create_field_index(field, params))
    if not _has_sparse(path, WORDS_NAME):
        shard.update(edge.UpdateOperation.create_sparse_vector(WORDS_NAME, edge.Modifier.Idf))
    if missing:
        shard.flush()


def add_sparse(shard: edge.EdgeShard) -> None:
    """Make place for sparse vectors of the user's own, where there is none yet; durable on return.

    Not done for every index: an empty shard grows by 36 MB in length, nearly all of it holes.
    """
    modifier = edge.Modifier.__dict__["None"]  # no name that Python's syntax takes
    shard.update(edge.UpdateOperation.create_sparse_vector(SPARSE_NAME, modifier))
    shard.flush()


def has_sparse(path: Path) -> bool:
    """Whether the shard at `path` has place for sparse vectors of the user's own."""
    return _has_sparse(path, SPARSE_NAME)


def add_own_fields(shard: edge.EdgeShard, fields: Mapping[str, OwnKind]) -> None:
    """Add payload indexes of fields of the user's own, by the names that filters have for them."""
    existing = shard.info().payload_schema
    cold = edge.Memory.Cold
    for name, kind in fields.items():
        if name in existing:
            continue
        by_kind: dict[OwnKind, edge.PayloadSchemaParams] = {
            "text": edge.KeywordIndexParams(prefix=True, memory=cold),
            "number": edge.FloatIndexParams(memory=cold),
        }
        shard.update(edge.UpdateOperation.create_field_index(name, by_kind[kind]))
    shard.flush()


def _has_sparse(path: Path, name: str) -> bool:
    sparse = json.loads((path / CONFIG_FILE).read_bytes()).get("sparse_vectors")
    return name in (sparse or {})
