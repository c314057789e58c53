"""Defines tags: the short names that people give to objects, and changes of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from schemas.errors import UsageError

TAGS = "tags"
"""The field of the payload that holds them."""
Tags = tuple[str, ...]
ChangeTags = Callable[[str, Tags], Tags]
"""The tags that a point is to have, of its id and those that it has."""
MAX_TAG_CHARS = 64
MOST_TAGS = 64
"""Of a point."""
_NOT_IN_TAGS = ("Cc", "Cs")  # control characters, halves of surrogate pairs
_SHOWN_CHARACTERS = 80


def parse_tag(text: str) -> str:
    """A tag as it is kept: as written, without blanks around it. Raises UsageError."""
    tag = " ".join(text.split())
    if any(unicodedata.category(each) in _NOT_IN_TAGS for each in tag):
        raise UsageError(f"expected a tag of Unicode characters, got {text[:_SHOWN_CHARACTERS]!r}")
    if not 0 < len(tag) <= MAX_TAG_CHARS:
        raise UsageError(
            f"expected a tag of 1 to {MAX_TAG_CHARS} characters, got {len(tag)} of them"
        )
    return tag


@dataclass(frozen=True, slots=True)
class TagChange:
    """Tags that points are to have from now on, and tags that they are not to have."""

    add: Tags = ()
    remove: Tags = ()

    @classmethod
    def parse(cls, add: Iterable[str], remove: Iterable[str]) -> Self:
        """Raises UsageError for what is no tag, none at all, and one that is in both."""
        change = cls(tuple(map(parse_tag, add)), tuple(map(parse_tag, remove)))
        if not (change.add or change.remove):
            raise UsageError("expected a tag to add or to remove, got none")
        for tag in change.add:
            if tag in change.remove:
                raise UsageError(f"expected a tag to add or to remove, got {tag!r} for both")
        return change

    def apply(self, tags: Iterable[str]) -> Tags:
        """The tags of a point after the change, in their order. Raises UsageError for too many."""
        before = tuple(tags)
        kept = (tag for tag in (*before, *self.add) if tag not in self.remove)
        after = tuple(dict.fromkeys(kept))
        if len(after) > max(MOST_TAGS, len(before)):
            raise UsageError(f"expected at most {MOST_TAGS} tags of an object, got {len(after)}")
        return after
