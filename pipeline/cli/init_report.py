"""Prints how a collection is set up: each setting with its reason, and what it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pipeline.cli.console import out, print_line
from pipeline.cli.plan_report import format_number, format_size
from pipeline.cli.run_init import InitOutcome
from pipeline.cli.tables import print_rows
from pipeline.messages import quantify

_COLUMNS = ("setting", "value", "why")


def print_outcome(outcome: InitOutcome, location: str) -> None:
    """Print the table and the sentences below it."""
    print_line(out(), _title(outcome, location))
    print_rows(_COLUMNS, [(each.setting, each.value, each.why) for each in outcome.plan.choices])
    print_line(out(), "")
    for sentence in _list_sentences(outcome, location):
        print_line(out(), sentence)


def to_json(outcome: InitOutcome, location: str) -> dict[str, Any]:
    """All of it, as JSON has it."""
    plan = outcome.plan
    return {
        "index": location,
        "server": outcome.server,
        "points": outcome.wanted.points,
        "dim": outcome.wanted.dim,
        "nodes": outcome.wanted.nodes,
        "layout": asdict(plan.layout),
        "why": {each.setting: each.why for each in plan.choices},
        "memory_bytes": plan.memory_bytes,
        "disk_bytes": plan.disk_bytes,
        "made": outcome.made,
    }


def _title(outcome: InitOutcome, location: str) -> str:
    wanted = outcome.wanted
    return (
        f"{location}: {quantify(outcome.request.objects, 'object')}, "
        f"{format_number(wanted.points)} points of {wanted.dim} numbers, "
        f"on {quantify(wanted.nodes, 'node')}"
    )


def _list_sentences(outcome: InitOutcome, location: str) -> Iterator[str]:
    plan, nodes = outcome.plan, outcome.wanted.nodes
    yield (
        f"It wants {format_size(plan.memory_bytes)} of memory and {format_size(plan.disk_bytes)} "
        "of disk"
        + (
            f", {format_size(plan.memory_bytes / nodes)} and "
            f"{format_size(plan.disk_bytes / nodes)} on each node"
            if nodes > 1
            else ""
        )
        + "; sizes of payloads are those that `objseek plan` goes by. Payload indexes are in "
        "memory beside that: what they take was not measured."
    )
    if outcome.server is None:
        yield "No server answers there: a new one was assumed."
    if outcome.made is None:
        yield "Nothing was made (--dry-run)."
        return
    yield "It was made." if outcome.made else "It is set up so already: nothing was changed."
    yield f"Fill it with: objseek ingest SOURCE --index {location}"
    if plan.layout.filling:
        yield f"Then have its graph made with: objseek optimize --index {location}"
