"""Part 5: the most memory that segmenting takes, and what happens when a device has too little."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bench.device.figures import Figure, Note, Row
from bench.device.sides import OurSide, PackageSide, draw_images, make_sam
from bench.mask_bank import draw_bank
from bench.parity import Parity, parity

PART = "memory"
_SIZE_HW = 480, 640
_IMAGES, _POINTS = 8, 16
_GIB = 2**30


def measure(device: str, *, quick: bool) -> Iterator[Row]:
    """Of the shape H in bfloat16: peak memory, then the same masks where half of it is missing."""
    if device != "cuda":
        yield Note(PART, "peak and shortage", "only on CUDA")
        return
    sam = make_sam("vit_h", quick=quick)
    images = draw_images(_IMAGES, _SIZE_HW)
    package = PackageSide(sam, device)
    blend = package.calibrate(draw_bank(_SIZE_HW, _POINTS, seed=2), images[0])
    del package
    side = OurSide(sam, device, "bf16")
    side.take(blend)
    torch.cuda.empty_cache()
    model = torch.cuda.memory_allocated()
    peaks = {count: _peak(side, images[:count]) for count in (1, 4)}
    for count, peak in peaks.items():
        yield Figure(PART, f"vit_h, bf16, {count} at once: beside the model", peak / _GIB, "GiB")
    wanted = side.find(images, _POINTS)
    # Room for the model and for one or two images' encoding, not for four.
    room = model + (peaks[1] + peaks[4]) // 2
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(room / total)
    try:
        segmenter = side.segmenter(_POINTS)
        found = [[mask.rle for mask in masks] for masks in segmenter.segment(images)]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    seen = sum((parity(a, b) for a, b in zip(wanted, found, strict=True)), Parity())
    yield Note(PART, "with room for fewer", f"{segmenter._at_once} images at once, of 4")
    yield Figure(PART, "the same masks then, at IoU 0.99", seen.matched_share, "", 0.99)


def _peak(side: OurSide, images: list) -> int:
    """The most bytes beside those of the model."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    side.find(images, _POINTS)
    return torch.cuda.max_memory_allocated() - before
