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
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from pipeline.evaluation.hit_samples import (
    TextHits,
    sample_labels,
    sample_picture_hits,
    sample_text_hits,
)
from pipeline.evaluation.logistic import (
    Floats,
    Sample,
    expected_calibration_error,
    fit_logistic,
    predict,
)
from pipeline.evaluation.matching import group_by_image, match
from pipeline.evaluation.presence import search_labels
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.coco import CocoId
from schemas.coco_reader import load_truth
from schemas.options import IndexOptions
from workers.indexes.open import open_index
from workers.labelling.calibration import LikelyBound, calibration_of

_NAME = "clip_demo"
_BOUNDS = (0.03, 0.045, 0.055, 0.065)  # of a thousand objects


def fit_styles(styles: Sequence[Sequence[Sample]]) -> Floats:
    """As `fit_logistic`, each style weighing the same, however many samples it has."""
    counts = [np.full(len(samples), 1 / len(samples)) for samples in styles]
    together = [sample for samples in styles for sample in samples]
    return fit_logistic(together, np.concatenate(counts) * len(together) / len(styles))


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
