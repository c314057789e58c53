"""Guesses that say what an earlier one says are told by their tokens."""

from __future__ import annotations

import numpy as np

from workers.segmenters.repeated_guesses import TokenGuesses, find_repeated

EAST, NORTH = (1.0, 0.0), (0.0, 1.0)
NEARLY_EAST = (0.995, 0.0999)


def guessed(*guesses: tuple[float, int, tuple[float, float]]) -> TokenGuesses:
    """Each a predicted IoU, an output and a token."""
    predicted_iou, outputs, tokens = zip(*guesses, strict=True)
    return TokenGuesses(
        np.array(predicted_iou, np.float32), np.array(outputs), np.array(tokens, np.float32)
    )


def repeated(kept: TokenGuesses | None, guesses: TokenGuesses, least_iou: float = 0.5) -> list[int]:
    numbers: list[int] = find_repeated(kept, guesses, 0.98, least_iou).tolist()
    return numbers


def test_a_guess_repeats_one_of_nearly_the_same_token() -> None:
    guesses = guessed((0.9, 0, EAST), (0.8, 0, NEARLY_EAST), (0.8, 0, NORTH), (0.7, 0, NORTH))
    assert repeated(None, guesses) == [-1, 0, -1, 1]


def test_a_guess_of_another_output_repeats_none() -> None:
    assert repeated(None, guessed((0.9, 0, EAST), (0.9, 1, EAST))) == [-1, -1]


def test_a_surer_guess_repeats_none_and_is_repeated_from_then_on() -> None:
    guesses = guessed((0.7, 2, EAST), (0.8, 2, EAST), (0.75, 2, EAST), (0.6, 2, NEARLY_EAST))
    assert repeated(None, guesses) == [-1, -1, 1, 0]


def test_unsure_guesses_repeat_none() -> None:
    assert repeated(None, guessed((0.9, 0, EAST), (0.59, 0, EAST)), least_iou=0.6) == [-1, -1]


def test_numbers_go_on_behind_those_that_are_kept() -> None:
    kept = guessed((0.9, 0, EAST), (0.9, 1, EAST))
    guesses = guessed((0.9, 1, NORTH), (0.8, 1, NEARLY_EAST), (0.8, 1, NORTH), (0.9, 0, EAST))
    assert repeated(kept, guesses) == [-1, 1, 2, 0]


def test_the_nearest_is_repeated() -> None:
    kept = guessed((0.9, 0, NEARLY_EAST), (0.9, 0, EAST))
    assert repeated(kept, guessed((0.8, 0, EAST))) == [1]


def test_without_tokens_none_is_repeated() -> None:
    guesses = TokenGuesses(np.full(2, 0.9, np.float32), np.zeros(2, np.int64), None)
    assert repeated(None, guesses) == [-1, -1]
    assert repeated(guesses, guesses) == [-1, -1]
    assert guesses.add(guesses).directions is None
