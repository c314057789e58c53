"""Weighs the ranks that are fused into one."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FusionWeights(BaseModel):
    """How much each rank counts where several are fused.

    That by nearness to the vector, that by the words of labels and uris, and that by the sparse
    vector.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    vector: float = Field(default=1.0, gt=0, le=1000)
    words: float = Field(default=1.0, gt=0, le=1000)
    sparse: float = Field(default=1.0, gt=0, le=1000)


EQUAL_WEIGHTS = FusionWeights()


class SearchOptions(BaseModel):
    """How indexes are searched. `fusion_weights` count where a sparse vector is searched with."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    fusion_weights: FusionWeights = EQUAL_WEIGHTS
