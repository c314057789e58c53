"""`objseek keys`: the keys of a service that others can reach."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.console import print_note, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.tables import print_rows

with lazy_imports():
    from pipeline.service import api_keys

_HELP = """Manage the keys of a search service that others can reach.

A key is shown once, when it is created; the file keeps its hash. A service reads the file again
every few seconds, so a key that is revoked stops working at once.

Examples:

    objseek keys create "photo team" --keys keys.json --days 90

    objseek keys list --keys keys.json
"""
KeysPath = Annotated[Path, typer.Option("--keys", help="The file of keys.")]
_DEFAULT = Path("keys.json")


def register(app: typer.Typer) -> None:
    """Add `keys` to the command line."""
    keys = typer.Typer(help=_HELP, no_args_is_help=True)
    keys.command("create")(create_key)
    keys.command("list")(list_keys)
    keys.command("revoke")(revoke_key)
    app.add_typer(keys, name="keys")


@user_errors
def create_key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    keys: KeysPath = _DEFAULT,
    scope: Annotated[
        Literal["read", "ingest"],
        typer.Option(help="read: search only; ingest: start ingests as well."),
    ] = "read",
    days: Annotated[
        float | None, typer.Option(min=0.001, help="For how many days it is valid.")
    ] = None,
) -> None:
    """Create a key and print it; it cannot be shown again."""
    stored, text = api_keys.KeyFile(keys).create(name, api_keys.Scope(scope), days)
    print_note(f"{stored.id}: {name}, {scope}, in {keys}")
    typer.echo(text)


@user_errors
def list_keys(keys: KeysPath = _DEFAULT) -> None:
    """List the keys: ids, names, scopes, and until when they are valid."""
    now = datetime.now(UTC)
    rows = [
        (
            key.id,
            key.scope.value,
            "expired" if key.has_expired(now) else _format_expiry(key.expires_at),
            key.name,
        )
        for key in api_keys.KeyFile(keys).load()
    ]
    if rows:
        print_rows(("id", "scope", "until", "name"), rows)
    else:
        print_note(f"no keys in {keys}")


@user_errors
def revoke_key(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `objseek keys list` shows it.")],
    keys: KeysPath = _DEFAULT,
) -> None:
    """Revoke a key."""
    revoked = api_keys.KeyFile(keys).revoke(identity)
    print_note(f"{revoked.id} ({revoked.name}) is no longer valid")


def _format_expiry(moment: datetime | None) -> str:
    return "forever" if moment is None else f"{moment:%Y-%m-%d %H:%M}Z"
