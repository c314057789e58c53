"""Checks sparse vectors that users bring: terms by number, and what each weighs."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_TERMS = 4096
"""Of a query."""
MAX_INDEX = 2**32 - 1


def check_terms(indices: npt.ArrayLike, values: npt.ArrayLike) -> None:
    """Raise ValueError unless these are a sparse vector: uint32 (n,) and float32 (n,), n above 0.

    Each index stands once, and each weight is finite and not zero.
    """
    numbers, weights = np.asarray(indices), np.asarray(values)
    if numbers.ndim != 1 or numbers.shape != weights.shape:
        raise ValueError(
            f"expected as many values as indices, got shapes {weights.shape} and {numbers.shape}"
        )
    if not numbers.size:
        raise ValueError("expected a term at least, got none")
    if numbers.dtype.kind not in "ui" or numbers.min() < 0 or numbers.max() > MAX_INDEX:
        raise ValueError(f"expected indices that are whole numbers from 0 to {MAX_INDEX}")
    if np.unique(numbers).size != numbers.size:
        raise ValueError("expected each index once, one stands twice")
    with np.errstate(over="ignore"):
        stored = weights.astype(np.float32)
    # Whatever is too large or too small for float32 becomes one of these.
    if not np.isfinite(stored).all() or not stored.all():
        raise ValueError("expected values that are finite and not zero in float32")


class SparseTerms(BaseModel):
    """A sparse vector to search with: terms by number, each once, and what each weighs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    indices: tuple[Annotated[int, Field(strict=True, ge=0, le=MAX_INDEX)], ...] = Field(
        min_length=1, max_length=MAX_TERMS
    )
    values: tuple[float, ...] = Field(min_length=1, max_length=MAX_TERMS)

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_terms(self.indices, self.values)
        return self
