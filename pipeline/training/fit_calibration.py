"""Fits the probability that a hit is right, on a bucket with ground truth.

    python -m pipeline.training.fit_calibration --truth cal/truth.json --index cal/index

Prints the numbers of `workers/labelling/calibration.py`, and their calibration error. The bucket
must be another than that of the evaluation: `objseek eval demo` uses the seed 2024, the bundled
numbers come from the seed 7.
"""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.matching import Matching, group_by_image, match
from pipeline.evaluation.presence import LabelQuery, measure_presence, search_labels
from pipeline.search.same_object import gather_object
from schemas.coco import CocoId
from schemas.coco_reader import load_truth
from schemas.options import EmbedderOptions, IndexOptions
from schemas.points import IndexQuery
from schemas.search import MAX_OVERLAP, Condition
from workers.indexes.open import open_index
from workers.labelling.calibration import calibration_of, log_odds, text_evidence
from workers.protocols import VectorIndex
from workers.registry import build_text_embedder

_NAME = "clip_demo"
_OBJECTS = (Condition(field="kind", op="=", value="object"),)
_HITS = 10
_STEPS = 50
_RIDGE = 1e-6

Floats = npt.NDArray[np.float64]
Sample = tuple[tuple[float, ...], bool]


def fit_logistic(samples: Sequence[Sample]) -> Floats:
    """Logistic regression by Newton's method: the intercept, then a weight for each feature."""
    evidence = np.array([[1.0, *values] for values, _ in samples])
    right = np.array([is_right for _, is_right in samples], np.float64)
    weights = np.zeros(evidence.shape[1])
    for _ in range(_STEPS):
        share = 1 / (1 + np.exp(-evidence @ weights))
        curvature = (evidence * (share * (1 - share))[:, None]).T @ evidence
        curvature += _RIDGE * np.eye(len(weights))
        weights += np.linalg.solve(curvature, evidence.T @ (right - share))
    return weights


def expected_calibration_error(samples: Sequence[Sample], weights: Floats) -> float:
    """Expected calibration error over ten bins (Guo et al., 2017)."""
    evidence = np.array([[1.0, *values] for values, _ in samples])
    right = np.array([is_right for _, is_right in samples], np.float64)
    share = 1 / (1 + np.exp(-evidence @ weights))
    bins = np.minimum((share * 10).astype(int), 9)
    gaps = [
        (bins == number).mean() * abs(share[bins == number].mean() - right[bins == number].mean())
        for number in np.unique(bins)
    ]
    return float(np.sum(gaps))


def sample_text_hits(queries: Sequence[LabelQuery], scale: float) -> list[Sample]:
    """Samples from the hits of labels, whether or not an object of that name is there."""
    return [
        (evidence, right)
        for query in queries
        for hit, right in zip(query.hits, query.right, strict=True)
        if (evidence := text_evidence(scale, query.text, hit.score, hit.payload)) is not None
    ]


def sample_labels(index: VectorIndex, matching: Matching, names: dict[CocoId, str]) -> list[Sample]:
    """A sample for each label of each object: right if that is what the object shows."""
    samples: list[Sample] = []
    for point in index.scroll(_OBJECTS):
        item = matching.objects.get(point.id)
        shown = names[item.annotation.category_id] if item and item.annotation else None
        payload = point.parse_payload()
        pairs = zip(payload.labels or (), payload.label_scores or (), strict=True)
        samples += [((log_odds(score),), label == shown) for label, score in pairs]
    return samples


def sample_picture_hits(index: VectorIndex, matching: Matching) -> Iterator[Sample]:
    """Samples from the hits of objects in other images: right if they show the same concept."""
    for item in matching.objects.values():
        annotation = item.annotation
        if annotation is None or annotation.id not in matching.best_iou:
            continue
        same = gather_object(index, uuid.UUID(item.object_id), MAX_OVERLAP)
        if same is None:
            continue
        image = Condition(field="image_id", op="!=", value=same.own.payload["image_id"])
        query = IndexQuery(same.vector, _HITS, (*_OBJECTS, image), max_overlap=MAX_OVERLAP)
        for hit in index.search(query):
            other = matching.objects[hit.object_id].annotation
            yield (hit.score,), other is not None and other.category_id == annotation.category_id


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--index", required=True)
    args = parser.parse_args()
    truth, bundled = load_truth(args.truth, strict=True), calibration_of(_NAME)
    embed_texts = build_text_embedder(EmbedderOptions(name=_NAME)).embed_texts
    with closing(open_index(IndexOptions(location=args.index), None)) as index:
        matching = match(truth, group_by_image(index.scroll(), truth), index.note_broken)
        queries = list(search_labels(truth, matching, index, embed_texts))
        texts = sample_text_hits(queries, bundled.label_scale)
        pictures = list(sample_picture_hits(index, matching))
        names: dict[CocoId, str] = {category.id: category.name for category in truth.categories}
        labels = sample_labels(index, matching, names)
    for name, samples in (("text", texts), ("label", labels), ("picture", pictures)):
        weights = fit_logistic(samples)
        error = expected_calibration_error(samples, weights)
        print(f"{name}: {weights.round(3).tolist()}, error {error:.3f} of {len(samples):,} hits")
    for name, samples, curve in (
        ("text", texts, bundled.text),
        ("label", labels, bundled.label),
        ("picture", pictures, bundled.picture),
    ):
        if curve is None:
            continue
        weights = np.array([curve.intercept, *curve.weights])
        print(f"bundled {name}: error {expected_calibration_error(samples, weights):.3f}")
    print(f"with the bundled bounds: {measure_presence(queries, bundled)}")


if __name__ == "__main__":
    main()
