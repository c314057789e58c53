"""What is fitted to observations: constants come back from those that were made with them."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from pipeline.evaluation.calibration_fit import fit_bound, fit_curve
from pipeline.evaluation.hit_samples import TextHits
from pipeline.evaluation.sum_fit import Candidates, _evaluate, choose_sum, fit_sum
from schemas.errors import UsageError
from workers.labelling.calibration import Curve, SumWeights

ONES, E3 = np.ones(5), float(np.exp(3))
BEFORE = SumWeights(5.0, -0.5, 4.5, 2.0)


def choose(
    weights: tuple[float, ...], texts: int, constant: tuple[int, ...] = ()
) -> list[Candidates]:
    """Texts with twenty candidates each, of which the right one was drawn with the softmax."""
    rng = np.random.default_rng(3)
    made = []
    for _ in range(texts):
        features = rng.normal(size=(20, 5)) * (3.0, 0.3, 2.0, 0.4, 0.5)
        features[:, constant] = 0.0
        shares = np.exp(features @ weights)
        right = np.zeros(20, np.bool_)
        right[rng.choice(20, p=shares / shares.sum())] = True
        made.append(Candidates(features, right))
    return made


def test_the_weights_come_back_that_observations_were_made_with() -> None:
    # In units of nearness, whose own weight is 0.5: (9, -1.2, 2, 5).
    texts = choose((0.5, 4.5, -0.6, 1.0, 2.5), 1500)
    fitted = fit_sum(texts, BEFORE)
    np.testing.assert_allclose(astuple(fitted), (9, -1.2, 2, 5), rtol=0.2)
    # They stand more right objects first in parts that they were not fitted to: they are taken.
    parts = [texts[:700], texts[700:]]
    assert choose_sum(parts, BEFORE) == (fitted, True)
    # Weights that are right already stay, however a few texts fall.
    assert choose_sum(parts, fitted) == (fitted, False)


def test_what_observations_do_not_tell_stays_as_it_was() -> None:
    texts = choose((0.7, 6.3, -0.35, 0.0, 0.0), 500, constant=(3, 4))
    fitted = fit_sum(texts, BEFORE)
    assert fitted.predicted_iou == pytest.approx(9, rel=0.2)
    assert (fitted.label_words, fitted.uri_words) == (4.5, 2)
    # Of few texts the weights before are hardly moved.
    few = fit_sum(texts[:2], BEFORE)
    assert 4 < few.predicted_iou < 7


def test_several_right_objects_of_a_text_count_together() -> None:
    features = np.zeros((4, 5))
    features[:, 0] = (3, 3, 0, 0)
    both = Candidates(features, np.array([True, True, False, False]))
    first = Candidates(features, np.array([True, False, False, False]))
    # Neither of two that are as near can stand before the other: together they tell all there is.
    assert _evaluate([both], ONES)[0] == pytest.approx(np.log(2 * E3 / (2 * E3 + 2)))
    assert _evaluate([first], ONES)[0] == pytest.approx(np.log(E3 / (2 * E3 + 2)))


def test_right_objects_that_are_farther_than_others_are_an_error() -> None:
    with pytest.raises(UsageError, match="is the truth that of these images"):
        fit_sum(choose((-0.5, 0.0, 0.0, 0.0, 0.0), 500), BEFORE)


def test_a_curve_comes_back_or_there_is_too_little_for_one() -> None:
    rng = np.random.default_rng(5)
    evidence = rng.normal(10, 3, 20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(12.0 - 1.1 * evidence))
    samples = [
        ((float(value),), bool(is_right)) for value, is_right in zip(evidence, right, strict=True)
    ]
    fitted = fit_curve(samples)
    assert fitted is not None
    assert fitted.intercept == pytest.approx(-12, rel=0.05)
    assert fitted.weights[0] == pytest.approx(1.1, rel=0.05)
    assert fit_curve([sample for sample in samples if sample[1]]) is None
    assert fit_curve(samples[:30]) is None
    assert fit_curve([(values, not is_right) for values, is_right in samples]) is None


def test_the_bound_calls_one_in_seven_weak_of_what_is_there_and_grows_as_the_bundled_one() -> None:
    text = Curve(0.0, (1.0,))

    def found(share: float, searched: int, *, present: bool = True) -> TextHits:
        odds = float(np.log(share / (1 - share)))
        return TextHits(present, searched, [((odds,), True), ((odds - 2,), False)])

    there = [found(step / 100, 1000) for step in range(1, 100)]
    bound = fit_bound([*there, found(0.9, 1000, present=False)], text, strong=0.5)
    assert bound.of_thousand == pytest.approx(0.157, abs=0.001)
    assert bound.most == pytest.approx(1.25 * 0.157, abs=0.002)
    assert bound.among(1000) == bound.of_thousand
    # Where it is as large as it grows, that is the bound of the index itself.
    large = fit_bound([found(step / 100, 100_000) for step in range(1, 100)], text, strong=0.5)
    assert large.among(100_000) == large.most == pytest.approx(0.157, abs=0.001)
    # Of a few objects it does not become a bound that nothing among many could reach.
    assert fit_bound([found(0.9, 10)], text, strong=0.5).most == 0.5
    assert fit_bound([found(1e-6, 1000)], text, strong=0.5).enough_objects > 0
