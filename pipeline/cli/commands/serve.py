"""`objseek serve`: the search service, with its page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import err, user_errors
from pipeline.cli.options import Anonymous, Config, EndpointUrl, Index, Profile, RequesterPays

if TYPE_CHECKING:
    from pipeline.settings import Settings

_HELP = """Search an index from a browser, and over HTTP.

The page is at the address that is printed, the API's documentation at /docs. Only this machine can
ask; another --host needs keys (`objseek keys`).

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


@user_errors
def serve_command(
    index: Index = None,
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
        str | None, typer.Option(help="A file of keys; whoever asks needs one of them then.")
    ] = None,
    snapshot: Annotated[
        bool, typer.Option("--snapshot", help="Serve a copy of the folder, and let go of it.")
    ] = False,
    embedder: Annotated[
        str | None, typer.Option(help="The embedder; default: the one that made the index.")
    ] = None,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    anonymous: Anonymous = None,
    requester_pays: RequesterPays = None,
    config: Config = None,
) -> None:
    """The command; its help stands above."""
    from pipeline.service.server import serve
    from pipeline.settings import load_settings

    overrides = {
        "index": {"location": index},
        "serve": {"host": host, "port": port, "keys": keys},
        "embedder": {"name": embedder},
        "store": {
            "endpoint_url": endpoint_url,
            "profile": profile,
            "anonymous": anonymous,
            "requester_pays": requester_pays,
        },
    }
    settings = load_settings(config, overrides)

    serve(settings, snapshot=snapshot, listening=announced(settings))


def announced(settings: Settings) -> Callable[[str], None]:
    """Tells whoever started a service where it is."""

    def listening(url: str) -> None:
        console = err()
        console.print(f"Searching {settings.index.location} at {url}", soft_wrap=True)
        console.print("Ctrl-C ends it.", soft_wrap=True)

    return listening
