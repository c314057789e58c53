"""Whether the service is there, what it holds, and its figures."""

from __future__ import annotations

import time
from http import HTTPStatus
from importlib.metadata import version

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from pipeline.service.dependencies import ERRORS, PartsOf
from pipeline.service.problems import ProblemError
from schemas.api import Health, StatsAnswer

router = APIRouter(tags=["operations"], responses=ERRORS)


@router.get("/healthz")
async def healthz() -> Health:
    """Whether the process answers."""
    return Health(status="ok")


@router.get("/readyz")
async def readyz(parts: PartsOf) -> Health:
    """Whether searches are answered at once: index open, model loaded."""
    if not parts.ready:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "the models are being loaded")
    return Health(status="ok")


@router.get("/v1/stats")
async def stats(parts: PartsOf) -> StatsAnswer:
    """What the index holds."""
    info = await parts.desk.ask(lambda searcher: searcher.info)
    return StatsAnswer(
        version=version("objseek"),
        location=parts.settings.index.location,
        points=info.points,
        objects=info.objects,
        images=info.images,
        labelled=info.labelled,
        dim=info.dim,
        embedder=parts.desk.searcher.embedder_name,
        segmenters=info.segmenters,
        generations=info.pipelines,
        size_bytes=info.size_bytes,
        words=info.has_words,
        read_only=parts.ingests is None,
        needs_key=parts.needs_key,
        uptime_s=round(time.monotonic() - parts.started, 1),
    )


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(parts: PartsOf) -> Response:
    """Figures for Prometheus."""
    info = parts.desk.searcher.info
    parts.metrics.points.set(info.points)
    parts.metrics.objects.set(info.objects)
    parts.metrics.images.set(info.images)
    parts.metrics.index_bytes.set(info.size_bytes or 0)
    parts.metrics.upload_bytes.set(parts.uploads.held_bytes)
    parts.metrics.waiting.set(parts.desk.waiting)
    return Response(parts.metrics.text(), media_type=CONTENT_TYPE_LATEST)
