"""A prompt: clicks, a box and an earlier mask of one image, together."""

from __future__ import annotations

from dataclasses import dataclass, replace

from schemas.boxes import BoxXyxy
from schemas.errors import UsageError
from workers.segmenter_protocols import Float32Logits


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """See `PromptSession.predict`."""

    points_xy: tuple[tuple[float, float], ...]
    labels: tuple[int, ...]
    box_xyxy: BoxXyxy | None
    mask_input: Float32Logits | None

    @property
    def is_single_click(self) -> bool:
        """Whether it is one click on an object and nothing else."""
        return self.labels == (1,) and self.box_xyxy is None and self.mask_input is None

    @property
    def only_box(self) -> BoxXyxy | None:
        """The box, where there is nothing else."""
        return None if self.points_xy or self.mask_input is not None else self.box_xyxy

    def place(self) -> tuple[float, float] | None:
        """Where the object lies: at the last click on it, or in the middle of the box."""
        pairs = zip(self.points_xy, self.labels, strict=True)
        on_object = [point for point, label in pairs if label]
        if on_object:
            return on_object[-1]
        if self.box_xyxy is None:
            return None
        x0, y0, x1, y1 = self.box_xyxy
        return (x0 + x1) / 2, (y0 + y1) / 2

    def include_points(self, bounds: BoxXyxy) -> BoxXyxy:
        """Bounds, xyxy, widened to the clicks on the object."""
        x0, y0, x1, y1 = bounds
        for (x, y), label in zip(self.points_xy, self.labels, strict=True):
            if label:
                x0, y0, x1, y1 = min(x0, x), min(y0, y), max(x1, x), max(y1, y)
        return x0, y0, x1, y1

    def within(self, part_xyxy: tuple[int, ...]) -> Prompt:
        """The same in the pixels of a part of the image, without clicks outside of it."""
        x0, y0, x1, y1 = part_xyxy
        kept = [
            ((x - x0, y - y0), label)
            for (x, y), label in zip(self.points_xy, self.labels, strict=True)
            if x0 <= x <= x1 and y0 <= y <= y1
        ]
        box = self.box_xyxy
        if box is not None:
            box = box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0
        return replace(
            self,
            points_xy=tuple(point for point, _ in kept),
            labels=tuple(label for _, label in kept),
            box_xyxy=box,
        )

    def check(self, size_hw: tuple[int, int], low_side: int) -> None:
        """Raise UsageError for a prompt that is empty, or of another image or model."""
        if not self.points_xy and self.box_xyxy is None and self.mask_input is None:
            raise UsageError("expected a point, a box or a mask to prompt with, got none of them")
        self._check_points(size_hw)
        height, width = size_hw
        if self.box_xyxy is not None:
            x0, y0, x1, y1 = self.box_xyxy
            if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
                raise UsageError(
                    f"expected a box x0,y0,x1,y1 within the image's {width} x {height} pixels, "
                    f"got {x0:g},{y0:g},{x1:g},{y1:g}"
                )
        if self.mask_input is not None and self.mask_input.shape != (low_side, low_side):
            raise UsageError(
                f"expected a mask of {low_side} x {low_side} logits, "
                f"got one of shape {self.mask_input.shape}"
            )

    def _check_points(self, size_hw: tuple[int, int]) -> None:
        height, width = size_hw
        if len(self.labels) != len(self.points_xy):
            raise UsageError(
                f"expected a label for each point, got {len(self.labels)} "
                f"for {len(self.points_xy)} points"
            )
        for (x, y), label in zip(self.points_xy, self.labels, strict=True):
            if not (0 <= x < width and 0 <= y < height):
                raise UsageError(
                    f"expected a point within the image's {width} x {height} pixels, "
                    f"got {x:g},{y:g}"
                )
            if label not in (0, 1):
                raise UsageError(f"expected a point's label to be 0 or 1, got {label}")
