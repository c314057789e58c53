"""Names the classes of a model, and says which of them are things and which stuff."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workers.segmenters.heads import class_names


@dataclass(frozen=True, slots=True)
class Classes:
    """`names` of the classes in the order of a model's output, None: there is none of that number.

    `stuff` are the numbers of those that have no instances; None: which these are is not known.
    """

    names: tuple[str | None, ...]
    stuff: frozenset[int] | None = None

    def describe(self) -> dict[str, object]:
        """For a fingerprint."""
        return {
            "names": list(self.names),
            "stuff": None if self.stuff is None else sorted(self.stuff),
        }

    @property
    def stuff_labels(self) -> frozenset[str]:
        """Their names; none where it is not known."""
        return frozenset(name for number in self.stuff or () if (name := self.names[number]))

    @property
    def is_stuff(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """bool (classes,), all False where it is not known."""
        return np.isin(np.arange(len(self.names)), list(self.stuff or ()))


def read_classes(config: Mapping[str, Any], count: int) -> Classes:
    """Those that the config of a hub's model names, or else those known by their `count`.

    Configs that were never filled in name classes LABEL_0 and so on. `stuff_ids` is ours: the
    numbers of those that have no instances.
    """
    given = config.get("id2label") or {}
    labels = {int(key): str(name) for key, name in given.items()}
    known = class_names.KNOWN.get(count)
    if all(name.startswith("LABEL_") for name in labels.values()):
        names = known.names if known else tuple(f"class {number}" for number in range(count))
        labels = dict(enumerate(names))
    stuff = frozenset(config["stuff_ids"]) if "stuff_ids" in config else None
    if stuff is None and known:
        stuff = known.stuff
    return Classes(tuple(_clean(labels.get(number, "")) for number in range(count)), stuff)


def _clean(name: str) -> str | None:
    """As people say it: `tree-merged` is a tree. N/A is none."""
    plain = name.strip().removesuffix("-merged").removesuffix("-other").removesuffix("-stuff")
    return None if plain in ("N/A", "") else plain
