"""Objects and hits as Python objects: pixels, masks, tables and pictures."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline.drawing.search_sheet import check_sheet_path, draw_sheet, save_sheet
from pipeline.python_api.tracks import find_nearest, read_sighted_frames, read_sightings
from pipeline.search.kept_pictures import PictureSource
from pipeline.search.source_images import read_source_image
from pipeline.selection.coco_document import CocoDocument
from pipeline.selection.objects import ChosenObject
from pipeline.settings import Settings
from schemas.coco import frame_name
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.masks import BoolMask
from schemas.payload import PointPayload
from schemas.search import ImageCopy, Region, Relevance, SearchHit, SearchPage, SearchQuery
from schemas.videos import Sighting

if TYPE_CHECKING:
    import pandas
    import supervision

_HIT_SCHEMA = pa.schema(
    [
        ("object_id", pa.string()),
        ("uri", pa.string()),
        ("score", pa.float32()),
        ("probability", pa.float32()),
        ("relevance", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("tags", pa.list_(pa.string())),
        ("bbox_xyxy", pa.list_(pa.int32(), 4)),
        ("area_px", pa.int64()),
        ("size_hw", pa.list_(pa.int32(), 2)),
        ("rle_counts", pa.string()),
        ("t_start", pa.float64()),
        ("t_end", pa.float64()),
        ("t_key", pa.float64()),
        ("alike", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class IndexedObject:
    """One object of an index. `payload` is all that is stored of it.

    One of a video has been followed through frames: from `t_start` to `t_end`.
    """

    object_id: str
    payload: PointPayload
    settings: Settings

    @property
    def uri(self) -> str:
        """The image that it is in."""
        return self.payload.uri

    @property
    def bbox_xyxy(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 in pixels, half-open."""
        return self.payload.bbox

    @property
    def area_px(self) -> int:
        """How many pixels its mask has."""
        return self.payload.area

    @property
    def labels(self) -> tuple[str, ...]:
        """What it may be called, surest first; empty where it was not labelled."""
        return self.payload.labels or ()

    @property
    def tags(self) -> tuple[str, ...]:
        """What people have tagged it with, when it was looked at."""
        return self.payload.tags or ()

    @property
    def mask(self) -> BoolMask:
        """bool (height, width) of the whole image; all of it for a point that has no mask.

        Of a video that of the key frame. Raises VectorIndexError for a mask that does not fit its
        image.
        """
        return self.payload.decode_mask()

    @property
    def t_start(self) -> float | None:
        """When it is first seen, in seconds since the first frame of its video; None in images."""
        return self.payload.t_start

    @property
    def t_end(self) -> float | None:
        """When it is last seen, in seconds."""
        return self.payload.t_end

    @property
    def t_key(self) -> float | None:
        """The time of the key frame, of which box, mask and `image` are, in seconds."""
        return self.payload.t_key

    def mask_at(self, time_s: float) -> BoolMask:
        """bool (height, width): its mask in the frame nearest to a time from `t_start` to `t_end`.

        Of a video some frames a second were looked at, and the nearest of those in which it was
        seen is taken. Raises UsageError for another time and for what is no object of a video,
        NotIndexedError where the masks are not kept.
        """
        return find_nearest(self._sightings, time_s).mask.rle.decode()

    def frames(self) -> Iterator[tuple[float, UInt8Image]]:
        """Time and pixels, uint8 (height, width, 3) RGB, of each frame in which it was seen.

        Only of those that were looked at, with masks of `mask_at`; read from the video one by one,
        in the version that was indexed. Raises as `mask_at` and `image`.
        """
        return read_sighted_frames(self.payload, self._sightings, self.settings)

    @cached_property
    def _sightings(self) -> Sequence[Sighting]:
        return read_sightings(self.payload, self.settings)

    def image(self) -> UInt8Image:
        """The image, read again in the version that was indexed: uint8 (height, width, 3) RGB.

        Of a video the key frame. Raises ObjseekError where it is there no more.
        """
        return read_source_image(self.payload, self.settings).pixels

    def crop(self) -> UInt8Image:
        """What of the image lies in the box: uint8 (y1 - y0, x1 - x0, 3) RGB. Raises as `image`."""
        image = self.image()
        x0, y0, x1, y1 = self.payload.with_size((image.shape[0], image.shape[1])).bbox
        return image[y0:y1, x0:x1]


@dataclass(frozen=True)
class Hit(IndexedObject):
    """What a search found.

    `score` is the cosine similarity to the query; `probability` that it shows what was asked for,
    and `relevance`, the same in a word, stand where they are known. `alike` are its near-duplicates
    that a search with `collapse` put behind it, best first, as far as they were among the
    candidates.
    """

    score: float
    probability: float | None
    relevance: Relevance | None
    alike: tuple[Hit, ...] = ()

    @classmethod
    def from_search(cls, hit: SearchHit, settings: Settings) -> Self:
        """A hit of the searcher's."""
        alike = tuple(cls.from_search(other, settings) for other in hit.alike or ())
        known = (hit.score, hit.probability, hit.relevance)
        return cls(hit.object_id, hit.payload, settings, *known, alike)


