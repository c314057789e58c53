"""How long each part of segmenting takes, on either side."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from torch import Tensor, nn

from schemas.images import UInt8Image
from workers.segmenters.decoder.contour import Levels
from workers.segmenters.sam_prompter import BoolMatrix, Float32s, Float64s, Guesses, Prompter, View


class Clock:
    """CPU seconds by part, and of all together the wall's too."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        started, wall = time.process_time(), time.perf_counter()
        yield
        self.spent[part] += time.process_time() - started
        self.spent[f"{part}_wall"] += time.perf_counter() - wall

    @property
    def post(self) -> float:
        """What is neither preparing and encoding the image nor the decoder."""
        return self.spent["all"] - self.spent["encode"] - self.spent["decode"]

    @property
    def after_encoder(self) -> float:
        return self.spent["all"] - self.spent["encode"]


class Timed(nn.Module):
    """A module whose time counts for a part."""

    def __init__(self, module: nn.Module, clock: Clock, part: str) -> None:
        super().__init__()
        self.module, self.clock, self.part = module, clock, part

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with self.clock.of(self.part):
            return self.module(*args, **kwargs)


class TimedPredictor(SamPredictor):
    """A predictor whose preparing and encoding of an image counts as encoding."""

    def __init__(self, model: Sam, clock: Clock) -> None:
        super().__init__(model)
        self.clock = clock

    def set_image(self, image: UInt8Image, image_format: str = "RGB") -> None:
        with self.clock.of("encode"):
            super().set_image(image, image_format)


@dataclass(frozen=True, slots=True, eq=False)
class _TimedGuesses:
    inner: Guesses
    clock: Clock

    @property
    def predicted_iou(self) -> Float32s:
        return self.inner.predicted_iou

    @property
    def mask_tokens(self) -> Float32s | None:
        return self.inner.mask_tokens

    def logits(self, chosen: BoolMatrix, levels: Levels | None = None) -> Tensor:
        with self.clock.of("decode"):
            return self.inner.logits(chosen, levels)


@dataclass(frozen=True, slots=True, eq=False)
class _TimedView:
    inner: View
    clock: Clock

    @property
    def embedding(self) -> Tensor:
        return self.inner.embedding

    def guess(self, points_xy: Float64s) -> Guesses:
        with self.clock.of("decode"):
            return _TimedGuesses(self.inner.guess(points_xy), self.clock)


class TimedPrompter:
    """A prompter whose views count as encoding, whose guesses as decoding."""

    def __init__(self, inner: Prompter, clock: Clock) -> None:
        self.inner, self.clock = inner, clock
        self.frame_side, self.low_side = inner.frame_side, inner.low_side
        self.stretches = inner.stretches
        self.mask_threshold, self.device = inner.mask_threshold, inner.device

    def encode(self, images: Sequence[UInt8Image]) -> list[View]:
        with self.clock.of("encode"):
            views = self.inner.encode(images)
        return [_TimedView(view, self.clock) for view in views]
