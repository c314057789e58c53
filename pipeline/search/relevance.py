"""How likely hits are to show what was asked for."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from pipeline.search.query_examples import Resolved
from schemas.payload import PointPayload
from schemas.records import Float32Vector
from schemas.search import Example, Relevance, SearchHit, TextExample
from workers.labelling.calibration import Calibration, calibration_of, text_evidence
from workers.protocols import VectorIndex


class Judge:
    """Tells the probability of hits from similarities, as far as they were calibrated."""

    def __init__(self, index: VectorIndex, embedder_name: str) -> None:
        self._index = index
        self._calibration = calibration_of(embedder_name)

    def judged(
        self, hits: Sequence[SearchHit], wanted: Sequence[tuple[Example, Resolved]], alone: bool
    ) -> tuple[list[SearchHit], Relevance | None]:
        """The hits with their relevance, and that of the surest; None if it cannot be told.

        A hit has to show all that is wanted: its probability is the least of them. `alone`: what
        is wanted is one thing, and a hit's score is the similarity to it.
        """
        vectors = {} if alone else self._vectors(hits)
        judged = []
        for hit in hits:
            probabilities = []
            for example, resolved in wanted:
                score = hit.score if alone else _similarity(vectors, hit, resolved)
                probabilities.append(probability(self._calibration, example, score, hit.payload))
            told = [one for one in probabilities if one is not None]
            if len(told) < len(probabilities) or not told:
                judged.append(hit)
                continue
            least = round(min(told), 4)
            relevance = self._calibration.relevance(least)
            judged.append(hit.model_copy(update={"probability": least, "relevance": relevance}))
        known = [one.probability for one in judged if one.probability is not None]
        if known:
            return judged, self._calibration.relevance(max(known))
        return judged, None

    def _vectors(self, hits: Sequence[SearchHit]) -> dict[str, Float32Vector]:
        stored = self._index.stored([uuid.UUID(hit.object_id) for hit in hits])
        return {str(identity): point.vector for identity, point in stored.items()}


def _similarity(
    vectors: dict[str, Float32Vector], hit: SearchHit, resolved: Resolved
) -> float | None:
    vector = vectors.get(hit.object_id)  # it may be gone by now
    return None if vector is None else float(vector @ resolved.vector)


def probability(
    calibration: Calibration, example: Example, score: float | None, payload: PointPayload
) -> float | None:
    """That an object shows `example`, whose cosine similarity it has; None if it is not known."""
    if score is None or payload.kind != "object":
        return None
    if not isinstance(example, TextExample):
        return None if calibration.picture is None else calibration.picture.probability(score)
    evidence = text_evidence(calibration.label_scale, example.text, score, payload)
    return None if evidence is None else calibration.text.probability(*evidence)
