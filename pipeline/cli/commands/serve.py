"""`objseek serve`: the search service, with its page."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated

import typer

from pipeline.cli.console import err, print_line, print_note, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import (
    CALIBRATION,
    CONFIG,
    INDEX,
    INDEX_EMBEDDER,
    STATE,
    STORE_OPTIONS,
)
from pipeline.cli.shared_options import Load, add_options

with lazy_imports():
    from pipeline.service import server

_log = logging.getLogger(__name__)

_HELP = """Search an index from a browser, and over HTTP.

The page is at the address that is printed, the API's documentation at /docs. Only this machine can
reach it; another --host needs keys (`objseek keys`).

A folder belongs to one process at a time, here the service. Meanwhile `objseek search` and `objseek
ingest` with the same --index find the service and have it do the work. With --snapshot a copy is
served, which stays as it is, and the folder is free for others.

Examples:

    objseek serve --index photos-index

    objseek serve --index http://localhost:6333/photos --host 0.0.0.0 --keys keys.json
"""


def register(app: typer.Typer) -> None:
    """Add `serve` to the command line."""
    app.command("serve", help=_HELP)(serve_command)


@add_options(INDEX, STATE, INDEX_EMBEDDER, CALIBRATION, *STORE_OPTIONS, CONFIG)
@user_errors
def serve_command(
    load: Load,
    host: Annotated[
        str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="The port to listen on; 0: a free one.", show_default="8765"
        ),
    ] = None,
    keys: Annotated[
        str | None,
        typer.Option(help="A file of keys; every request needs one of them then."),
    ] = None,
    snapshot: Annotated[
        bool, typer.Option("--snapshot", help="Serve a copy, and leave the folder free.")
    ] = False,
) -> None:
    """The command; its help stands above."""
    settings = load(serve={"host": host, "port": port, "keys": keys})
    is_logged = settings.observe.log_format == "json"
    announce = (log_address if is_logged else announce_address)(settings.index.location)
    server.serve(settings, snapshot=snapshot, listening=announce)


def announce_address(location: str) -> Callable[[str], None]:
    """What prints where the service of the index at `location` is, once it listens."""

    def announce(url: str) -> None:
        print_line(err(), f"Searching {location} at {url}")
        print_note("Press Ctrl-C to end it.")

    return announce


def log_address(location: str) -> Callable[[str], None]:
    """What logs where the service of the index at `location` is, once it listens."""

    def announce(url: str) -> None:
        fields = {"event": "listening", "url": url}
        _log.info("searching %s at %s", location, url, extra={"fields": fields})

    return announce
