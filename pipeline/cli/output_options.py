"""Declares what every command calls alike: JSON as its result, and runs that change nothing."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[
    bool, typer.Option("--json", "-j", help="Print the result as JSON on standard output.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and how much; write nothing.")
]
