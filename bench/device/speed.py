"""Part 2: images a second, against the unmodified package on the same device."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from bench.device.figures import Figure, Row
from bench.device.sides import (
    OurSide,
    PackageSide,
    draw_images,
    make_sam,
    synchronize,
)
from bench.mask_bank import MaskBank, draw_bank
from bench.parity import Parity, parity
from schemas.images import UInt8Image

PART = "speed"
_BATCHES = 64, 256  # of the package's `points_per_batch`
_LEAST_MATCHED = {"fp32": 0.99, "bf16": 0.9}
_MIN_IOU = {"fp32": 0.99, "bf16": 0.9}
# By shape and type: against the package after the encoder and with it, and images a second.
_LEAST_RATIOS = {("vit_h", "bf16"): (8.0, 4.0)}
_LEAST_RATE = {("vit_b", "bf16"): 15.0}
_LEAST_ADAPTIVE = {("vit_b", "bf16"): 40.0}


@dataclass(frozen=True, slots=True)
class Load:
    """What is segmented: images of one size, a grid of so many points a side, how often.

    No `rounds`: once, and nothing is asked of the time.
    """

    size_hw: tuple[int, int]
    images: int
    points_per_side: int
    rounds: int

    def draw(self) -> list[UInt8Image]:
        return draw_images(self.images, self.size_hw)

    @property
    def size(self) -> str:
        return f"{self.size_hw[1]} x {self.size_hw[0]}"


def measure(device: str, *, quick: bool) -> Iterator[Row]:
    """Of the shapes B and H: both sides' images a second and their ratios."""
    if quick:
        yield from _measure_shape(device, "vit_b", [Load((96, 128), 1, 4, 0)], quick=True)
        return
    loads = [Load((480, 640), 8, 32, 2), Load((1080, 1620), 4, 32, 1)]
    yield from _measure_shape(device, "vit_b", loads, quick=False)
    yield from _measure_shape(device, "vit_h", loads[:1], quick=False)


@functools.cache
def _draw_bank(load: Load) -> MaskBank:
    return draw_bank(load.size_hw, load.points_per_side, seed=1)


def _measure_shape(device: str, shape: str, loads: Sequence[Load], *, quick: bool) -> Iterator[Row]:
    sam = make_sam(shape, quick=quick)
    package = PackageSide(sam, device)
    ours = {dtype: OurSide(sam, device, dtype) for dtype in _MIN_IOU}
    for load in loads:
        images = load.draw()
        bank = _draw_bank(load)
        blend = package.calibrate(bank, images[0])
        package.take(blend)
        theirs = _time_package(package, images[:1], load, device)
        what = f"{shape}, {load.size}"
        yield Figure(PART, f"{what}: the package, batches of {theirs.batch}", theirs.rate, "/s")
        for dtype, side in ours.items():
            side.take(blend)
            yield from _measure_ours(what, (shape, dtype), side, theirs, images, load, device)


@dataclass(frozen=True, slots=True)
class _Times:
    """Seconds an image, in all and in the encoder; the masks of the first images."""

    whole: float
    encode: float
    batch: int
    masks: list[list]

    @property
    def rate(self) -> float:
        return 1 / self.whole

    @property
    def after_encoder(self) -> float:
        return self.whole - self.encode


def _time_package(
    package: PackageSide, images: Sequence[UInt8Image], load: Load, device: str
) -> _Times:
    """With the `points_per_batch` that is fastest here."""
    least: _Times | None = None
    encode = _seconds(partial(package.encode, images[0]), device, load.rounds)
    for batch in _BATCHES[: 1 if load.points_per_side < 8 else None]:
        masks: list[list] = []
        started = _now(device)
        for image in images:
            masks.append(package.find(image, load.points_per_side, batch))
        times = _Times((_now(device) - started) / len(images), encode, batch, masks)
        if least is None or times.whole < least.whole:
            least = times
    assert least is not None
    return least


def _measure_ours(
    what: str,
    key: tuple[str, str],
    side: OurSide,
    theirs: _Times,
    images: Sequence[UInt8Image],
    load: Load,
    device: str,
) -> Iterator[Row]:
    dtype = key[1]
    found = side.find(images, load.points_per_side)  # also warms up
    seen = sum(
        (parity(a, b, _MIN_IOU[dtype]) for a, b in zip(theirs.masks, found, strict=False)), Parity()
    )
    yield Figure(PART, f"{what}, {dtype}: matched", seen.matched_share, "", _LEAST_MATCHED[dtype])
    run = partial(side.find, images, load.points_per_side)
    whole = _seconds(run, device, rounds=load.rounds) / len(images)
    encode = _seconds(partial(side.encode, images), device, load.rounds) / len(images)
    yield Figure(PART, f"{what}, {dtype}: grid", 1 / whole, "/s", _LEAST_RATE.get(key))
    yield Figure(PART, f"{what}, {dtype}: encoder alone", 1 / encode, "/s")
    after, with_encoder = _LEAST_RATIOS.get(key, (None, None))
    ratio = theirs.after_encoder / (whole - encode)
    yield Figure(PART, f"{what}, {dtype}: after the encoder, to the package", ratio, "x", after)
    ratio = theirs.whole / whole
    yield Figure(PART, f"{what}, {dtype}: in all, to the package", ratio, "x", with_encoder)
    adaptive = partial(side.find, images, load.points_per_side, "adaptive")
    before = side.prompter.prompts
    adaptive()
    prompts = (side.prompter.prompts - before) / len(images)
    whole = _seconds(adaptive, device, rounds=load.rounds) / len(images)
    yield Figure(PART, f"{what}, {dtype}: adaptive, prompts an image", prompts)
    yield Figure(PART, f"{what}, {dtype}: adaptive", 1 / whole, "/s", _LEAST_ADAPTIVE.get(key))


def _now(device: str) -> float:
    synchronize(device)
    return time.perf_counter()


def _seconds(run: Callable[[], object], device: str, rounds: int) -> float:
    """The least of some rounds, after one that warms up."""
    spent = []
    for _ in range(rounds + 1):
        started = _now(device)
        run()
        spent.append(_now(device) - started)
    return min(spent[1:] or spent)
