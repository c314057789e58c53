"""Part 1: masks of a device against those of the unmodified package on the CPU."""

from __future__ import annotations

from collections.abc import Iterator

from bench.bundled import bundled_sam
from bench.device.figures import Figure, Row
from bench.device.sides import PACKAGE_BATCH, OurSide, PackageSide, draw_images, make_sam
from bench.mask_bank import draw_bank
from bench.parity import OURS_OFF, Parity, parity
from workers.segmenters.sam_demo import DEFAULTS

PART = "masks"
_SHAPES = "vit_b", "vit_l", "vit_h"
_SIZE_HW = 480, 640
# Of bfloat16 the borders move by a pixel here and there.
_MIN_IOU = {"fp32": 0.99, "bf16": 0.9}
_LEAST_MATCHED = {"fp32": 0.99, "bf16": 0.9}


def compare(device: str, *, quick: bool) -> Iterator[Row]:
    """The share of masks that have their match both ways, by model and type."""
    yield from _compare_demo(device, quick=quick)
    for shape in _SHAPES[: 1 if quick else None]:
        yield from _compare_shape(device, shape, quick=quick)


def _compare_demo(device: str, *, quick: bool) -> Iterator[Row]:
    shared = {k: v for k, v in DEFAULTS.items() if k not in ("points_per_side", *OURS_OFF)}
    points, images = (4, 1) if quick else (12, 3)
    if quick:
        shared["crop_n_layers"] = 0
    scenes = draw_images(images, _SIZE_HW)
    package = PackageSide(bundled_sam(), "cpu", **shared)
    wanted = [package.find(image, points, PACKAGE_BATCH) for image in scenes]
    for dtype in _MIN_IOU:
        found = OurSide(bundled_sam(), device, dtype, **shared).find(scenes, points)
        pairs = zip(wanted, found, strict=True)
        seen = sum((parity(a, b, _MIN_IOU[dtype]) for a, b in pairs), Parity())
        yield _matched("sam_demo", dtype, seen)


def _compare_shape(device: str, shape: str, *, quick: bool) -> Iterator[Row]:
    points = 4 if quick else 16
    (image,) = draw_images(1, _SIZE_HW)
    sam = make_sam(shape, quick=quick)
    package = PackageSide(sam, "cpu")
    blend = package.calibrate(draw_bank(_SIZE_HW, points, seed=0), image)
    package.take(blend)
    wanted = package.find(image, points, PACKAGE_BATCH)
    for dtype in _MIN_IOU:
        ours = OurSide(sam, device, dtype)
        ours.take(blend)
        (found,) = ours.find([image], points)
        yield _matched(shape, dtype, parity(wanted, found, _MIN_IOU[dtype]))


def _matched(model: str, dtype: str, seen: Parity) -> Figure:
    what = f"{model}, {dtype}: {seen.ours} masks matched both ways at IoU {_MIN_IOU[dtype]}"
    return Figure(PART, what, seen.matched_share, least=_LEAST_MATCHED[dtype])
