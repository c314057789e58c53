"""Adds to hits how likely they show what was searched for; their order is the index's."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from pipeline.search.resolved_example import ResolvedExample
from schemas.payload import PointPayload
from schemas.records import Float32Vector
from schemas.search import Example, Relevance, SearchHit, TextExample, shows_whole
from workers.labelling.calibration import Calibration, calibration_of, text_evidence
from workers.protocols import VectorIndex


class Judge:
    """Turns similarities into probabilities, as far as the embedder was calibrated.

    `knows_text`: whether the embedder has learnt what a text says.
    """

    def __init__(
        self, index: VectorIndex, embedder_name: str, knows_text: Callable[[str], bool]
    ) -> None:
        self._index, self._knows_text = index, knows_text
        self._calibration = calibration_of(embedder_name)

    def judge(
        self,
        hits: Sequence[SearchHit],
        wanted: Sequence[tuple[Example, ResolvedExample]],
        alone: bool,
    ) -> tuple[list[SearchHit], Relevance | None]:
        """The hits with their relevance, and that of the surest hit; None if it is unknown.

        A hit has to show all that is wanted: its probability is the least of those of the examples.
        With a text that the embedder has not learnt there is none, and every hit is weak.
        `alone`: there is one example, and a hit's score is the similarity to it.
        """
        if hits and not all(
            self._knows_text(example.text)
            for example, _ in wanted
            if isinstance(example, TextExample)
        ):
            weak = {"relevance": Relevance.WEAK}
            return [hit.model_copy(update=weak) for hit in hits], Relevance.WEAK
        vectors = {} if alone else self._read_vectors(hits)
        judged = []
        for hit in hits:
            probabilities = []
            for example, resolved in wanted:
                score = hit.score if alone else _compare(vectors, hit, resolved)
                probabilities.append(self._judge_example(example, resolved, score, hit))
            known = [value for value in probabilities if value is not None]
            if len(known) < len(probabilities) or not known:
                judged.append(hit)
                continue
            least = round(min(known), 4)
            relevance = self._calibration.relevance(least)
            judged.append(hit.model_copy(update={"probability": least, "relevance": relevance}))
        return judged, self._judge_page(judged, [example for example, _ in wanted])

    def _judge_example(
        self, example: Example, resolved: ResolvedExample, score: float | None, hit: SearchHit
    ) -> float | None:
        if any(copy.object_id == hit.object_id for copy in resolved.copies):
            return 1.0
        return estimate_probability(self._calibration, example, score, hit.payload)

    def _judge_page(self, hits: Sequence[SearchHit], wanted: Sequence[Example]) -> Relevance | None:
        sure = [hit.probability for hit in hits if hit.probability is not None]
        if not sure:
            return None
        surest = self._calibration.relevance(max(sure))
        unknown = len(sure) < len(hits) and any(map(shows_whole, wanted))
        # Whole images may well show what a whole picture does, however unlike it objects are.
        return None if unknown and surest is Relevance.WEAK else surest

    def _read_vectors(self, hits: Sequence[SearchHit]) -> dict[str, Float32Vector]:
        stored = self._index.stored([uuid.UUID(hit.object_id) for hit in hits])
        return {point.id: point.vector for point in stored.values() if point.vector is not None}


def _compare(
    vectors: dict[str, Float32Vector], hit: SearchHit, resolved: ResolvedExample
) -> float | None:
    vector = vectors.get(hit.object_id)  # it may be gone by now
    return None if vector is None else float(vector @ resolved.vector)


def estimate_probability(
    calibration: Calibration, example: Example, score: float | None, payload: PointPayload
) -> float | None:
    """How likely an object with this cosine similarity shows `example`; None if it is unknown."""
    if score is None or payload.kind != "object":
        return None
    if not isinstance(example, TextExample):
        return None if calibration.picture is None else calibration.picture.probability(score)
    evidence = text_evidence(calibration.label_scale, example.text, score, payload)
    return None if evidence is None else calibration.text.probability(*evidence)
