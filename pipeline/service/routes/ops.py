"""Routes for operations: health, statistics, metrics."""

from __future__ import annotations

import time
from http import HTTPStatus
from importlib.metadata import version

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from pipeline.service.dependencies import ERRORS, ServiceDep
from pipeline.service.problems import ProblemError
from schemas.api import Health, StatsAnswer

router = APIRouter(tags=["operations"], responses=ERRORS)


@router.get("/healthz")
async def get_health() -> Health:
    """Whether the process answers."""
    return Health(status="ok")


@router.get("/readyz")
async def get_readiness(service: ServiceDep) -> Health:
    """Whether searches are answered at once: the index is open and the text model is loaded."""
    if not service.is_ready:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "the models are being loaded")
    return Health(status="ok")


@router.get("/v1/stats")
async def get_stats(service: ServiceDep) -> StatsAnswer:
    """What the index holds."""
    info = await service.queue.run(lambda searcher: searcher.info)
    return StatsAnswer(
        version=version("objseek"),
        location=service.settings.index.location,
        points=info.points,
        objects=info.objects,
        images=info.images,
        labelled=info.labelled,
        dim=info.dim,
        embedder=service.queue.searcher.embedder_name,
        segmenters=info.segmenters,
        generations=info.pipelines,
        size_bytes=info.size_bytes,
        words=info.has_words,
        sparse=info.has_sparse,
        vectors={**info.named_dims},
        read_only=service.jobs is None,
        needs_key=service.needs_key,
        uptime_s=round(time.monotonic() - service.started_at_s, 1),
    )


@router.get("/metrics", response_class=PlainTextResponse)
async def get_metrics(service: ServiceDep) -> Response:
    """Metrics for Prometheus."""
    service.metrics.note_index(service.queue.searcher.info)
    service.metrics.broken.set(service.queue.searcher.index.count_broken())
    service.metrics.upload_bytes.set(service.uploads.held_bytes)
    service.metrics.waiting.set(service.queue.waiting)
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
