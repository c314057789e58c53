"""Defines how a collection is laid out on a Qdrant server, and reads and writes that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from qdrant_client import models

from schemas.records import VECTOR_NAME

Quantization = Literal["none", "int8", "turbo 4 bits", "turbo 1 bit", "binary"]
GRAPH_M = 16
"""Links of a point in the graph: Qdrant's default."""
NO_GRAPH_M = 0
"""While a collection is filled: points are written, and no graph is made."""
RESCORED = models.SearchParams(
    # Four bits rank the nearest ones slightly out of order: more are fetched, and compared whole.
    quantization=models.QuantizationSearchParams(rescore=True, oversampling=2.0)
)
_TURBO_BITS = {
    "turbo 4 bits": models.TurboQuantBitSize.BITS4,
    "turbo 1 bit": models.TurboQuantBitSize.BITS1,
}


@dataclass(frozen=True, slots=True)
class CollectionLayout:
    """What is decided when a collection is made. `filling`: without its graph, for now."""

    shards: int
    replicas: int
    write_consistency: int
    quantization: Quantization
    vectors_on_disk: bool
    payload_on_disk: bool
    graph_on_disk: bool
    filling: bool

    def to_request(self) -> dict[str, Any]:
        """What of it `create_collection` takes beside vectors."""
        return {
            "shard_number": self.shards,
            "replication_factor": self.replicas,
            "write_consistency_factor": self.write_consistency,
            "on_disk_payload": self.payload_on_disk,
            "hnsw_config": models.HnswConfigDiff(
                m=NO_GRAPH_M if self.filling else GRAPH_M, on_disk=self.graph_on_disk
            ),
            "quantization_config": _quantization_config(self.quantization),
        }

    def list_differences(self, config: models.CollectionConfig) -> list[tuple[str, Any, Any]]:
        """Name, value there and value wanted of what a collection has otherwise.

        That a collection is still filled, or not any more, is no difference.
        """
        params, vectors = config.params, config.params.vectors
        vector = vectors.get(VECTOR_NAME) if isinstance(vectors, dict) else None
        pairs = (
            ("shard_number", params.shard_number or 1, self.shards),
            ("replication_factor", params.replication_factor or 1, self.replicas),
            (
                "write_consistency_factor",
                params.write_consistency_factor or 1,
                self.write_consistency,
            ),
            ("on_disk_payload", bool(params.on_disk_payload), self.payload_on_disk),
            ("on_disk", bool(vector and vector.on_disk), self.vectors_on_disk),
            ("hnsw on_disk", bool(config.hnsw_config.on_disk), self.graph_on_disk),
            ("quantization", name_quantization(config), self.quantization),
        )
        return [(name, there, wanted) for name, there, wanted in pairs if there != wanted]


def name_quantization(config: models.CollectionConfig) -> str:
    """How the vectors of a collection are quantized, `another way` if not as objseek does it."""
    found = config.quantization_config
    match found:
        case None:
            return "none"
        case models.ScalarQuantization():
            return "int8"
        case models.BinaryQuantization():
            return "binary"
        case models.TurboQuantization():
            named = (name for name, bits in _TURBO_BITS.items() if bits is found.turbo.bits)
            return next(named, "another way")
    return "another way"


def _quantization_config(quantization: Quantization) -> models.QuantizationConfig | None:
    match quantization:
        case "none":
            return None
        case "int8":
            scalar = models.ScalarQuantizationConfig(
                type=models.ScalarType.INT8, quantile=0.99, always_ram=True
            )
            return models.ScalarQuantization(scalar=scalar)
        case "binary":
            return models.BinaryQuantization(
                binary=models.BinaryQuantizationConfig(always_ram=True)
            )
    turbo = models.TurboQuantQuantizationConfig(bits=_TURBO_BITS[quantization], always_ram=True)
    return models.TurboQuantization(turbo=turbo)
