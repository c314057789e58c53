"""Work on as many items at once as there is memory for, and how that is told from other errors."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from workers.batching import WithinMemory, is_out_of_memory
from workers.embedders.within_memory import EmbedderWithinMemory
from workers.protocols import UInt8Crops


class Doubling:
    """Doubles numbers, at most `most` at once; `tried` are the sizes that it was called with."""

    def __init__(self, most: int, error: type[Exception] = MemoryError) -> None:
        self._most, self._error = most, error
        self.tried: list[int] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.tried.append(len(items))
        if len(items) > self._most:
            raise self._error("CUDA out of memory. Tried to allocate 2.00 GiB")
        return [2 * item for item in items]


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_too_many_are_halved_until_they_fit_and_so_are_those_that_follow(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    work = Doubling(3, error)
    fitting = WithinMemory(work, "images")
    with caplog.at_level(logging.WARNING):
        assert fitting(range(8)) == [0, 2, 4, 6, 8, 10, 12, 14]
        assert work.tried == [8, 4, 2, 2, 2, 2]
        assert fitting(range(5)) == [0, 2, 4, 6, 8]
    assert work.tried[6:] == [2, 2, 1]
    assert fitting.at_once == 2
    assert caplog.messages == [
        "no memory for 8 images at once: from now on 4",
        "no memory for 4 images at once: from now on 2",
    ]


def test_only_what_was_too_much_is_done_again() -> None:
    done: list[int] = []

    def work(items: Sequence[int]) -> list[int]:
        if sum(items) > 10:
            raise MemoryError
        done.extend(items)
        return list(items)

    fitting = WithinMemory(work, "images")
    fitting.lower(4)
    assert fitting([1, 1, 1, 1, 4, 4, 4, 4]) == [1, 1, 1, 1, 4, 4, 4, 4]
    assert done == [1, 1, 1, 1, 4, 4, 4, 4]


def test_one_that_is_too_large_is_raised_and_so_is_another_error() -> None:
    with pytest.raises(MemoryError):
        WithinMemory(Doubling(0), "images")(range(4))
    fitting = WithinMemory(Doubling(1, ValueError), "images")
    with pytest.raises(ValueError, match="out of memory"):
        fitting(range(4))
    assert fitting.at_once is None


def test_what_others_have_found_to_fit_is_only_ever_lowered() -> None:
    fitting = WithinMemory(Doubling(9), "images")
    lowered = []
    for most in (None, 4, 6, None, 2):
        fitting.lower(most)
        lowered.append(fitting.at_once)
    assert lowered == [None, 4, 4, 4, 2]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError("out of memory"), False),
    ],
)
def test_lack_of_memory_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected
    wrapped = ValueError("a step failed")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped) == expected


def test_an_embedder_gets_as_many_crops_as_fit() -> None:
    sizes = []

    class Narrow:
        name, dim, fingerprint = "narrow", 2, "f"

        def embed_images(self, crops: UInt8Crops) -> np.ndarray:
            sizes.append(len(crops))
            if len(crops) > 2:
                raise MemoryError
            return np.array([[crop[0, 0, 0], 1] for crop in crops], np.float32)

    embedder = EmbedderWithinMemory(Narrow())
    crops = [np.full((2, 2, 3), number, np.uint8) for number in range(5)]
    vectors = embedder.embed_images(crops)
    assert vectors.tolist() == [[0, 1], [1, 1], [2, 1], [3, 1], [4, 1]]
    assert (vectors.dtype, sizes) == (np.float32, [5, 3, 2, 2, 1])
    assert embedder.embed_images([]).shape == (0, 2)
    assert (embedder.name, embedder.dim, embedder.fingerprint) == ("narrow", 2, "f")
