"""Serves the demo's index to a browser while it is still being filled."""

from __future__ import annotations

import threading

from pipeline.cli.commands.serve import announce_address
from pipeline.cli.console import err, print_line
from pipeline.cli.demo_output import print_counts
from pipeline.index_home import IndexHome
from pipeline.messages import sanitize
from pipeline.progress import Progress
from pipeline.service import server
from pipeline.service.delegation import delegate_ingest, find_service
from pipeline.settings import Settings
from schemas.errors import ObjseekError, ServiceError
from workers.registry import build_text_embedder

_LAST_WORDS_S = 10.0


def serve_and_ingest(settings: Settings, source: str, progress: Progress) -> None:
    """Serve the index until Ctrl-C, and have the service ingest `source` meanwhile.

    The index is made if there is none, so that it is served from the beginning.

    Raises what `serve` raises. What keeps images from being ingested is printed.
    """
    with IndexHome.current(settings).points(create_for=build_text_embedder(settings.embedder).dim):
        pass
    announce = announce_address(settings.index.location)
    ending = threading.Event()

    def follow() -> None:
        service = find_service(settings.index.location)
        try:
            if service is None:
                raise ServiceError(f"the service of {settings.index.location} does not answer")
            print_counts(delegate_ingest(service, [source], settings, progress))
        except ObjseekError as exc:
            # Whoever ends the service ends the ingest.
            if not ending.wait(_LAST_WORDS_S):
                print_line(err(), f"Error: {sanitize(str(exc))}")

    follower = threading.Thread(target=follow, name="follow the ingest", daemon=True)

    def begin(url: str) -> None:
        announce(url)
        follower.start()

    server.serve(settings, listening=begin)
    # It ends when the service does, and leaves the terminal as it was.
    ending.set()
    if follower.ident is not None:
        follower.join(_LAST_WORDS_S)
