"""What objects may be called: lists of labels, and the labels that an object got."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

UNLABELLED = "object"
"""The category of what has no label, in files of COCO."""
MAX_LABELS = 20_000
MAX_LABEL_CHARS = 120


@dataclass(frozen=True, slots=True)
class LabelEntry:
    """A label of a list, and other words that whoever means it may search with."""

    name: str
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Label:
    """A label that an object got; `score` is the probability that it is right, of 0..1."""

    entry: LabelEntry
    score: float

    @property
    def name(self) -> str:
        return self.entry.name


@dataclass(frozen=True, slots=True)
class Naming:
    """What an object is called: its labels, surest first.

    `logsumexp`: log of the sum, over all labels of the list, of exp(scale times similarity). With
    it the probability of any other text can be told that was none of the list. None for images,
    whose labels are those of their objects.
    """

    labels: tuple[Label, ...]
    logsumexp: float | None = None


def parse_labels(lines: Iterable[str]) -> tuple[LabelEntry, ...]:
    """The entries of a list: a label a line, after a colon its keywords, parted by commas.

    Blank lines and those that begin with `#` are passed by. Raises ValueError that names the line
    for one without a name, one that is too long, and a name that stood before.
    """
    entries: dict[str, LabelEntry] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, _, rest = text.partition(":")
        name = " ".join(name.split())
        if not name:
            raise ValueError(f"line {number}: expected a label before the colon")
        if len(text) > 10 * MAX_LABEL_CHARS or len(name) > MAX_LABEL_CHARS:
            raise ValueError(f"line {number}: expected at most {MAX_LABEL_CHARS} characters")
        if name in entries:
            raise ValueError(f"line {number}: the label {name!r} stands twice")
        keywords = tuple(dict.fromkeys(word.strip() for word in rest.split(",") if word.strip()))
        entries[name] = LabelEntry(name, keywords)
    if not entries:
        raise ValueError("it holds no label")
    if len(entries) > MAX_LABELS:
        raise ValueError(f"expected at most {MAX_LABELS:,} labels, got {len(entries):,}")
    return tuple(entries.values())
