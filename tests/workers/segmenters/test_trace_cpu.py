"""Traced masks are those that segment-anything builds, counts, boxes and encodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anything.utils.amg import (
    batched_mask_to_box,
    calculate_stability_score,
    coco_encode_rle,
    mask_to_rle_pytorch,
    uncrop_masks,
)
from torch import Tensor
from torch.nn.functional import interpolate

from workers.segmenters.masks import trace_cpu, trace_gpu
from workers.segmenters.masks.trace_cpu import HostTracer
from workers.segmenters.masks.trace_gpu import DeviceTracer
from workers.segmenters.masks.tracer import Frame, Tracer, make_axis

Hw = tuple[int, int]


def blobs(count: int, side: int, seed: int) -> Tensor:
    """float32 (count, side, side): smooth islands and holes with rough edges, full, empty."""
    draw = torch.Generator().manual_seed(seed)
    smooth = torch.randn(count, 1, 6, 6, generator=draw) * 4
    logits = interpolate(smooth, (side, side), mode="bicubic")[:, 0]
    logits += 0.3 * torch.randn(count, side, side, generator=draw)
    logits[0], logits[1] = 5, -5
    return logits


def used_of(size_hw: Hw, frame_side: int) -> Hw:
    scale = frame_side / max(size_hw)
    return int(size_hw[0] * scale + 0.5), int(size_hw[1] * scale + 0.5)


def check(
    tracing: type[HostTracer | DeviceTracer], low_side: int, frame_side: int, size_hw: Hw,
    left: int, right: int, top: int, below: int,
) -> None:  # fmt: skip
    """What is traced on a device is so on the CPU too."""
    logits, used = blobs(5, low_side, seed=sum(size_hw)), used_of(size_hw, frame_side)
    scaled = interpolate(logits[None], (frame_side, frame_side), mode="bilinear")
    scaled = interpolate(scaled[..., : used[0], : used[1]], size_hw, mode="bilinear")[0]
    masks = scaled > 0
    height, width = size_hw[0] + top + below, size_hw[1] + left + right
    box = [left, top, left + size_hw[1], top + size_hw[0]]
    whole = uncrop_masks(masks, box, height, width)
    wanted = [rle["counts"] for rle in mask_to_rle_pytorch(whole)]

    rows = make_axis(size_hw[0], used[0], low_side, frame_side)
    columns = make_axis(size_hw[1], used[1], low_side, frame_side)
    needed = int(rows.first[-1]) + 3
    frame = Frame(size_hw, left, top, (height, width))
    tracer: Tracer = tracing(rows, columns, frame, 0.0, 1.0)
    assert tracer.finish().counts == []
    for batch in logits[:, :needed].split(3):
        tracer.add(batch.contiguous())
    found = tracer.finish()
    sizes = {"size": [height, width]}
    packed = [coco_encode_rle({**sizes, "counts": counts})["counts"] for counts in wanted]
    assert found.counts == packed
    assert found.area.tolist() == masks.sum((1, 2)).tolist()
    assert found.boxes.tolist() == batched_mask_to_box(masks).tolist()
    stability = calculate_stability_score(scaled, 0.0, 1.0).numpy()
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found.inside / found.outside, stability, rtol=1e-6)


@pytest.mark.parametrize("tracing", [HostTracer, DeviceTracer])
@pytest.mark.parametrize(
    ("low_side", "frame_side", "size_hw"),
    [
        (160, 320, (480, 640)),
        (256, 1024, (700, 1000)),
        (256, 1024, (333, 100)),
        (256, 1024, (40, 50)),
        (16, 64, (3, 200)),
        (64, 64, (64, 64)),
    ],
)
@pytest.mark.parametrize("margins", [(0, 0, 0, 0), (7, 4, 0, 0), (0, 0, 5, 3), (0, 9, 0, 9)])
def test_masks_are_those_of_the_package(
    tracing: type[HostTracer | DeviceTracer], low_side: int, frame_side: int, size_hw: Hw,
    margins: tuple[int, int, int, int],
) -> None:  # fmt: skip
    check(tracing, low_side, frame_side, size_hw, *margins)


@settings(max_examples=60)
@given(
    tracing=st.sampled_from([HostTracer, DeviceTracer]),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    scale=st.sampled_from([1, 2, 4]),
    margins=st.tuples(*[st.integers(0, 3)] * 4),
)
def test_masks_of_any_size(
    tracing: type[HostTracer | DeviceTracer], height: int, width: int, scale: int,
    margins: tuple[int, int, int, int],
) -> None:  # fmt: skip
    if min(used_of((height, width), 16 * scale)) > 0:
        check(tracing, 16, 16 * scale, (height, width), *margins)


def test_a_mask_of_many_runs_gets_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_cpu, "_CHANGES_OF_A_MASK", 8)
    check(HostTracer, 16, 64, (50, 60), 0, 0, 0, 0)


def test_a_device_holds_few_whole_masks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    trace_them = DeviceTracer._trace

    def noted(tracer: DeviceTracer, values: Tensor) -> object:
        held.append(len(values))
        return trace_them(tracer, values)

    monkeypatch.setattr(DeviceTracer, "_trace", noted)
    monkeypatch.setattr(trace_gpu, "_AT_ONCE_PX", 2 * 50 * 60)
    check(DeviceTracer, 16, 64, (50, 60), 2, 0, 0, 1)
    assert held == [2, 1, 2]
