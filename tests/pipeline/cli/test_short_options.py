"""Short flags and groups of commands: one meaning a flag, every command in a group."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.testing import CliRunner

from pipeline.cli.command_list import COMMANDS
from pipeline.cli.main import app, load_command

SHORT = {
    "-i": "--index", "-c": "--config", "-s": "--segmenter", "-e": "--embedder", "-d": "--device",
    "-w": "--workers", "-n": "--limit", "-f": "--filter", "-o": "--out", "-j": "--json",
    "-q": "--quiet", "-v": "--verbose",
}  # fmt: skip
"""Every short flag of every command, with what it is short for."""
FILES = Path(load_command.__code__.co_filename).parent / "commands"


def list_parameters(name: str) -> list[Any]:
    command = load_command(name)
    inner = command.commands.values() if isinstance(command, TyperGroup) else [command]
    return [parameter for each in inner for parameter in each.params]


def test_a_short_flag_means_one_thing_in_all_commands() -> None:
    meanings = defaultdict(set)
    for name in COMMANDS:
        for parameter in list_parameters(name):
            long = [opt for opt in parameter.opts if opt.startswith("--")]
            for opt in parameter.opts:
                if opt.startswith("-") and not opt.startswith("--"):
                    meanings[opt].update(long)
    assert dict(meanings) == {short: {long} for short, long in SHORT.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_long_option_has_its_short_flag_wherever_it_is(name: str) -> None:
    short_of = {long: short for short, long in SHORT.items()}
    for parameter in list_parameters(name):
        for opt in parameter.opts:
            if opt in short_of:
                assert short_of[opt] in parameter.opts, (name, opt)


def test_every_command_stands_in_its_group() -> None:
    result = CliRunner().invoke(app, ["-h"])
    assert result.exit_code == 0
    lines = [line.strip("│ ") for line in result.stdout.splitlines()]
    groups = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("╭─")]
    wanted = list(dict.fromkeys(listed.group for listed in COMMANDS.values()))
    assert groups[-len(wanted) :] == wanted
    named = [line.split()[0] for line in lines if line and line.split()[0] in COMMANDS]
    assert [name for name in named if name in COMMANDS] == list(COMMANDS)


def test_every_file_of_commands_is_listed() -> None:
    there = {path.stem for path in FILES.glob("*.py")} - {"__init__"}
    assert {listed.file for listed in COMMANDS.values()} == there


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_has_a_short_flag(option: str) -> None:
    assert CliRunner().invoke(app, [option]).stdout.startswith("objseek ")


def test_h_is_help_of_a_command() -> None:
    result = CliRunner().invoke(app, ["status", "-h"])
    assert (result.exit_code, "Show what an index holds" in result.stdout) == (0, True)
