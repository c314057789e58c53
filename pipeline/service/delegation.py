"""Have the service do what a command cannot: it has the index folder open, and no other may."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from pipeline.jobs.ingest import IngestSummary
from pipeline.progress import Progress
from pipeline.search.source_images import image_bytes
from pipeline.service.client import Client
from pipeline.service.discovery import read_handle
from pipeline.settings import Settings
from schemas.api import (
    INGEST_SECTIONS,
    IngestRequest,
    IngestState,
    ReembedRequest,
    SearchRequest,
)
from schemas.counts import IngestCounts
from schemas.errors import ServiceError
from schemas.search import Example, FileExample, SearchQuery, UploadExample

_MOST_HITS = 500
_ASKED_FIRST_S = 5.0


def service_of(location: str) -> Client | None:
    """A client of the service that has the index at `location` open; None if none answers."""
    handle = read_handle(location)
    if handle is None:
        return None
    client = Client(handle.url, handle.token, _ASKED_FIRST_S)
    try:
        client.stats()
    except ServiceError:
        client.close()
        return None
    client.close()
    return Client(handle.url, handle.token)


def asked_of(service: Client, query: SearchQuery, settings: Settings) -> SearchRequest:
    """The query as the service takes it: images at paths are uploaded. Raises as reading does."""

    def given(example: Example) -> Example:
        if not isinstance(example, FileExample):
            return example
        upload = service.upload(image_bytes(example.path, settings))
        fields = example.model_dump(exclude={"path"})
        return UploadExample(upload_id=upload.upload_id, **fields)

    parts = query.model_dump(exclude={"positive", "negative"}, exclude_unset=True)
    return SearchRequest.model_validate(
        {
            **parts,
            "limit": min(query.limit, _MOST_HITS),
            "positive": tuple(map(given, query.positive)),
            "negative": tuple(map(given, query.negative)),
        }
    )


def ingest_by(
    service: Client, sources: Sequence[str], settings: Settings, progress: Progress
) -> IngestSummary:
    """Ingest through the service, with the progress shown here; Ctrl-C ends it there.

    Raises ServiceError if it fails.
    """
    request = IngestRequest(
        sources=tuple(map(_absolute, sources)),
        settings=_sections(settings),
        limit=settings.limit,
    )
    with progress:
        progress.note("the service that has this index is asked to ingest")
        service.ingest(request)
        state = _ended(service, progress)
    return IngestSummary(
        progress.counts,
        progress.details,
        state.seconds,
        state.images_per_s,
        settings.index.location,
        None,
    )


def reembed_by(
    service: Client, settings: Settings, progress: Progress, *, force: bool
) -> IngestState:
    """Embed anew through the service, as `ingest_by` ingests; its state at the end."""
    request = ReembedRequest(settings=_sections(settings), force=force)
    with progress:
        progress.note("the service that has this index is asked to embed it anew")
        service.reembed(request)
        return _ended(service, progress)


def _sections(settings: Settings) -> dict[str, dict[str, object]]:
    return {
        name: getattr(settings, name).model_dump(mode="json", exclude_unset=True)
        for name in INGEST_SECTIONS
    }


def _ended(service: Client, progress: Progress) -> IngestState:
    """The state at the end, when all went well; Ctrl-C ends the work there."""
    try:
        state = _followed(service, progress)
    except KeyboardInterrupt:
        service.cancel_ingest()
        raise
    if state.state != "done":
        raise ServiceError(state.error or "it was ended by somebody else")
    return state


def _followed(service: Client, progress: Progress) -> IngestState:
    for state in service.ingest_events():
        counts = state.model_dump(include=set(IngestCounts.model_fields))
        progress.counts = IngestCounts.model_validate(counts)
        if not state.note and not progress.working:
            progress.begin()
        if state.note:
            progress.note(state.note)
        else:
            progress.advance()
        if state.state != "running":
            return state
    raise ServiceError("the service ended before the ingest did")


def _absolute(source: str) -> str:
    """A path means another one in another process."""
    return source if re.match(r"[a-z0-9+.-]+://", source) else os.path.abspath(source)
