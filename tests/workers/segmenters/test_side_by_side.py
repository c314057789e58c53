"""Crops are worked on in order, and on CUDA each on a stream of its own."""

from __future__ import annotations

import threading

import pytest
import torch

from workers.segmenters.side_by_side import map_side_by_side


def test_on_a_cpu_it_is_one_after_the_other_in_this_thread() -> None:
    seen: list[tuple[int, int]] = []

    def square(number: int) -> int:
        seen.append((number, threading.get_ident()))
        return number**2

    assert map_side_by_side(square, [3, 1, 2], torch.device("cpu")) == [9, 1, 4]
    assert seen == [(number, threading.get_ident()) for number in (3, 1, 2)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_streams_wait_for_what_was_begun_before() -> None:
    device = torch.device("cuda:0")
    large = [torch.full((4096, 4096), float(n), device=device) for n in range(6)]
    products = [x @ x for x in large]  # still under way
    streams: list[int] = []

    def add_up(x: torch.Tensor) -> float:
        streams.append(torch.cuda.current_stream(device).cuda_stream)
        return float(x[0, 0])

    assert map_side_by_side(add_up, products, device) == [4096.0 * n * n for n in range(6)]
    assert torch.cuda.default_stream(device).cuda_stream not in streams


def test_an_error_of_one_is_raised() -> None:
    def fail(number: int) -> int:
        raise torch.OutOfMemoryError(f"no room for {number}")

    with pytest.raises(torch.OutOfMemoryError, match="no room for 1"):
        map_side_by_side(fail, [1, 2], torch.device("cpu"))
