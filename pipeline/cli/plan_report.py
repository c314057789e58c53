"""Prints a plan: a table of its parts, what is slowest, what more would change, its assumptions."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.cli.console import out, print_line
from pipeline.cli.tables import print_rows
from pipeline.messages import quantify
from pipeline.planning.estimate import Part
from pipeline.planning.pace import Marginal
from pipeline.planning.plan import Plan

_COLUMNS = ("part", "time", "once", "a month", "size")
_UNITS = ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_WAITS = {
    "listing": "listing: nothing else can go faster than images are named",
    "readers": "reading: more readers, or more requests in flight, would help",
    "workers": "the models: faster or more workers would help",
    "writer": "writing: a job has one process that writes, and more workers would not help",
    "cores": "the cores of the machines: all of them are busy",
}
_UNCHANGED = 0.005


def print_plan(plan: Plan) -> None:
    """Print the table and the sentences below it."""
    bill = plan.estimate
    print_line(out(), _title(plan))
    rows = [_row(part) for part in bill.parts]
    total = Part("in all", bill.seconds, bill.usd, bill.usd_month, bill.stored_bytes)
    print_rows(_COLUMNS, [*rows, _row(total)])
    print_line(out(), "")
    for sentence in _list_sentences(plan):
        print_line(out(), sentence)
    print_line(out(), "\nAssumed:")
    for assumption in plan.assumptions:
        print_line(out(), f"- {assumption}.")


def _title(plan: Plan) -> str:
    work, layout = plan.workload, plan.layout
    spread = f"{quantify(layout.workers, 'worker')} each" if layout.machines > 1 else ""
    spread = spread or quantify(layout.workers, "worker")
    return (
        f"{quantify(work.images, 'image')}, {format_number(work.points)} points, on "
        f"{quantify(layout.machines, 'machine')} like {plan.profile.name}, {spread}"
    )


def _list_sentences(plan: Plan) -> Iterator[str]:
    bill = plan.estimate
    slowest = bill.bottleneck
    yield f"All waits for {_WAITS[slowest.name]} ({format_rate(slowest.images_per_s)})."
    others = [stage for stage in bill.stages if stage is not slowest]
    rates = ", ".join(f"{stage.name} {format_rate(stage.images_per_s)}" for stage in others)
    yield f"The others could do more: {rates}."
    yield from (_describe_marginal(each, bill.seconds) for each in bill.marginals)
    if bill.memory_bytes is not None:
        yield f"The index wants {format_size(bill.memory_bytes)} of memory where it is searched."
    if bill.usd_million_searches is not None:
        yield f"A million searches ask the bucket for {format_usd(bill.usd_million_searches)}."
    if bill.usd is None:
        yield "No price of this machine is known: --usd-per-hour says it."


def _describe_marginal(marginal: Marginal, seconds: float) -> str:
    if marginal.seconds >= seconds * (1 - _UNCHANGED):
        return f"One more {marginal.what} would change nothing."
    return (
        f"One more {marginal.what} would make it {format_duration(marginal.seconds)} "
        f"instead of {format_duration(seconds)}."
    )


def _row(part: Part) -> tuple[str, ...]:
    return (
        part.name,
        "" if part.seconds is None else format_duration(part.seconds),
        "" if part.usd is None else format_usd(part.usd),
        "" if part.usd_month is None else format_usd(part.usd_month),
        "" if part.size_bytes is None else format_size(part.size_bytes),
    )


def format_duration(seconds: float) -> str:
    """Seconds in the two units that matter: `4 min 10 s`, `3 h 5 min`, `12 days 4 h`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{quantify(days, 'day')} {hour} h"
    return f"{hours} h {minute} min" if hours else f"{minute} min {second} s"


def format_usd(usd: float) -> str:
    """Dollars, in cents below a thousand."""
    if 0 < usd < 0.01:
        return "< $0.01"
    return f"${usd:,.2f}" if usd < 1000 else f"${usd:,.0f}"


def format_size(size_bytes: float) -> str:
    """Bytes in powers of a thousand, as they are sold."""
    for unit, name in _UNITS:
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f} {name}"
    return f"{size_bytes:.0f} B"


def format_number(number: float) -> str:
    """A large number in words: `1.2 million`."""
    for unit, name in ((1e9, "billion"), (1e6, "million")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number:,.0f}"


def format_rate(images_per_s: float) -> str:
    """How fast a stage is."""
    if images_per_s > 1e6:
        return "at once"
    decimals = 2 if images_per_s < 10 else 0
    return f"{images_per_s:,.{decimals}f} images/s"
