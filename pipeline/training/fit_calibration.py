"""Fits the probability that a hit is right, on buckets with ground truth, a style each.

    python -m pipeline.training.fit_calibration --style seen cal/truth.json cal/index \\
        --style other other/truth.json other/index

Prints the numbers of `workers/labelling/calibration.py`: of texts from all styles, each weighing
the same, with the calibration error of every style when it is left out; the others from the first.
The buckets must be others than those of the evaluation: `objseek eval demo` uses the seed 2024, the
bundled numbers come from the seed 7, and texts' from glyphs of another font as well.
"""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.matching import Matching, group_by_image, match
from pipeline.evaluation.presence import LabelQuery, calibration_error, search_labels
from pipeline.search.same_object import gather_object
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.coco import CocoId
from schemas.coco_reader import load_truth
from schemas.options import IndexOptions
from schemas.points import NO_SHARE, IndexQuery, Point
from schemas.search import MAX_OVERLAP, Condition
from workers.indexes.bm25 import share_of_words
from workers.indexes.open import open_index
from workers.labelling.calibration import LikelyBound, calibration_of, log_odds
from workers.protocols import VectorIndex

_NAME = "clip_demo"
_OBJECTS = (Condition(field="kind", op="=", value="object"),)
_HITS = 10
_STEPS = 50
_RIDGE = 1e-6
_BOUNDS = (0.03, 0.045, 0.055, 0.065)  # of a thousand objects

Floats = npt.NDArray[np.float64]
Sample = tuple[tuple[float, ...], bool]


@dataclass(frozen=True, slots=True)
class TextHits:
    """The hits of a label, in the bucket with it or without it; `samples` best first."""

    present: bool
    searched: int
    samples: list[Sample]


def fit_logistic(samples: Sequence[Sample], weights: Floats | None = None) -> Floats:
    """Logistic regression by Newton's method: the intercept, then a weight for each feature.

    `weights` (n,): how much each sample counts; without them, all the same.
    """
    evidence = np.array([[1.0, *values] for values, _ in samples])
    right = np.array([is_right for _, is_right in samples], np.float64)
    counts = np.ones(len(samples)) if weights is None else weights
    fitted = np.zeros(evidence.shape[1])
    for _ in range(_STEPS):
        share = 1 / (1 + np.exp(-evidence @ fitted))
        curvature = (evidence * (counts * share * (1 - share))[:, None]).T @ evidence
        curvature += _RIDGE * np.eye(len(fitted))
        fitted += np.linalg.solve(curvature, evidence.T @ (counts * (right - share)))
    return fitted


def fit_styles(styles: Sequence[Sequence[Sample]]) -> Floats:
    """As `fit_logistic`, each style weighing the same, however many samples it has."""
    counts = [np.full(len(samples), 1 / len(samples)) for samples in styles]
    together = [sample for samples in styles for sample in samples]
    return fit_logistic(together, np.concatenate(counts) * len(together) / len(styles))


def predict(samples: Sequence[Sample], fitted: Floats) -> Floats:
    """The probability of each sample."""
    evidence = np.array([[1.0, *values] for values, _ in samples])
    shares: Floats = 1 / (1 + np.exp(-evidence @ fitted))
    return shares


def expected_calibration_error(samples: Sequence[Sample], fitted: Floats) -> float:
    """Expected calibration error over ten bins (Guo et al., 2017)."""
    return calibration_error(
        predict(samples, fitted), np.array([is_right for _, is_right in samples], np.bool_)
    )


def sample_text_hits(searcher: Searcher, queries: Sequence[LabelQuery]) -> Iterator[TextHits]:
    """Each query's hits by the sum that they were ranked by, as logits."""
    scale = searcher.calibration.label_scale
    for query in queries:
        weights = searcher.sums.choose(query.text, with_words=True)
        ids = [uuid.UUID(hit.object_id) for hit in query.hits]
        points: Mapping[uuid.UUID, Point] = {}
        if weights.counts_words:
            points = searcher.index.vectors(ids, dense=False, words=True)
        samples: list[Sample] = []
        for identity, hit, right in zip(ids, query.hits, query.right, strict=True):
            payload, point = hit.payload, points.get(identity)
            shares = NO_SHARE
            if point is not None and point.words is not None:
                shares = share_of_words(query.text, point.words, payload.uri)
            known = (payload.predicted_iou, payload.label_logsumexp)
            samples.append(((scale * weights.add_up(hit.score, *known, shares),), right))
        yield TextHits(query.present, searcher.info.objects, samples)


def print_texts(styles: Mapping[str, Sequence[TextHits]]) -> None:
    """The curve of texts, and how it does on each style when that was left out of the fit."""
    samples = {
        name: [sample for hits in queries for sample in hits.samples]
        for name, queries in styles.items()
    }
    for name, queries in styles.items():
        others = [of_style for other, of_style in samples.items() if other != name]
        fitted = fit_styles(others or [samples[name]])
        first = [hits.samples[0] for hits in queries if hits.samples]
        print(
            f"text, {name} left out: {fitted.round(3).tolist()}, error "
            f"{expected_calibration_error(samples[name], fitted):.3f} of {len(samples[name]):,} "
            f"hits, {expected_calibration_error(first, fitted):.3f} of first hits"
        )
        for of_thousand in _BOUNDS:
            bound = LikelyBound(1.0, of_thousand)
            weak = {
                present: [
                    float(predict(hits.samples, fitted).max(initial=0)) < bound.among(hits.searched)
                    for hits in queries
                    if hits.samples and hits.present is present
                ]
                for present in (True, False)
            }
            print(
                f"  likely from {of_thousand} of a thousand on: of what is there "
                f"{np.mean(weak[True]):.2f} is weak, of what is not {np.mean(weak[False]):.2f}"
            )
    print(f"text: {fit_styles([*samples.values()]).round(3).tolist()}")


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
    parser.add_argument(
        "--style", nargs=3, action="append", required=True, metavar=("NAME", "TRUTH", "INDEX")
    )
    args = parser.parse_args()
    texts: dict[str, list[TextHits]] = {}
    others: list[tuple[str, list[Sample]]] = []
    for name, truth_file, location in args.style:
        truth = load_truth(Path(truth_file), strict=True)
        settings = Settings(index=IndexOptions(location=location))
        index = open_index(settings.index, None)
        with closing(index), Searcher(index, settings=settings) as searcher:
            matching = match(truth, group_by_image(index.scroll(), truth), index.note_broken)
            queries = list(search_labels(truth, matching, searcher))
            texts.setdefault(name, []).extend(sample_text_hits(searcher, queries))
            names: dict[CocoId, str] = {category.id: category.name for category in truth.categories}
            if not others:
                others = [
                    ("label", sample_labels(index, matching, names)),
                    ("picture", list(sample_picture_hits(index, matching))),
                ]
    print_texts(texts)
    bundled = calibration_of(_NAME)
    for (name, samples), curve in zip(others, (bundled.label, bundled.picture), strict=True):
        fitted = fit_logistic(samples)
        error = expected_calibration_error(samples, fitted)
        print(f"{name}: {fitted.round(3).tolist()}, error {error:.3f} of {len(samples):,} hits")
        if curve is not None:
            known = np.array([curve.intercept, *curve.weights])
            print(f"bundled {name}: error {expected_calibration_error(samples, known):.3f}")


if __name__ == "__main__":
    main()
