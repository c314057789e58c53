"""Reads the vectors and sparse vectors that `objseek search` is given as files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from pipeline.messages import validation_sentence
from schemas.errors import UsageError, one_line
from schemas.named_vectors import NamedDims, describe_dims
from schemas.search import SearchQuery
from schemas.sparse_terms import SparseTerms

_SPARSE_FORMS = '{"indices": [...], "values": [...]} or a list of [index, value] pairs'


def read_vector(path: Path | None) -> tuple[float, ...] | None:
    """The vector in a `.npy` file, (dim,) or (1, dim); None without a file. Raises UsageError."""
    if path is None:
        return None
    try:
        # Mapped: a file may be of any size, and a vector is small. Numpy unpickles nothing here.
        stored = np.load(path, mmap_mode="r")
    except OSError as exc:
        raise UsageError(f"the vector {path} cannot be read: {exc.strerror or exc}") from exc
    except (ValueError, EOFError) as exc:
        # What numpy says is how to have it run a pickle.
        raise UsageError(
            f"expected a .npy file of floats in {path}, got another file, or one that is cut short"
        ) from exc
    if not isinstance(stored, np.ndarray):
        stored.close()
        raise UsageError(f"expected one vector in {path}, as a .npy file has it, got an archive")
    shape = stored.shape
    if stored.dtype.kind != "f" or len(shape) not in (1, 2) or shape[:-1] not in ((), (1,)):
        raise UsageError(
            f"expected one vector of floats in {path}, (dim,) or (1, dim), got {stored.dtype} "
            f"{shape}"
        )
    vector = np.array(stored, np.float64).ravel()
    if not vector.size or not np.isfinite(vector).all() or not vector.any():
        raise UsageError(f"expected finite numbers that are not all zero in {path}, got others")
    return tuple(vector.tolist())


def require_length(query: SearchQuery, path: Path | None, dim: int, named: NamedDims) -> None:
    """Raise UsageError, which names the file, unless a query's vector is as long as an index's.

    Or, with `using`, as long as the named ones of that name; a name that is not there is let by.
    """
    those = "those"
    if query.using is not None:
        dim = named.get(query.using, 0)
        those = f"{query.using!r} ({describe_dims(named)})"
    if path is not None and query.vector is not None and dim and len(query.vector) != dim:
        raise UsageError(
            f"expected a vector of {dim} numbers in {path}, as {those} of the index, got "
            f"{len(query.vector)}"
        )


def read_sparse(path: Path | None) -> SparseTerms | None:
    """The sparse vector in a JSON file; None without a file. Raises UsageError."""
    if path is None:
        return None
    try:
        value = json.loads(path.read_bytes())
    except OSError as exc:
        raise UsageError(f"the sparse vector {path} cannot be read: {exc.strerror or exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"expected JSON in {path}: {one_line(exc)}") from exc
    if isinstance(value, list):
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
            raise UsageError(f"expected {_SPARSE_FORMS} in {path}, got a list of something else")
        value = {"indices": [pair[0] for pair in value], "values": [pair[1] for pair in value]}
    if not isinstance(value, dict):
        raise UsageError(f"expected {_SPARSE_FORMS} in {path}, got something else")
    try:
        return SparseTerms.model_validate(value)
    except ValidationError as exc:
        raise UsageError(f"the sparse vector {path} is wrong: {validation_sentence(exc)}") from exc
