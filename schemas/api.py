"""Defines the requests and responses of the search service."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.labels import MAX_LABEL_CHARS
from schemas.masks import ObjectMask
from schemas.payload import PointPayload, RlePayload
from schemas.search import (
    MAX_EXAMPLES,
    ImageCopy,
    IndexedImageExample,
    ObjectExample,
    Region,
    RegionChoice,
    Relevance,
    SearchHit,
    SearchPage,
    SearchQuery,
    TextExample,
    UploadExample,
    VectorExample,
)

MAX_BATCH = 256

ServiceExample = TextExample | ObjectExample | VectorExample | IndexedImageExample | UploadExample
"""The examples that a service accepts: none that it would have to fetch."""


class SearchRequest(SearchQuery):
    """A query to the service."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={"examples": [{"text": "a red apple", "limit": 10}]},
    )
    positive: tuple[ServiceExample, ...] = Field(default=(), max_length=MAX_EXAMPLES)
    negative: tuple[ServiceExample, ...] = Field(default=(), max_length=MAX_EXAMPLES)
    limit: int = Field(default=10, ge=1, le=500)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RegionAnswer(_Answer):
    """What a box or a point shows. `bbox` is x0, y0, x1, y1 in pixels, half-open.

    `choice` says how it was chosen: `indexed` and `found` are the masks of the index, and of the
    segmenter, that fit the box best; `fallback` is the box itself, as no object fits it; `box` is
    the box as it was wanted, `point` the mask at a point, `mask` the one that was given.
    `object_id` is that of an indexed mask.
    """

    bbox: tuple[int, int, int, int]
    rle: RlePayload
    choice: RegionChoice
    object_id: str | None = None

    @classmethod
    def from_region(cls, region: Region) -> RegionAnswer:
        return cls(
            bbox=region.bbox,
            rle=_rle_payload(region.mask),
            choice=region.choice,
            object_id=region.object_id,
        )


def _rle_payload(mask: ObjectMask) -> RlePayload:
    return RlePayload(size=mask.rle.size_hw, counts=mask.rle.counts)


class SearchAnswer(_Answer):
    """Hits, best first. `regions` has the region of each wanted example, or null.

    `relevance` is that of the surest hit: if it is weak, most likely no such object is there.
    `copies` are indexed images that a whole picture is a copy of. `seconds` are by stage.
    """

    hits: tuple[SearchHit, ...]
    cursor: str | None = None
    relevance: Relevance | None = None
    hybrid: bool = False
    regions: tuple[RegionAnswer | None, ...] = ()
    copies: tuple[ImageCopy, ...] = ()
    seconds: dict[str, float] = {}

    @classmethod
    def from_page(cls, page: SearchPage) -> SearchAnswer:
        regions = (
            None if region is None else RegionAnswer.from_region(region) for region in page.regions
        )
        return cls(
            hits=page.hits,
            cursor=page.cursor,
            relevance=page.relevance,
            hybrid=page.hybrid,
            regions=tuple(regions),
            copies=page.copies,
            seconds={stage: round(spent, 6) for stage, spent in page.seconds.items()},
        )


class BatchRequest(BaseModel):
    """Queries to answer together."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    queries: tuple[SearchRequest, ...] = Field(min_length=1, max_length=MAX_BATCH)


class BatchError(_Answer):
    """Why one query of a batch has no answer."""

    status: int
    detail: str


class BatchAnswer(_Answer):
    """An answer or an error for each query, in their order."""

    results: tuple[SearchAnswer | BatchError, ...]


class ObjectAnswer(_Answer):
    """An indexed object, or an image as a whole."""

    object_id: str
    payload: PointPayload


class AddRequest(BaseModel):
    """An object to be added to an indexed image by hand.

    `uri` is the image as hits name it, `segmentation` a mask of its size, COCO's compressed RLE as
    `POST /v1/segment` answers it, and `label` what the object is called, if that is known.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "uri": "s3://photos/2026/kitchen.jpg",
                    "segmentation": {"size": [4, 4], "counts": "52203"},
                    "label": "mug",
                }
            ]
        },
    )
    uri: Annotated[str, Field(min_length=1, max_length=4096)]
    segmentation: RlePayload
    label: Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARS)] | None = None


class AddedAnswer(ObjectAnswer):
    """An object that was added by hand; in its payload, `segmenter_label` is the user's label."""

    added: Literal[True] = True


class ImageAnswer(_Answer):
    """An indexed image with its objects, largest first.

    Of a video the payload is that of its first shot, the objects are those of all shots. Of an
    image that was imported without a point of its own it is that of an object.
    """

    image_id: str
    object_id: str
    payload: PointPayload
    objects: tuple[ObjectAnswer, ...]


