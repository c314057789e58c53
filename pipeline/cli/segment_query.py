"""Parses what `objseek segment` is asked for: points, a box, a mask, texts, labels, everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.cli.mask_picture import read_mask
from pipeline.cli.search_examples import parse_box
from pipeline.segmentation.queries import (
    EverythingQuery,
    LabelsQuery,
    PromptQuery,
    SegmentQuery,
    TextQuery,
)
from schemas.errors import UsageError
from schemas.labels import LabelEntry
from schemas.options import LabelOptions
from workers.labelling.labeller import entries_of


@dataclass(frozen=True, slots=True)
class GivenPrompts:
    """What was given on the command line."""

    points: Sequence[str] = ()
    box: str | None = None
    mask: Path | None = None
    texts: Sequence[str] = ()
    labels: Path | None = None
    boxes: Path | None = None
    everything: bool = False
    min_probability: float | None = None

    def parse(self) -> SegmentQuery | None:
        """The query; None: each image is segmented with its boxes. Raises UsageError."""
        kinds = {
            "--point, --box or --mask": bool(self.points or self.box or self.mask),
            "--text": bool(self.texts),
            "--labels": self.labels is not None,
            "--boxes": self.boxes is not None,
            "--everything": self.everything,
        }
        given = [name for name, there in kinds.items() if there]
        if len(given) > 1:
            raise UsageError(f"expected prompts of one kind, got {' and '.join(given)}")
        if self.min_probability is not None and not self.texts:
            raise UsageError("expected a --text to go with --min-probability")
        if self.boxes is not None:
            return None
        if self.texts:
            return TextQuery(tuple(self.texts), self.min_probability)
        if self.labels is not None:
            return LabelsQuery(read_labels(self.labels))
        return self._parse_prompt() if given and not self.everything else EverythingQuery()

    def _parse_prompt(self) -> PromptQuery:
        points = [parse_labelled_point(text) for text in self.points]
        return PromptQuery(
            points_xy=tuple((x, y) for x, y, _ in points),
            point_labels=tuple(label for *_, label in points),
            box_xyxy=None if self.box is None else parse_box(self.box),
            mask=None if self.mask is None else read_mask(self.mask),
        )


def parse_labelled_point(text: str) -> tuple[float, float, int]:
    """`x,y` in pixels and a label: 1 on the object, as without one, 0 off it. Raises UsageError."""
    x, _, rest = text.partition(",")
    y, _, label = rest.partition(",")
    try:
        if label not in ("", "0", "1") or rest.endswith(","):
            raise ValueError(label)
        return float(x), float(y), int(label or 1)
    except ValueError as exc:
        raise UsageError(
            f"expected a point as x,y in pixels, or x,y,1 on the object and x,y,0 off it, "
            f"got {text!r}"
        ) from exc


def read_labels(path: Path) -> tuple[LabelEntry, ...]:
    """A label a line, as ingest takes them. Raises UsageError."""
    entries = entries_of(LabelOptions(names=str(path)), "")
    assert entries is not None
    return entries
