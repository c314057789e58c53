"""Prints a checkup: a line for each check, what to do below it, and a sentence at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from pipeline.cli.checkup.check import Check, Outcome
from pipeline.cli.console import out, print_line
from pipeline.messages import quantify, sanitize

_MARKS = {Outcome.OK: "✓", Outcome.WARNING: "!", Outcome.WRONG: "✗"}
_PLAIN_MARKS = {Outcome.OK: "+", Outcome.WARNING: "!", Outcome.WRONG: "x"}
_NAME_WIDTH = 16


def print_check(check: Check) -> None:
    """Print a check, without any secret that a message might hold."""
    console = out()
    mark = _marks(console)[check.outcome]
    print_line(console, f"{mark} {check.name:<{_NAME_WIDTH}}  {sanitize(check.found)}")
    if check.advice:
        print_line(console, f"  {'':<{_NAME_WIDTH}}  -> {sanitize(check.advice)}")


def print_verdict(checks: Sequence[Check]) -> None:
    """Print how many checks came out how."""
    counts = Counter(check.outcome for check in checks)
    wrong, warnings = counts[Outcome.WRONG], counts[Outcome.WARNING]
    found = f"{wrong:,} wrong, {quantify(warnings, 'warning')}" if wrong or warnings else "all well"
    print_line(out(), f"{quantify(len(checks), 'check')}: {found}")


def to_json(checks: Sequence[Check]) -> dict[str, Any]:
    """All of it, as JSON has it, without secrets."""
    listed = [asdict(check) for check in checks]
    for each in listed:
        each["found"], each["advice"] = sanitize(each["found"]), sanitize(each["advice"])
    return {"ok": all(check.outcome is not Outcome.WRONG for check in checks), "checks": listed}


def _marks(console: Console) -> dict[Outcome, str]:
    """What an outcome is shown by, in characters that the terminal has."""
    try:
        "✓✗".encode(console.encoding)
    except UnicodeEncodeError:
        return _PLAIN_MARKS
    return _MARKS
