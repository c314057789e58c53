"""Fits a calibration to what was seen of labelled images, and measures how it does on others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.evaluation.hit_samples import TextHits
from pipeline.evaluation.labelled_part import LabelledPart, Tell
from pipeline.evaluation.logistic import Sample, fit_logistic
from pipeline.evaluation.presence import LabelQuery, measure_presence
from pipeline.evaluation.sum_fit import choose_sum
from pipeline.evaluation.text_queries import share_within
from schemas.errors import UsageError
from workers.labelling.calibration import Calibration, Curve, LikelyBound

_DIGITS = 4
_FEWEST_SAMPLES = 20  # that are right, and that are wrong
_WEAK_OF_PRESENT = 0.15
_LARGEST_ROOT = 1.25  # of thousands of objects: from there on the bound stays as it is
_LEAST_BOUND = 1e-4
_RAW = Curve(0.0, (1.0,))  # which puts hits in the order of their sum


@dataclass(frozen=True, slots=True)
class Figures:
    """How a calibration does; None where the truth does not hold what a figure needs.

    `label_first`, `keyword_first`: shares of texts whose first hit is right. The others: see
    `Presence`.
    """

    label_first: float | None
    keyword_first: float | None
    present_weak: float | None
    absent_weak: float | None
    calibration_error: float | None
    first_calibration_error: float | None


def fit_calibration(
    parts: Sequence[LabelledPart], before: Calibration, tell: Tell
) -> tuple[Calibration, tuple[str, ...]]:
    """The calibration of these images, and what of it stays as it was `before`.

    `label_scale` stays: an index has what labels made of it. The `order` of hits stays unless it
    gains (see `choose_sum`); `labels` and `pictures` keep their curves where there are too few
    samples. Of what is there, 15% is called weak. Raises UsageError where hits tell nothing.
    """
    weights, is_new = choose_sum([part.candidates for part in parts], before.sum_weights)
    raw = replace(before, sum_weights=weights, text=_RAW)
    hits = [found for part in parts for found in part.sample_hits(part.observe(raw, tell))]
    text = fit_curve([sample for found in hits for sample in found.samples])
    if text is None:
        raise UsageError(
            "expected hits of texts that are right and others that are not, and the right ones to "
            "be nearer, they are not: is the truth that of these images?"
        )
    label = fit_curve([sample for part in parts for sample in part.label_samples])
    picture = fit_curve([sample for part in parts for sample in part.picture_samples])
    fitted = replace(
        before,
        sum_weights=weights,
        text=text,
        label=label or before.label,
        picture=picture or before.picture,
        likely=fit_bound(hits, text, before.strong),
    )
    fits = {"order": is_new, "labels": label is not None, "pictures": picture is not None}
    return fitted, tuple(name for name, is_fitted in fits.items() if not is_fitted)


def fit_curve(samples: Sequence[Sample]) -> Curve | None:
    """The curve of samples with one piece of evidence each.

    None where too few are right or wrong, or more evidence makes nothing likelier.
    """
    right = sum(is_right for _, is_right in samples)
    if min(right, len(samples) - right) < _FEWEST_SAMPLES:
        return None
    intercept, weight = fit_logistic(samples).round(_DIGITS).tolist()
    return Curve(intercept, (weight,)) if weight > 0 and math.isfinite(intercept) else None


def fit_bound(hits: Sequence[TextHits], text: Curve, strong: float) -> LikelyBound:
    """The bound below which 15% of what is there is called weak among as many objects.

    It grows as the bundled one does: by the root of the thousands of objects, to 1.25.
    """
    there = [found for found in hits if found.present and found.samples]
    surest = [max(text.probability(*values) for values, _ in found.samples) for found in there]
    root = math.sqrt(np.mean([found.searched for found in there]) / 1000)
    bound = float(np.quantile(surest, _WEAK_OF_PRESENT)) / min(root, _LARGEST_ROOT)
    of_thousand = max(round(bound, _DIGITS), _LEAST_BOUND)
    return LikelyBound(round(min(_LARGEST_ROOT * of_thousand, strong), _DIGITS), of_thousand)


def measure(queries: Sequence[LabelQuery], keyword_ranks: Sequence[int]) -> Figures:
    """The figures of names that were searched for, and of ranks of keywords' first right hits."""
    presence = measure_presence(queries)
    firsts = [float(query.right[:1] == (True,)) for query in queries if query.present]
    return Figures(
        label_first=float(np.mean(firsts)) if firsts else None,
        keyword_first=share_within(keyword_ranks, 1),
        present_weak=presence.present_weak,
        absent_weak=presence.absent_weak,
        calibration_error=presence.calibration_error,
        first_calibration_error=presence.first_calibration_error,
    )
