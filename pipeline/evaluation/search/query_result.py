"""Defines what became of a query: its hits, what each is worth, and how much there is to find."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from schemas.search import Relevance


class QueryKind(StrEnum):
    """What a query is asked with."""

    TEXT = "text"
    IMAGE = "image"
    OBJECT = "object"


class Verdict(StrEnum):
    """What a hit is worth to its query.

    `right`: it shows what is to be found, and no hit before it did. `again`: an earlier one did: it
    gains nothing, and takes a place. `extra`: it shows the like that need not be found (hidden,
    tiny), and `unjudged`: nobody knows what it shows, or it lies in the query's own image: these
    take no place in a ranking.
    """

    RIGHT = "right"
    AGAIN = "again"
    EXTRA = "extra"
    WRONG = "wrong"
    UNJUDGED = "unjudged"


SHOWS_IT = frozenset({Verdict.RIGHT, Verdict.AGAIN, Verdict.EXTRA})
"""The verdicts on hits that show what was searched for."""
_TAKES_A_PLACE = frozenset({Verdict.RIGHT, Verdict.AGAIN, Verdict.WRONG})


@dataclass(frozen=True, slots=True)
class JudgedHit:
    """A hit with its verdict; `shows` is what it is called by the truth, else by the index."""

    object_id: str
    uri: str
    shows: str | None
    probability: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class QueryResult:
    """A query, the number of its line in its file, and its hits as a search shows them.

    `wanted` is how many objects are to be found, 0: what is asked for is not there; None: there is
    some, but none that must be found. `learnt`: whether the embedder has learnt all its words.
    """

    line: int
    name: str
    kind: QueryKind
    wanted: int | None
    hits: tuple[JudgedHit, ...]
    relevance: Relevance | None = None
    learnt: bool = True

    @property
    def gains(self) -> tuple[bool, ...]:
        """Of the hits that take a place, best first: whether each shows something further."""
        return tuple(
            hit.verdict is Verdict.RIGHT for hit in self.hits if hit.verdict in _TAKES_A_PLACE
        )

    @property
    def first_rank(self) -> int | None:
        """The place of the first right hit, from 1; None if there is none."""
        return next((rank for rank, gain in enumerate(self.gains, start=1) if gain), None)

    @property
    def is_weak(self) -> bool | None:
        """Whether a search says that nothing likely was found; None if it cannot tell."""
        if not self.hits:
            return True
        return None if self.relevance is None else self.relevance is Relevance.WEAK
