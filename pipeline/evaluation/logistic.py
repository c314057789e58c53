"""Fits the probability that something is right to evidence: a logistic regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.presence import calibration_error

_STEPS = 50
_RIDGE = 1e-6

Floats = npt.NDArray[np.float64]
Sample = tuple[tuple[float, ...], bool]


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
