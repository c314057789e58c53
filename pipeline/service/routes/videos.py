"""Routes for what is in videos: clips and frames of it, and all that a video shows over time."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import TimeoutError as NoAnswerError
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from pipeline.index_home import IndexHome
from pipeline.search.searcher import Searcher
from pipeline.search.video_tracks import (
    find_shot,
    find_step,
    find_video,
    list_points,
    place_at,
    read_masks,
    require_video,
)
from pipeline.service.byte_ranges import answer_range
from pipeline.service.clip_maker import ClipKey
from pipeline.service.dependencies import ERRORS, Service, ServiceDep
from pipeline.service.image_cache import Drawn, frame_jpeg
from pipeline.service.indexed_points import Identity, answer_point, no_object
from pipeline.service.pictures import CACHE_FOR_A_DAY, JPEG, MP4, WEBP, send_picture
from pipeline.service.problems import ProblemError
from pipeline.service.timeline import build_timeline
from schemas.api import MomentAnswer, ObjectAnswer, TimelineAnswer
from schemas.payload import PointPayload

router = APIRouter(prefix="/v1", tags=["videos"], responses=ERRORS)
_MAX_TRACKS = 1000
_ASK_S = 1.0
Seconds = Annotated[
    float, Query(ge=0, le=10_000_000, allow_inf_nan=False, description="Seconds into the video.")
]
Around = Annotated[
    bool, Query(description="Show where the object moves alone, in its crop's proportions.")
]


@router.get("/objects/{object_id}/clip.mp4", response_class=Response, responses=MP4)
async def get_clip(
    object_id: Identity,
    request: Request,
    service: ServiceDep,
    around: Around = False,
    range: Annotated[str | None, Header(description="A part of the file.")] = None,
) -> Response:
    """The seconds of a video in which the object is seen, at most ten, with its mask drawn.

    H.264 without sound, at most 480 pixels long. It is made when it is first asked for, and kept
    for a while. Of a shot it is the shot, without masks.
    """
    return await _send_clip(ClipKey(str(object_id), "mp4", around), request, service)


@router.get("/objects/{object_id}/clip.webp", response_class=Response, responses=WEBP)
async def get_animation(
    object_id: Identity, request: Request, service: ServiceDep, around: Around = False
) -> Response:
    """The same as an animated picture, which runs without end."""
    return await _send_clip(ClipKey(str(object_id), "webp", around), request, service)


@router.get("/objects/{object_id}/frame.jpg", response_class=Response, responses=JPEG)
async def get_frame(
    object_id: Identity,
    request: Request,
    service: ServiceDep,
    size: Annotated[int, Query(ge=16, le=4096, description="Of the longer side, pixels.")] = 1280,
    masks: Annotated[bool, Query(description="Draw the object's mask, if it is seen then.")] = True,
    t: Seconds | None = None,
) -> Response:
    """The frame of a video that shows the object best, or that at a time; upright."""
    payload, shot, home = await _find_in_video(service, object_id)
    time_s = _within(payload, payload.t_key if t is None else t)

    def draw() -> Drawn:
        pixels = service.images.pixels(payload.model_copy(update={"t_key": time_s}))
        placed = None
        if masks and payload.kind == "object":
            moving = read_masks([payload], home, find_step(shot))[payload.ordinal]
            placed = moving.at(time_s)
        return Drawn(frame_jpeg(pixels, size, None if placed is None else placed.to_rle()))

    tag = f"{object_id}-frame-{size}-{masks}-{time_s:.3f}"
    return await send_picture(request, service.queue, draw, tag, "image/jpeg")


@router.get("/videos/{image_id}/timeline")
async def get_timeline(
    image_id: Identity,
    service: ServiceDep,
    t_from: Annotated[Seconds | None, Query(description="What ends before is left out.")] = None,
    t_to: Annotated[Seconds | None, Query(description="What begins after is left out.")] = None,
    limit: Annotated[int, Query(ge=1, le=_MAX_TRACKS, description="Of the tracks.")] = 500,
) -> TimelineAnswer:
    """The shots of a video, and its objects with the time in which each is seen."""

    def find(searcher: Searcher) -> TimelineAnswer:
        video = find_video(searcher.index, str(image_id))
        shots = list_points(searcher.index, video, "image", t_from, t_to)
        tracks = list_points(searcher.index, video, "object", t_from, t_to)
        return build_timeline(video, shots, tracks, limit)

    return await service.queue.run(find)


@router.get("/videos/{image_id}/objects")
async def get_moment(image_id: Identity, service: ServiceDep, t: Seconds) -> MomentAnswer:
    """The objects that are seen at a time, with their masks at that time, the 1000 largest."""
    shots: list[PointPayload] = []

    def find(searcher: Searcher) -> tuple[list[ObjectAnswer], IndexHome]:
        video = find_video(searcher.index, str(image_id))
        seen = list_points(searcher.index, video, "object", t, t)
        shots.extend(shot for _, shot in list_points(searcher.index, video, "image", t, t))
        home = IndexHome.at(service.settings, searcher.generation)
        return [answer_point(point) for point, _ in seen], home

    found, home = await service.queue.run(find)

    def place() -> list[ObjectAnswer]:
        step_s = find_step(shots[0]) if shots else None
        masks = read_masks([hit.payload for hit in found], home, step_s)
        placed = (
            (hit, place_at(hit.payload, masks[hit.payload.ordinal].at(t), t)) for hit in found
        )
        answers = [
            ObjectAnswer(object_id=hit.object_id, payload=payload)
            for hit, payload in placed
            if payload is not None
        ]
        return sorted(answers, key=lambda each: (-each.payload.area, each.object_id))

    objects = await service.queue.draw(place)
    return MomentAnswer(image_id=str(image_id), t=t, objects=tuple(objects[:_MAX_TRACKS]))


async def _send_clip(key: ClipKey, request: Request, service: Service) -> Response:
    payload, shot, home = await _find_in_video(service, uuid.UUID(key.object_id))
    media_type = "video/mp4" if key.form == "mp4" else "image/webp"
    headers = {**CACHE_FOR_A_DAY, "ETag": f'"{key.object_id}-clip-{key.form}-{key.around}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    data = service.clips.find(key)
    if data is None:
        has_left = _leaving(request)

        def make() -> bytes:
            # Who points at one picture after another waits for the last one's clip alone.
            if has_left():
                raise ProblemError(HTTPStatus.REQUEST_TIMEOUT, "nobody waits for the clip any more")
            return service.clips.make(key, payload, shot, home)

        data = await service.queue.film(make)
    return answer_range(request, data, headers, media_type)


def _leaving(request: Request) -> Callable[[], bool]:
    """Says on another thread whether whoever asked has gone."""
    loop = asyncio.get_running_loop()

    def has_left() -> bool:
        try:
            return asyncio.run_coroutine_threadsafe(request.is_disconnected(), loop).result(_ASK_S)
        except NoAnswerError:
            return False

    return has_left


async def _find_in_video(
    service: Service, identity: uuid.UUID
) -> tuple[PointPayload, PointPayload | None, IndexHome]:
    """The payload of a point of a video, its shot, and where its masks are kept.

    Raises ProblemError and NotIndexedError.
    """

    def find(searcher: Searcher) -> tuple[PointPayload, PointPayload | None, IndexHome]:
        point = searcher.find(str(identity))
        if point is None:
            raise no_object(identity)
        payload = point.parse_payload()
        require_video(payload)
        home = IndexHome.at(service.settings, searcher.generation)
        return payload, find_shot(searcher.index, payload), home

    return await service.queue.run(find)


def _within(payload: PointPayload, time_s: float | None) -> float:
    """A time that is in the video, as far as its length is known."""
    ends_s = payload.video_duration or payload.t_end or 0.0
    return min(time_s or 0.0, max(ends_s, payload.t_end or 0.0))
