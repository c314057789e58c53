"""`objseek keys`: who may ask a service that others can reach."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.console import user_errors
from pipeline.cli.tables import print_rows

_HELP = """Keys for a search service that others can reach.

A key is told once, when it is made; the file keeps its hash. A service reads the file again every
few seconds: a key that is revoked ends at once.

Examples:

    objseek keys create "photo team" --keys keys.json --days 90

    objseek keys list --keys keys.json
"""
KeysPath = Annotated[Path, typer.Option("--keys", help="The file of keys.")]
_DEFAULT = Path("keys.json")


def register(app: typer.Typer) -> None:
    """Add `keys` to the command line."""
    keys = typer.Typer(help=_HELP, no_args_is_help=True)
    keys.command("create")(create)
    keys.command("list")(show)
    keys.command("revoke")(revoke)
    app.add_typer(keys, name="keys")


@user_errors
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    keys: KeysPath = _DEFAULT,
    scope: Annotated[
        Literal["read", "ingest"], typer.Option(help="ingest: may also have things ingested.")
    ] = "read",
    days: Annotated[float | None, typer.Option(min=0.001, help="For how long it holds.")] = None,
) -> None:
    """Make a key, and print it: it cannot be told again."""
    from pipeline.service.api_keys import KeyFile, Scope

    stored, text = KeyFile(keys).create(name, Scope(scope), days)
    typer.echo(f"{stored.id}: {name}, {scope}, in {keys}", err=True)
    typer.echo(text)


@user_errors
def show(keys: KeysPath = _DEFAULT) -> None:
    """List the keys: ids, names, scopes, and until when they hold."""
    from pipeline.service.api_keys import KeyFile

    now = datetime.now(UTC)
    rows = [
        (
            key.id,
            key.scope.value,
            "expired" if key.has_expired(now) else _until(key.expires_at),
            key.name,
        )
        for key in KeyFile(keys).load()
    ]
    if rows:
        print_rows(("id", "scope", "until", "name"), rows)
    else:
        typer.echo(f"no keys in {keys}", err=True)


@user_errors
def revoke(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `objseek keys list` has it.")],
    keys: KeysPath = _DEFAULT,
) -> None:
    """Take a key out."""
    from pipeline.service.api_keys import KeyFile

    found = KeyFile(keys).revoke(identity)
    typer.echo(f"{found.id} ({found.name}) is no key any more", err=True)


def _until(moment: datetime | None) -> str:
    return "for ever" if moment is None else f"{moment:%Y-%m-%d %H:%M}Z"
