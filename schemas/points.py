"""Points: what an index holds, and the queries it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from schemas.errors import VectorIndexError
from schemas.fusion import EQUAL_WEIGHTS, FusionWeights
from schemas.labels import Naming
from schemas.payload import PointPayload
from schemas.records import Float32Matrix, Float32Vector
from schemas.search import Condition
from schemas.sparse_terms import check_terms


@dataclass(frozen=True, slots=True, eq=False)
class SparseVector:
    """Which terms, by number, and how much each counts, such as the words of a point. Both (n,)."""

    indices: npt.NDArray[np.uint32]
    values: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A point exactly as an index holds it: nothing about it has been checked.

    `payload` holds JSON values. `vector` is float32 (any,). `sparse` is a user's own, beside the
    words, and so are `named_vectors`, float32 (any,) each, by name. Vector, words and sparse vector
    are None, and a named one is absent, unless they were asked for and the point has them.
    """

    id: str
    payload: Mapping[str, Any]
    vector: Float32Vector | None = None
    words: SparseVector | None = None
    sparse: SparseVector | None = None
    named_vectors: Mapping[str, Float32Vector] = field(default_factory=dict)

    def parse_payload(self) -> PointPayload:
        """The typed payload. Raises VectorIndexError for a point that objseek did not write."""
        try:
            return PointPayload.model_validate(self.payload)
        except ValidationError as exc:
            fields = ", ".join(sorted({".".join(map(str, error["loc"])) for error in exc.errors()}))
            raise VectorIndexError(
                f"point {self.id} is not one of objseek's (unexpected: {fields})"
            ) from exc


@dataclass(frozen=True, slots=True, eq=False)
class ScoredPoint(Point):
    """A point that a query has found.

    `score` is its cosine similarity to the query's vector; to a query that has none, the dot
    product of the sparse vectors.
    """

    score: float = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class WordShares:
    """How sure a point's labels are that have all words of a text, 0 to 1; if its uri has them."""

    labels: float = 0.0
    in_uri: bool = False


NO_SHARE = WordShares()


@dataclass(frozen=True, slots=True)
class TextSum:
    """The sum by which objects are ranked for `text`: their cosine, and weights times what else.

    The mask's predicted IoU; `label_logsumexp`, how near an object is to all labels at once; how
    sure its labels are that have all words of the text (`label_words`); whether its uri has all of
    them (`uri_words`). The weights are on the scale of the cosine.
    """

    text: str
    predicted_iou: float = 0.0
    label_logsumexp: float = 0.0
    label_words: float = 0.0
    uri_words: float = 0.0

    @property
    def counts_words(self) -> bool:
        return bool(self.label_words or self.uri_words)

    def add_up(
        self,
        cosine: float,
        predicted_iou: float | None,
        label_logsumexp: float | None,
        shares: WordShares = NO_SHARE,
    ) -> float:
        """The sum of an object; what it lacks counts nothing."""
        return (
            cosine
            + self.predicted_iou * (predicted_iou or 0.0)
            + self.label_logsumexp * (label_logsumexp or 0.0)
            + self.label_words * shares.labels
            + self.uri_words * shares.in_uri
        )


@dataclass(frozen=True, slots=True, eq=False)
class IndexQuery:
    """What an index searches for: the nearest points to `vector` under all `conditions`.

    With `sparse`, ranks by the dot product with it, by nearness and by `words` are fused by the
    weights `fusion`, as far as there are vector and words; with neither, points rank by the dot
    product, and have a term in common. Without it, the nearest points and the first by `words` are
    ranked by `text_sum`, or with no such sum their ranks are fused. With `liked` (n, dim), points
    rank by their best score over liked against `disliked` (m, dim), as Qdrant's `best_score` does
    it. `min_score` is one of a `ScoredPoint`. `diversity`, `group_size`, `max_overlap`: see
    `SearchQuery`. Points whose ids are in `without` are no hits. `exact`: nothing is approximated.
    With `using`, the vector is compared with the named ones of that name instead, and by itself.
    """

    vector: Float32Vector | None
    limit: int
    conditions: tuple[Condition, ...] = ()
    min_score: float | None = None
    group_size: int | None = None
    max_overlap: float = 1.0
    words: SparseVector | None = None
    sparse: SparseVector | None = None
    fusion: FusionWeights = EQUAL_WEIGHTS
    text_sum: TextSum | None = None
    liked: Float32Matrix | None = None
    disliked: Float32Matrix | None = None
    diversity: float = 0.0
    without: frozenset[str] = frozenset()
    exact: bool = False
    using: str | None = None

    def __post_init__(self) -> None:
        beside = (self.words, self.sparse, self.text_sum, self.liked)
        if self.using is not None and (self.diversity or any(each is not None for each in beside)):
            raise ValueError(f"expected a vector alone to search by {self.using!r}, got more")
        if self.sparse is not None:
            check_terms(self.sparse.indices, self.sparse.values)
        elif self.vector is None:
            raise ValueError("expected a vector or a sparse vector, got neither")
        if self.vector is None and self.liked is not None:
            raise ValueError("expected a vector beside examples that are liked, got none")
        vector = self.vector
        if vector is not None and (vector.ndim != 1 or not np.isfinite(vector).all()):
            raise ValueError(f"expected a finite vector (dim,), got shape {vector.shape}")

    def require_vector(self) -> Float32Vector:
        """The vector. Raises ValueError where there is none."""
        if self.vector is None:
            raise ValueError("expected a query with a vector, got one without")
        return self.vector


@dataclass(frozen=True, slots=True, eq=False)
class PointLabels:
    """The labels and words that a point is to have; an image's `naming` has no logsumexp."""

    point_id: str
    naming: Naming
    words: SparseVector


@dataclass(frozen=True, slots=True)
class FacetCount:
    """How many points have a value."""

    value: str
    count: int


@dataclass(frozen=True, slots=True)
class EmbedderCount:
    """How many points of an index have vectors of one embedder, by its name."""

    embedder: str
    points: int


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """What an index holds. `size_bytes` is None for a server.

    `pipelines` is how many pipelines (segmenter, embedder, their settings) its points come from;
    `label_lists` how many points each list of labels has labelled, by its fingerprint; `named_dims`
    how many numbers the named vectors have.
    """

    dim: int
    points: int
    objects: int
    images: int
    embedders: tuple[EmbedderCount, ...]
    segmenters: tuple[str, ...]
    pipelines: int
    size_bytes: int | None
    label_lists: Mapping[str, int] = field(default_factory=dict, hash=False)
    has_words: bool = False
    has_sparse: bool = False
    named_dims: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def labelled(self) -> int:
        """How many points have labels."""
        return sum(self.label_lists.values())
