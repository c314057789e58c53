"""Writes the reference of the command line: the help of every command."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from docs.site.markdown import write_table
from pipeline.cli.main import COMMANDS, load_command

_INTRODUCTION = """# Commands

What `objseek COMMAND --help` says of each. `objseek --version` tells the version.
"""
_OTHERS = "Options"


def write_commands() -> str:
    """The page: a section for each command, in the order of `objseek --help`."""
    overview: dict[str, list[tuple[str, str]]] = {}
    for name, listed in COMMANDS.items():
        row = f"[`{name}`](#objseek-{name})", listed.summary
        overview.setdefault(listed.group, []).append(row)
    tables = (write_table((group, ""), rows) for group, rows in overview.items())
    sections = (part for name in COMMANDS for part in _write(f"objseek {name}", load_command(name)))
    return "\n".join([_INTRODUCTION, *tables, *sections])


def _write(path: str, command: Any, level: str = "##") -> Iterator[str]:
    context = command.make_context(path, [], resilient_parsing=True)
    yield f"{level} {path}\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{path} {pieces}\n```\n"
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.params:
        if parameter.name != "help" and not getattr(parameter, "hidden", False):
            panel = getattr(parameter, "rich_help_panel", None) or _OTHERS
            panels.setdefault(panel, []).append(_write_parameter(parameter, context))
    for title, rows in panels.items():
        yield write_table((title, ""), rows)
    for name, child in getattr(command, "commands", {}).items():
        yield from _write(f"{path} {name}", child, "###")


def _write_parameter(parameter: Any, context: Any) -> tuple[str, str]:
    record = parameter.get_help_record(context) or (parameter.name, parameter.help or "")
    return f"`{record[0].strip()}`", record[1]
