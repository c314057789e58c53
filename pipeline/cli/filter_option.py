"""The option `--filter`, behind which several conditions may stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from pipeline.cli.lazy_imports import lazy_imports

with lazy_imports():
    from pipeline.search import filter_syntax

Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        "-f",
        help="Only points that meet a condition: a field, one of = != < <= > >= ^= (begins "
        "with), a value. May be given several times.",
    ),
]


class FilterCommand(TyperCommand):
    """Takes several conditions after one `--filter`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _repeat_filter(args))


def _repeat_filter(args: Sequence[str]) -> list[str]:
    """The arguments, with `--filter` before every condition that follows another one."""
    repeated: list[str] = []
    in_filter = False
    for position, arg in enumerate(args):
        if arg.startswith("--filter=") or (position and args[position - 1] in ("--filter", "-f")):
            in_filter = True
        elif in_filter and filter_syntax.looks_like_condition(arg):
            repeated.append("--filter")
        else:
            in_filter = False
        repeated.append(arg)
    return repeated