class ShotAnswer(_Answer):
    """A shot of a video: the first and the last time at which it was looked at, in seconds.

    `object_id` is that of its point, by which pictures and clips of it can be had; `clip` is from
    when to when its clip goes.
    """

    object_id: str
    shot: int
    t_start: float
    t_end: float
    clip: tuple[float, float]


class TrackAnswer(_Answer):
    """An object of a video through the time in which it is seen, in seconds.

    `duration` is from `t_start` to `t_end`; `label` what it is called, as far as that is known;
    `thumbnail` the address of its thumbnail, null where none is kept; `clip` is from when to when
    its clip goes.
    """

    object_id: str
    label: str | None
    shot: int | None
    t_start: float
    t_end: float
    t_key: float
    duration: float
    clip: tuple[float, float]
    thumbnail: str | None


class TimelineAnswer(_Answer):
    """What a video shows when. `duration` is what the file says of its length, in seconds.

    `tracks` are the largest by area and time, in that order; `left_out` were too many. Sizes are
    in pixels.
    """

    image_id: str
    uri: str
    width: int
    height: int
    duration: float | None
    shots: tuple[ShotAnswer, ...]
    tracks: tuple[TrackAnswer, ...]
    left_out: int


class MomentAnswer(_Answer):
    """The objects that a video shows at the time `t`, largest first.

    In their payloads box, mask, area and `t_key` are those of that time. Between two frames that
    were looked at they are those of the nearer one, moved to where the object is on its way.
    """

    image_id: str
    t: float
    objects: tuple[ObjectAnswer, ...]


class UploadAnswer(_Answer):
    """An upload that can be searched with for a while, by its id; its upright size in pixels."""

    upload_id: str
    width: int
    height: int


class FoundAnswer(_Answer):
    """An object of an uploaded image; `object_id` is that of the indexed one, if there is one.

    `bbox` is x0, y0, x1, y1 in pixels, half-open; `area` in pixels.
    """

    bbox: tuple[int, int, int, int]
    rle: RlePayload
    area: int
    area_frac: float
    object_id: str | None = None

    @classmethod
    def from_mask(cls, mask: ObjectMask, object_id: str | None) -> FoundAnswer:
        return cls(
            bbox=mask.bbox_xyxy,
            rle=_rle_payload(mask),
            area=mask.area_px,
            area_frac=mask.area_frac,
            object_id=object_id,
        )


class UploadObjectsAnswer(_Answer):
    """What an upload shows, largest first, and the indexed images that it is a copy of.

    In the state `looking` neither is known yet.
    """

    upload_id: str
    state: Literal["looking", "found"]
    copies: tuple[ImageCopy, ...] = ()
    objects: tuple[FoundAnswer, ...] = ()


class FacetValue(_Answer):
    """A value, and how many points have it."""

    value: str
    count: int


class SizeFacet(_Answer):
    """How many objects cover a share of their image from `least` to below `below`."""

    name: Literal["tiny", "small", "medium", "large"]
    least: float
    below: float | None
    count: int


class FacetsAnswer(_Answer):
    """Counts of the points that meet the conditions.

    `segmenter_labels` are those of segmenters that know classes; `levels` whole, part and subpart;
    `in_videos` how many are in videos.
    """

    total: int
    labels: tuple[FacetValue, ...]
    segmenter_labels: tuple[FacetValue, ...] = ()
    levels: tuple[FacetValue, ...] = ()
    tags: tuple[FacetValue, ...] = ()
    buckets: tuple[FacetValue, ...]
    sizes: tuple[SizeFacet, ...]
    in_videos: int = 0


class MapState(_Answer):
    """Whether there is a map of the objects, or one is being made; `note` says how far that is.

    `objects` are those on the map, of `of_objects` in the index when it was made at `made_at`;
    `is_current`: the index has not changed since.
    """

    state: Literal["none", "running", "done", "failed"]
    note: str = ""
    error: str | None = None
    objects: int = 0
    of_objects: int = 0
    made_at: datetime | None = None
    is_current: bool = False


class StatsAnswer(_Answer):
    """What the index holds, and which service answers; `vectors`: named ones, and their lengths."""

    version: str
    location: str
    points: int
    objects: int
    images: int
    labelled: int
    dim: int
    embedder: str
    segmenters: tuple[str, ...]
    generations: int
    size_bytes: int | None
    words: bool
    sparse: bool
    vectors: dict[str, int] = {}
    read_only: bool
    needs_key: bool
    uptime_s: float


class Health(_Answer):
    """Whether the service is up, or ready."""

    status: Literal["ok", "starting"]
