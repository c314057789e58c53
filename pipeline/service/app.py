"""The search service: an ASGI application over one index."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

from pipeline.search.searcher import Searcher
from pipeline.service import problems
from pipeline.service.access import Access
from pipeline.service.background_jobs import Ingests
from pipeline.service.dependencies import Parts
from pipeline.service.generation_follower import Following
from pipeline.service.image_cache import Pictures
from pipeline.service.metrics import Metrics
from pipeline.service.middleware import Guard, Limits
from pipeline.service.problems import ProblemError
from pipeline.service.routes import ingest as routes_ingest
from pipeline.service.routes import objects as routes_objects
from pipeline.service.routes import ops as routes_ops
from pipeline.service.routes import search as routes_search
from pipeline.service.search_queue import Desk
from pipeline.service.uploads import UploadNotFoundError, Uploads
from pipeline.settings import Settings
from schemas.errors import ObjseekError, UsageError
from schemas.images import UInt8Image

_log = logging.getLogger(__name__)
_KEEP_UP_EVERY_S = 1.0
_ABOUT = "Search for objects in images: by text, by image, by region, by other objects."


def build_app(
    searcher: Searcher, settings: Settings, owner_token: str, *, read_only: bool = False
) -> FastAPI:
    """The service over `searcher`, which it closes at its end.

    `owner_token` is a key of the scope ingest that is kept nowhere; `read_only`: nothing can be
    ingested.
    """
    serve = settings.serve
    keys = None if serve.keys is None else Path(serve.keys).expanduser()
    access = Access(
        host=serve.host,
        keys=keys,
        owner_token=owner_token,
        allowed_hosts=serve.allowed_hosts,
        cors_origins=serve.cors_origins,
        requests_per_minute=serve.requests_per_minute,
    )
    uploads = Uploads(serve.max_upload_pixels)
    searcher.take_uploads(_pixels_of(uploads))
    desk = Desk(searcher, serve.request_timeout_s)
    following = Following(settings, desk, _pixels_of(uploads))
    ingests = None
    if not read_only:
        ingests = Ingests(
            lambda: desk.searcher.index,
            settings,
            lambda: desk.searcher.refresh(),
            following.follow,
        )
    parts = Parts(settings, desk, uploads, Pictures(settings), Metrics(), ingests, access.needs_key)
    app = FastAPI(
        title="objseek", description=_ABOUT, version=version("objseek"), lifespan=_lifespan,
        docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.state.parts, app.state.following = parts, following
    problems.install(app)
    for routes in (routes_search, routes_objects, routes_ingest, routes_ops):
        app.include_router(routes.router)
    _add_pages(app)
    limits = Limits(serve.max_body_kb * 1024, serve.max_upload_mb * 2**20, serve.body_timeout_s)
    app.add_middleware(Guard, access=access, limits=limits, observe=parts.metrics.observe)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    parts: Parts = app.state.parts
    tasks = [asyncio.create_task(_load(parts)), asyncio.create_task(_keep_up(app))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if parts.ingests is not None:
            await asyncio.to_thread(parts.ingests.close)
        await asyncio.to_thread(parts.desk.close)


async def _load(parts: Parts) -> None:
    """Load what texts are embedded with before anybody waits for it."""
    try:
        await parts.desk.ask(_load_texts, timeout_s=3600)
    except (ObjseekError, ProblemError) as exc:
        _log.error("texts cannot be searched for: %s", exc)
        return
    parts.ready = True


async def _keep_up(app: FastAPI) -> None:
    """What others ask of whoever has the index open: a copy, and to use another generation."""
    parts: Parts = app.state.parts
    following: Following = app.state.following
    told = ""
    while not parts.desk.closed:
        try:
            await parts.desk.ask(lambda searcher: searcher.index.give_copies(), timeout_s=3600)
            await parts.desk.draw(lambda: following.follow_when_idle(parts.ingests))
        except (ObjseekError, ProblemError) as exc:
            # It is tried again every second: said once is enough.
            if str(exc) != told:
                told = str(exc)
                _log.warning("%s", told)
        await asyncio.sleep(_KEEP_UP_EVERY_S)


def _load_texts(searcher: Searcher) -> None:
    if searcher.info.points:
        searcher.models.texts().embed_texts(["a first text"])


def _pixels_of(uploads: Uploads) -> Callable[[str], UInt8Image]:
    def pixels(identity: str) -> UInt8Image:
        try:
            return uploads.get(identity).pixels
        except UploadNotFoundError:
            raise UsageError("no upload has this id, or no longer: upload it again") from None

    return pixels


def _add_pages(app: FastAPI) -> None:
    page = Path(str(resources.files("pipeline.service"))) / "page"
    widgets = Path(str(resources.files("fastapi_offline"))) / "static"

    @app.get("/", include_in_schema=False, response_class=HTMLResponse)
    async def index() -> Response:
        return HTMLResponse((page / "index.html").read_text(encoding="utf-8"))

    @app.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    async def docs() -> Response:
        return HTMLResponse((page / "docs.html").read_text(encoding="utf-8"))

    app.mount("/static", StaticFiles(directory=page), name="static")
    app.mount("/docs/widgets", StaticFiles(directory=widgets), name="widgets")