class SearchResult(Sequence[Hit]):
    """The hits of a query, best first; shows itself as a contact sheet in a notebook."""

    def __init__(
        self,
        query: SearchQuery,
        hits: Sequence[Hit],
        page: SearchPage,
        settings: Settings,
        embedder_name: str,
        pictures: PictureSource,
    ) -> None:
        self.query, self.page = query, page
        self._hits, self._settings, self._embedder_name = tuple(hits), settings, embedder_name
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._hits)

    @overload
    def __getitem__(self, place: int) -> Hit: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Hit]: ...
    def __getitem__(self, place: int | slice) -> Hit | Sequence[Hit]:
        return self._hits[place]

    def __repr__(self) -> str:
        return f"<SearchResult: {len(self)} hits>"

    @property
    def relevance(self) -> Relevance | None:
        """That of the surest hit: weak says that what was asked for is most likely not there."""
        return self.page.relevance

    @property
    def regions(self) -> tuple[Region | None, ...]:
        """The mask that was searched with, and how it was chosen, of each wanted example."""
        return self.page.regions

    @property
    def copies(self) -> tuple[ImageCopy, ...]:
        """The indexed images that a whole image is a copy of, exact ones first."""
        return self.page.copies

    def to_arrow(self) -> pa.Table:
        """A row for each hit, best first; `alike` are the ids of those behind it.

        >>> hits = index.search("a red apple", limit=2)
        >>> hits.to_arrow().column_names[:3]
        ['object_id', 'uri', 'score']
        """
        return pa.Table.from_pylist([_row(hit) for hit in self._hits], schema=_HIT_SCHEMA)

    def to_pandas(self) -> pandas.DataFrame:
        """`to_arrow` as a data frame. Raises UsageError where pandas is not installed."""
        try:
            import pandas  # noqa: F401
        except ModuleNotFoundError as exc:
            raise UsageError("expected pandas for to_pandas, it is not installed") from exc
        return self.to_arrow().to_pandas()

    def to_coco(self) -> dict[str, Any]:
        """COCO's instances format: images, annotations with RLE masks, categories by label.

        Each key frame of a video is an image: its `file_name` ends in its time, as `1.mp4#t=2.500`,
        `video_id` is that of one of `videos`, `time_s` the time.

        >>> coco = index.search("a red apple", limit=2).to_coco()
        >>> sorted(coco), len(coco["annotations"])
        (['annotations', 'categories', 'images'], 2)
        """
        chosen = (ChosenObject(hit.object_id, hit.payload, hit.score) for hit in self.page.hits)
        return CocoDocument(chosen).to_dict()

    def to_supervision(self) -> dict[str, supervision.Detections]:
        """Detections of supervision's, of each image by its uri: its own are of one image.

        Each key frame of a video is an image: its uri ends in its time, as `1.mp4#t=2.500`.
        Raises UsageError where supervision is not installed.
        """
        try:
            import supervision
        except ModuleNotFoundError as exc:
            raise UsageError("expected supervision for to_supervision, not installed") from exc
        of_image: dict[str, list[Hit]] = defaultdict(list)
        for hit in self._hits:
            of_image[frame_name(hit.uri, hit.t_key)].append(hit)
        return {
            uri: supervision.Detections(
                xyxy=np.array([hit.bbox_xyxy for hit in hits], np.float32),
                mask=np.stack([hit.mask for hit in hits]),
                confidence=np.array([hit.score for hit in hits], np.float32),
                data={"object_id": np.array([hit.object_id for hit in hits])},
            )
            for uri, hits in of_image.items()
        }

    def sheet(self, path: str | Path | None = None) -> Image.Image:
        """A contact sheet of the hits, each outlined in its image; written to `path` if given.

        Raises UsageError for a path that cannot be written.
        """
        if path is not None:
            check_sheet_path(Path(path))
        hits = self.page.hits
        picture = draw_sheet(
            self.query, hits, self._settings, self._embedder_name, self._pictures
        ).picture
        if path is not None:
            save_sheet(picture, Path(path))
        return picture

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.sheet().save(file, "PNG")
        return file.getvalue()


def _row(hit: Hit) -> dict[str, Any]:
    payload = hit.payload
    return {
        "object_id": hit.object_id,
        "uri": hit.uri,
        "score": hit.score,
        "probability": hit.probability,
        "relevance": None if hit.relevance is None else hit.relevance.value,
        "labels": list(hit.labels),
        "tags": list(hit.tags),
        "bbox_xyxy": list(hit.bbox_xyxy),
        "area_px": hit.area_px,
        "size_hw": [payload.height, payload.width],
        "rle_counts": None if payload.rle is None else payload.rle.counts,
        "t_start": hit.t_start,
        "t_end": hit.t_end,
        "t_key": hit.t_key,
        "alike": [other.object_id for other in hit.alike],
    }
