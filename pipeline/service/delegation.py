"""Delegates a command to the running service, which holds the lock of the index folder."""

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
from schemas.api import SearchRequest
from schemas.counts import IngestCounts
from schemas.errors import ServiceError, UsageError
from schemas.ingest_api import INGEST_SECTIONS, IngestRequest, IngestState, ReembedRequest
from schemas.search import Example, FileExample, SearchQuery, UploadExample

_MAX_HITS = 500
_PROBE_TIMEOUT_S = 5.0


def find_service(location: str) -> Client | None:
    """A client of the service that has the index at `location` open; None if none answers."""
    handle = read_handle(location)
    if handle is None:
        return None
    client = Client(handle.url, handle.token, _PROBE_TIMEOUT_S)
    try:
        client.stats()
    except ServiceError:
        client.close()
        return None
    client.close()
    return Client(handle.url, handle.token)


def build_request(service: Client, query: SearchQuery, settings: Settings) -> SearchRequest:
    """The query as the service takes it: images at paths are uploaded. Raises as reading does."""

    def upload_file(example: Example) -> Example:
        if not isinstance(example, FileExample):
            return example
        upload = service.upload(image_bytes(example.path, settings))
        fields = example.model_dump(exclude={"path"})
        return UploadExample(upload_id=upload.upload_id, **fields)

    fields = query.model_dump(exclude={"positive", "negative"}, exclude_unset=True)
    return SearchRequest.model_validate(
        {
            **fields,
            "limit": min(query.limit, _MAX_HITS),
            "positive": tuple(map(upload_file, query.positive)),
            "negative": tuple(map(upload_file, query.negative)),
        }
    )


def delegate_ingest(
    service: Client, sources: Sequence[str], settings: Settings, progress: Progress
) -> IngestSummary:
    """Ingest through the service, and report its progress here; Ctrl-C cancels it there.

    Raises ServiceError if it fails, UsageError for boxes and texts, which a service does not take.
    """
    if settings.boxes is not None:
        raise UsageError(
            f"expected no boxes while a service has {settings.index.location} open: "
            f"stop it for an ingest with {settings.boxes}"
        )
    if settings.text_prompts is not None:
        raise UsageError(
            f"expected no texts while a service has {settings.index.location} open: "
            f"stop it for an ingest with {settings.text_prompts}"
        )
    request = IngestRequest(
        sources=tuple(map(_make_absolute, sources)),
        settings=_changed_sections(settings),
        limit=settings.limit,
    )
    with progress:
        progress.note("the service that has this index is asked to ingest")
        service.ingest(request)
        state = _wait(service, progress)
    return IngestSummary(
        progress.counts,
        progress.details,
        state.seconds,
        state.images_per_s,
        settings.index.location,
        None,
    )


def delegate_reembed(
    service: Client, settings: Settings, progress: Progress, *, force: bool
) -> IngestState:
    """Re-embed through the service, as `delegate_ingest` ingests; its state at the end."""
    request = ReembedRequest(settings=_changed_sections(settings), force=force)
    with progress:
        progress.note("the service that has this index is asked to embed it anew")
        service.reembed(request)
        return _wait(service, progress)


def _changed_sections(settings: Settings) -> dict[str, dict[str, object]]:
    return {
        name: getattr(settings, name).model_dump(mode="json", exclude_unset=True)
        for name in INGEST_SECTIONS
    }


def _wait(service: Client, progress: Progress) -> IngestState:
    """The state when the job is done. Raises ServiceError if it is not; Ctrl-C cancels it."""
    try:
        state = _follow(service, progress)
    except KeyboardInterrupt:
        service.cancel_ingest()
        raise
    if state.state != "done":
        raise ServiceError(state.error or "the service cancelled the job for another client")
    return state


def _follow(service: Client, progress: Progress) -> IngestState:
    for state in service.ingest_events():
        counts = state.model_dump(include=set(IngestCounts.model_fields))
        progress.take(IngestCounts.model_validate(counts), state.newest, state.seconds_left)
        progress.details.dropped_added = state.dropped_added
        if not state.note and not progress.working:
            progress.begin()
        if state.note:
            progress.note(state.note)
        else:
            progress.advance()
        if state.state != "running":
            return state
    raise ServiceError("the service stopped before the job was done")


def _make_absolute(source: str) -> str:
    """A relative path means something else in the service's working directory."""
    return source if re.match(r"[a-z0-9+.-]+://", source) else os.path.abspath(source)
