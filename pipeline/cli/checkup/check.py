"""Defines what `objseek doctor` finds: a check with its outcome, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a check came out: `warning` may be as it is meant to be, `wrong` keeps work from it."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a checkup. `advice` says what to do, empty where nothing has to be done."""

    name: str
    outcome: Outcome
    found: str
    advice: str = ""


def passed(name: str, found: str) -> Check:
    """A check that found what it should."""
    return Check(name, Outcome.OK, found)


def warned(name: str, found: str, advice: str) -> Check:
    """A check that found what may be meant so."""
    return Check(name, Outcome.WARNING, found, advice)


def failed(name: str, found: str, advice: str) -> Check:
    """A check that found what keeps work from being done."""
    return Check(name, Outcome.WRONG, found, advice)
