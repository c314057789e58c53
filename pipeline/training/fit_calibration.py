"""Fit how likely hits are from what search knows of them, on a bucket with ground truth.

    python -m pipeline.demo.calibrate --truth cal/truth.json --index cal/index

Prints the numbers of `workers/calibration.py`, and how well they hold. Another bucket than the one
that is evaluated: `objseek eval demo` uses the seed 2024, the bundled numbers are of the seed 7.
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
from schemas.coco import load_truth
from schemas.options import EmbedderOptions, IndexOptions
from schemas.search import MAX_OVERLAP, Condition, IndexQuery
from workers.indexes.open import open_index
from workers.labelling.calibration import calibration_of, text_evidence
from workers.protocols import VectorIndex
from workers.registry import build_text_embedder

_NAME = "clip_demo"
_OBJECTS = (Condition(field="kind", op="=", value="object"),)
_HITS = 10
_STEPS = 50
_RIDGE = 1e-6

Floats = npt.NDArray[np.float64]
Sample = tuple[tuple[float, ...], bool]


def fitted(samples: Sequence[Sample]) -> Floats:
    """Logistic regression by Newton's method: the intercept, then a weight for each evidence."""
    evidence = np.array([[1.0, *values] for values, _ in samples])
    right = np.array([one for _, one in samples], np.float64)
    weights = np.zeros(evidence.shape[1])
    for _ in range(_STEPS):
        share = 1 / (1 + np.exp(-evidence @ weights))
        curvature = (evidence * (share * (1 - share))[:, None]).T @ evidence
        curvature += _RIDGE * np.eye(len(weights))
        weights += np.linalg.solve(curvature, evidence.T @ (right - share))
    return weights


def expected_calibration_error(samples: Sequence[Sample], weights: Floats) -> float:
    """Mean distance of ten bins' probabilities from how often they are right."""
    evidence = np.array([[1.0, *values] for values, _ in samples])
    right = np.array([one for _, one in samples], np.float64)
    share = 1 / (1 + np.exp(-evidence @ weights))
    bins = np.minimum((share * 10).astype(int), 9)
    apart = [
        (bins == one).mean() * abs(share[bins == one].mean() - right[bins == one].mean())
        for one in np.unique(bins)
    ]
    return float(np.sum(apart))


def of_texts(asked: Sequence[LabelQuery], scale: float) -> list[Sample]:
    """The hits of labels, with and without what they name."""
    return [
        (evidence, right)
        for one in asked
        for hit, right in zip(one.hits, one.right, strict=True)
        if (evidence := text_evidence(scale, one.text, hit.score, hit.payload)) is not None
    ]


def of_pictures(index: VectorIndex, matching: Matching) -> Iterator[Sample]:
    """The hits of objects in other images: right if they show the same concept."""
    for item in matching.objects.values():
        mine = item.annotation
        if mine is None or mine.id not in matching.best_iou:
            continue
        thing = gather_object(index, uuid.UUID(item.object_id), MAX_OVERLAP)
        if thing is None:
            continue
        image = Condition(field="image_id", op="!=", value=thing.own.payload.image_id)
        query = IndexQuery(thing.vector, _HITS, (*_OBJECTS, image), max_overlap=MAX_OVERLAP)
        for hit in index.search(query):
            other = matching.objects[hit.object_id].annotation
            yield (hit.score,), other is not None and other.category_id == mine.category_id


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--index", required=True)
    args = parser.parse_args()
    truth, now = load_truth(args.truth), calibration_of(_NAME)
    embed_texts = build_text_embedder(EmbedderOptions(name=_NAME)).embed_texts
    with closing(open_index(IndexOptions(location=args.index), None)) as index:
        matching = match(truth, group_by_image(index.scroll(), truth))
        asked = list(search_labels(truth, matching, index, embed_texts))
        texts, pictures = of_texts(asked, now.label_scale), list(of_pictures(index, matching))
    bundled = {
        "text": (texts, now.text),
        **({} if now.picture is None else {"picture": (pictures, now.picture)}),
    }
    for name, samples in (("text", texts), ("picture", pictures)):
        weights = fitted(samples)
        error = expected_calibration_error(samples, weights)
        print(f"{name}: {weights.round(3).tolist()}, error {error:.3f} of {len(samples):,} hits")
    for name, (samples, curve) in bundled.items():
        weights = np.array([curve.intercept, *curve.weights])
        print(f"bundled {name}: error {expected_calibration_error(samples, weights):.3f}")
    print(f"with the bundled bounds: {measure_presence(asked, now)}")


if __name__ == "__main__":
    main()
