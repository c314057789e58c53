"""The route that segments an upload or an indexed image."""

from __future__ import annotations

from fastapi import APIRouter

from pipeline.search.found_objects import find_image
from pipeline.search.mask_prompt import check_mask
from pipeline.segmentation.queries import (
    EverythingQuery,
    LabelsQuery,
    PromptQuery,
    SegmentQuery,
    TextQuery,
)
from pipeline.service.dependencies import ERRORS, Service, ServiceDep
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.labels import LabelEntry, parse_labels
from schemas.segment_api import SegmentAnswer, SegmentedMask, SegmentRequest

router = APIRouter(prefix="/v1", tags=["segment"], responses=ERRORS)
_TIMEOUTS = 4  # of a search, for all masks of an image


@router.post("/segment")
async def segment_image(request: SegmentRequest, service: ServiceDep) -> SegmentAnswer:
    """Segment an image: everything, at points and a box, by texts, or every pixel by labels."""
    pixels = await _find_pixels(request, service)
    size_hw = pixels.shape[0], pixels.shape[1]
    query = _build_query(request, size_hw)
    limit_s = service.settings.serve.request_timeout_s
    if not isinstance(query, PromptQuery):
        limit_s *= _TIMEOUTS
    segmenter, masks = await service.segmenting.segment(pixels, query, limit_s)
    return SegmentAnswer(
        width=size_hw[1],
        height=size_hw[0],
        segmenter=segmenter,
        masks=tuple(map(SegmentedMask.from_mask, masks)),
    )


async def _find_pixels(request: SegmentRequest, service: Service) -> UInt8Image:
    if request.upload_id is not None:
        return service.uploads.read_picture(request.upload_id).pixels
    identity = request.image_id or ""
    image = await service.queue.run(lambda searcher: find_image(searcher.index, identity))
    payload = image.parse_payload()
    return await service.queue.draw(lambda: service.images.pixels(payload))


def _build_query(request: SegmentRequest, size_hw: tuple[int, int]) -> SegmentQuery:
    """The query of a request. Raises UsageError."""
    if request.texts:
        return TextQuery(request.texts, request.min_probability)
    if request.labels:
        return LabelsQuery(_parse_labels(request.labels))
    if not (request.points or request.box or request.mask):
        return EverythingQuery()
    return PromptQuery(
        points_xy=tuple((point.x, point.y) for point in request.points),
        point_labels=tuple(point.label for point in request.points),
        box_xyxy=request.box,
        mask=None if request.mask is None else check_mask(request.mask, size_hw).decode(),
    )


def _parse_labels(labels: tuple[str, ...]) -> tuple[LabelEntry, ...]:
    try:
        return parse_labels(labels)
    except ValueError as exc:
        raise UsageError(f"the labels are not valid: {exc}") from exc
