"""Shells complete commands, options and values, as docs/guide.md says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
from support.commands import BIN
from support.paths import ROOT

GUIDE = (ROOT / "docs" / "guide.md").read_text()
LINES = re.findall(r"^.*_OBJSEEK_COMPLETE=source_(\w+) objseek.*$", GUIDE, re.MULTILINE)


def ask(**variables: str) -> str:
    done = subprocess.run(
        [str(BIN)], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    return done.stdout


def complete(line: str) -> list[str]:
    """What bash is told of a line; its last word is what has been typed of the next."""
    words = line.split(" ")
    position = str(len(words) - 1)
    return ask(_OBJSEEK_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=position).splitlines()


def test_the_guide_has_a_line_for_each_shell() -> None:
    assert LINES == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("shell", LINES)
def test_the_script_of_a_shell_asks_objseek(shell: str) -> None:
    script = ask(_OBJSEEK_COMPLETE=f"source_{shell}")
    assert f"_OBJSEEK_COMPLETE=complete_{shell}" in script
    told = {"bash": "complete -o default -F", "zsh": "compdef", "fish": "complete --command"}
    assert f"{told[shell]} " in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_takes_its_script() -> None:
    line = next(line for line in GUIDE.splitlines() if "=source_bash objseek" in line)
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{line}; complete -p objseek"],
        env=os.environ | {"PATH": f"{BIN.parent}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "complete -o default -F _objseek_completion objseek\n"


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("objseek ing", ["ingest"]),
        ("objseek re", ["retry", "reembed", "restore"]),
        ("objseek ingest --dry", ["--dry-run"]),
        ("objseek keys ", ["create", "list", "revoke"]),
        ("objseek sync --device c", ["cpu", "cuda"]),
        ("objseek failures --only ", ["rejected", "failed", "gone"]),
        ("objseek ingest --segmenter sam_", ["sam_demo", "sam_vit_b", "sam_vit_l", "sam_vit_h"]),
        ("objseek search --embedder clip", ["clip_demo"]),
        ("objseek segment --refine ", ["edges", "sam", "tidy"]),
        ("objseek models pull maskrcnn_d", ["maskrcnn_demo"]),
    ],
)
def test_commands_options_and_values_are_completed(line: str, completed: list[str]) -> None:
    assert complete(line) == completed
