"""Says which labels there are when a filter names one that no object has."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from pipeline.cli.console import print_note
from pipeline.messages import sanitize
from schemas.search import Condition

_MOST = 5


def print_label_hint(
    conditions: Sequence[Condition], list_labels: Callable[[], Sequence[str]]
) -> None:
    """Print to stderr, for each `labels=` that names no label, the labels that come near.

    `list_labels` gives those that objects have, the most frequent first; it is called only if a
    condition names a label.
    """
    wanted = [str(item.value) for item in conditions if (item.field, item.op) == ("labels", "=")]
    labels = list_labels() if wanted else []
    for label in wanted:
        if label not in labels:
            near = ", ".join(find_near_labels(label, labels)) or "none"
            print_note(sanitize(f"no object is labelled {label!r}; there are: {near}"))


def find_near_labels(label: str, labels: Sequence[str]) -> list[str]:
    """At most five of `labels`: that share a word, else that are spelt alike, else the first."""
    words = set(label.casefold().split())
    sharing = [known for known in labels if words & set(known.casefold().split())]
    near = sharing or difflib.get_close_matches(label, labels, n=_MOST, cutoff=0.6)
    return list(near or labels)[:_MOST]
