"""Tells which guesses of a crop say what an earlier one says, before their masks are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from workers.segmenters.point_choice import Bools, Float32s, Int64s
from workers.segmenters.sam_prompter import Guesses


@dataclass(frozen=True, slots=True, eq=False)
class TokenGuesses:
    """m guesses of a crop, in order.

    predicted_iou float32 (m,); outputs int64 (m,): which of the decoder's outputs each is.
    directions float32 (m, c): their mask tokens, divided by their lengths; None where a model has
    none, or nobody compares them.
    """

    predicted_iou: Float32s
    outputs: Int64s
    directions: Float32s | None

    @classmethod
    def of(cls, guesses: Guesses, chosen: Bools, *, with_tokens: bool) -> TokenGuesses:
        """Those of bool (n, 3), at least one. Tokens may have to be fetched from a device."""
        predicted_iou, outputs = guesses.predicted_iou[chosen], np.nonzero(chosen)[1]
        tokens = guesses.mask_tokens if with_tokens else None
        if tokens is None:
            return cls(predicted_iou, outputs, None)
        picked = tokens[chosen]
        lengths = np.linalg.norm(picked, axis=1, keepdims=True)
        return cls(predicted_iou, outputs, picked / lengths.clip(min=1e-12))

    def take(self, kept: Bools) -> TokenGuesses:
        """Those of bool (m,)."""
        directions = None if self.directions is None else self.directions[kept]
        return TokenGuesses(self.predicted_iou[kept], self.outputs[kept], directions)

    def add(self, others: TokenGuesses) -> TokenGuesses:
        """These and then the others, of the same model."""
        directions = None
        if self.directions is not None and others.directions is not None:
            directions = np.concatenate([self.directions, others.directions])
        return TokenGuesses(
            np.concatenate([self.predicted_iou, others.predicted_iou]),
            np.concatenate([self.outputs, others.outputs]),
            directions,
        )


def find_repeated(
    kept: TokenGuesses | None, guesses: TokenGuesses, least_cosine: float, least_iou: float
) -> Int64s:
    """Which kept guess each of m repeats: int64 (m,), -1 for those that are new.

    New ones are kept in their turn, and numbered on. A guess of a predicted IoU of at least
    `least_iou` repeats one that is no less sure, which non-maximum suppression would keep, and
    whose token has at least `least_cosine` with its own. Tokens of one output are comparable only:
    each output has a network of its own that makes a mask's weights of them. Of less sure guesses
    masks differ although their tokens hardly do. Of several it repeats the nearest.
    """
    repeated = np.full(len(guesses.outputs), -1, np.int64)
    every = guesses if kept is None else kept.add(guesses)
    if guesses.directions is None or every.directions is None:
        return repeated
    before = len(every.outputs) - len(repeated)
    # By torch, which has one thread here; NumPy's would wait for each other, spinning.
    cosines = (torch.from_numpy(guesses.directions) @ torch.from_numpy(every.directions).T).numpy()
    alike = (
        (cosines >= least_cosine)
        & (guesses.outputs[:, None] == every.outputs)
        & (guesses.predicted_iou[:, None] <= every.predicted_iou)
        & (guesses.predicted_iou[:, None] >= least_iou)
    )
    numbers = np.full(len(every.outputs), -1, np.int64)
    numbers[:before] = np.arange(before)
    count = before
    for row in range(len(repeated)):
        candidates = np.flatnonzero(alike[row] & (numbers >= 0))
        if len(candidates):
            repeated[row] = numbers[candidates[cosines[row, candidates].argmax()]]
        else:
            numbers[before + row], count = count, count + 1
    return repeated
