"""Builds the search service: an ASGI application over one index."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import Lifespan

from pipeline.observing.observe import trace_searches
from pipeline.search.searcher import Searcher
from pipeline.service import problems
from pipeline.service.access import Access
from pipeline.service.background_jobs import BackgroundJobs
from pipeline.service.clip_maker import ClipMaker
from pipeline.service.dependencies import Service
from pipeline.service.generation_follower import GenerationFollower
from pipeline.service.image_cache import ImageCache
from pipeline.service.image_segmenter import ImageSegmenter
from pipeline.service.index_follower import follow_index
from pipeline.service.map_maker import MapMaker
from pipeline.service.metrics import Metrics
from pipeline.service.middleware import Guard, Limits
from pipeline.service.model_loading import load_pictures, load_texts, warm_index
from pipeline.service.object_finder import ObjectFinder
from pipeline.service.routes import added_objects as routes_added_objects
from pipeline.service.routes import export as routes_export
from pipeline.service.routes import ingest as routes_ingest
from pipeline.service.routes import maps as routes_maps
from pipeline.service.routes import objects as routes_objects
from pipeline.service.routes import ops as routes_ops
from pipeline.service.routes import search as routes_search
from pipeline.service.routes import segment as routes_segment
from pipeline.service.routes import tags as routes_tags
from pipeline.service.routes import uploads as routes_uploads
from pipeline.service.routes import videos as routes_videos
from pipeline.service.search_queue import SearchQueue
from pipeline.service.uploads import Uploads
from pipeline.service.variety_cache import VarietyCache
from pipeline.settings import Settings
from schemas.errors import ObjseekError

_log = logging.getLogger(__name__)
_MAINTAIN_EVERY_S, _FOLLOW_EVERY_S = 1.0, 15.0
_FOLLOW_REST = 20
"""Times as long as it took to look at the index it is not looked at, if that is longer."""
_DESCRIPTION = "Search for objects in images: by text, by image, by region, by other objects."


def build_app(
    searcher: Searcher, settings: Settings, owner_token: str, *, read_only: bool = False
) -> FastAPI:
    """Build the service over `searcher`, which it closes at its end.

    `owner_token` is a key of the scope ingest that is stored nowhere; with `read_only` nothing can
    be ingested.
    """
    serve = settings.serve
    access = _build_access(settings, owner_token)
    service = _build_service(searcher, settings, access.needs_key, read_only)
    app = describe_service(_lifespan)
    app.state.service = service
    problems.add_handlers(app)
    _add_pages(app)
    limits = Limits(serve.max_body_kb * 1024, serve.max_upload_mb * 2**20, serve.body_timeout_s)
    app.add_middleware(
        Guard,
        access=access,
        limits=limits,
        observe=service.metrics.observe,
        is_ending=lambda: service.queue.is_ending,
    )
    return app


def describe_service(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """All routes, and the document that describes them; nothing answers yet."""
    app = FastAPI(
        title="objseek", description=_DESCRIPTION, version=version("objseek"), lifespan=lifespan,
        docs_url=None, redoc_url=None,
    )  # fmt: skip
    for routes in (
        routes_search,
        routes_uploads,
        routes_segment,
        routes_objects,
        routes_videos,
        routes_maps,
        routes_added_objects,
        routes_tags,
        routes_export,
        routes_ingest,
        routes_ops,
    ):
        app.include_router(routes.router)
    return app


def _build_access(settings: Settings, owner_token: str) -> Access:
    serve = settings.serve
    return Access(
        host=serve.host,
        keys=None if serve.keys is None else Path(serve.keys).expanduser(),
        owner_token=owner_token,
        allowed_hosts=serve.allowed_hosts,
        cors_origins=serve.cors_origins,
        requests_per_minute=serve.requests_per_minute,
    )


def _build_service(
    searcher: Searcher, settings: Settings, needs_key: bool, read_only: bool
) -> Service:
    uploads = Uploads(settings.serve.max_upload_pixels)
    searcher.take_uploads(uploads.read_picture)
    queue = SearchQueue(searcher, settings.serve.request_timeout_s)
    follower = GenerationFollower(settings, queue, uploads.read_picture)
    jobs = None
    if not read_only:
        jobs = BackgroundJobs(
            lambda: queue.searcher.index,
            settings,
            lambda: queue.searcher.refresh(),
            follower.follow,
        )
    return Service(
        settings=settings,
        queue=queue,
        follower=follower,
        uploads=uploads,
        finder=ObjectFinder(queue, uploads),
        segmenting=ImageSegmenter(queue),
        images=ImageCache(settings),
        clips=ClipMaker(settings),
        maps=MapMaker(settings, queue),
        varieties=VarietyCache(),
        metrics=Metrics(),
        jobs=jobs,
        needs_key=needs_key,
    )


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    with trace_searches(service.settings.observe) as service.traces:
        async with _run_parts(service):
            yield


@contextlib.asynccontextmanager
async def _run_parts(service: Service) -> AsyncIterator[None]:
    works = (_warm_up(service), _maintain(service), _follow(service))
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        await service.finder.close()
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if service.jobs is not None:
            await asyncio.to_thread(service.jobs.close)
        await asyncio.to_thread(service.maps.close)
        await asyncio.to_thread(service.queue.close)


async def _warm_up(service: Service) -> None:
    """Load the text model before anybody waits for it, then of the index, then for pictures."""
    try:
        await load_texts(service.queue)
    except ObjseekError as exc:
        _log.error("texts cannot be searched for: %s", exc)
        return
    service.is_ready = True
    await warm_index(service.queue)
    await load_pictures(service.queue)


async def _maintain(service: Service) -> None:
    """Give other processes the copies that they wait for, and follow the generation in use."""

    async def act() -> None:
        await service.queue.run(lambda searcher: searcher.index.give_copies(), timeout_s=3600)
        await service.queue.draw(lambda: service.follower.follow_when_idle(service.jobs))

    await _repeat(service, act, _MAINTAIN_EVERY_S)


async def _follow(service: Service) -> None:
    """See what other processes have written to the index."""
    await _repeat(service, lambda: follow_index(service.queue), _FOLLOW_EVERY_S, _FOLLOW_REST)


async def _repeat(
    service: Service, act: Callable[[], Awaitable[None]], pause_s: float, rest: float = 0.0
) -> None:
    """Do `act`, pause, or `rest` times as long as it took, and so on."""
    logged = ""
    while not service.queue.closed:
        began_s = time.monotonic()
        try:
            await act()
        except ObjseekError as exc:
            # It is tried again soon: to log it once is enough.
            if str(exc) != logged:
                logged = str(exc)
                _log.warning("%s", logged)
        await asyncio.sleep(max(pause_s, rest * (time.monotonic() - began_s)))


def _add_pages(app: FastAPI) -> None:
    page = Path(str(resources.files("pipeline.service"))) / "page"
    widgets = Path(str(resources.files("fastapi_offline"))) / "static"

    @app.get("/", include_in_schema=False, response_class=HTMLResponse)
    async def get_page() -> Response:
        return HTMLResponse((page / "index.html").read_text(encoding="utf-8"))

    @app.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    async def get_docs() -> Response:
        return HTMLResponse((page / "docs.html").read_text(encoding="utf-8"))

    app.mount("/static", StaticFiles(directory=page), name="static")
    app.mount("/docs/widgets", StaticFiles(directory=widgets), name="widgets")
