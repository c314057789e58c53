"""Objects and hits as Python objects: pixels, masks, tables and pictures."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline.drawing.search_sheet import check_sheet_path, draw_sheet, save_sheet
from pipeline.search.kept_pictures import PictureSource
from pipeline.search.source_images import read_source_image
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.masks import BoolMask
from schemas.payload import PointPayload
from schemas.search import ImageCopy, Region, Relevance, SearchHit, SearchPage, SearchQuery

if TYPE_CHECKING:
    import pandas
    import supervision

_UNLABELLED = "object"
_HIT_SCHEMA = pa.schema(
    [
        ("object_id", pa.string()),
        ("uri", pa.string()),
        ("score", pa.float32()),
        ("probability", pa.float32()),
        ("relevance", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("bbox_xyxy", pa.list_(pa.int32(), 4)),
        ("area_px", pa.int64()),
        ("size_hw", pa.list_(pa.int32(), 2)),
        ("rle_counts", pa.string()),
    ]
)


@dataclass(frozen=True)
class IndexedObject:
    """One object of an index. `payload` is all that is stored of it."""

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
    def mask(self) -> BoolMask:
        """bool (height, width) of the whole image; all of it for a point that has no mask.

        Raises VectorIndexError for a mask that does not fit its image.
        """
        return self.payload.decode_mask()

    def image(self) -> UInt8Image:
        """The image, read again in the version that was indexed: uint8 (height, width, 3) RGB.

        Raises ObjseekError where it is there no more.
        """
        return read_source_image(self.payload, self.settings).pixels

    def crop(self) -> UInt8Image:
        """What of the image lies in the box: uint8 (y1 - y0, x1 - x0, 3) RGB. Raises as `image`."""
        x0, y0, x1, y1 = self.bbox_xyxy
        return self.image()[y0:y1, x0:x1]


@dataclass(frozen=True)
class Hit(IndexedObject):
    """What a search found.

    `score` is the cosine similarity to the query; `probability` that it shows what was asked for,
    and `relevance`, the same in a word, stand where they are known.
    """

    score: float
    probability: float | None
    relevance: Relevance | None

    @classmethod
    def from_search(cls, hit: SearchHit, settings: Settings) -> Self:
        """A hit of the searcher's."""
        return cls(hit.object_id, hit.payload, settings, hit.score, hit.probability, hit.relevance)


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
        """A row for each hit, best first.

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

        >>> coco = index.search("a red apple", limit=2).to_coco()
        >>> sorted(coco), len(coco["annotations"])
        (['annotations', 'categories', 'images'], 2)
        """
        images: dict[str, int] = {}
        categories: dict[str, int] = {}
        annotations = []
        for number, hit in enumerate(self._hits, start=1):
            label = hit.labels[0] if hit.labels else _UNLABELLED
            annotations.append(
                _annotation(
                    hit,
                    number,
                    images.setdefault(hit.uri, len(images) + 1),
                    categories.setdefault(label, len(categories) + 1),
                )
            )
        by_uri = {hit.uri: hit.payload for hit in self._hits}
        return {
            "images": [
                {
                    "id": number,
                    "file_name": by_uri[uri].key,
                    "height": by_uri[uri].height,
                    "width": by_uri[uri].width,
                    "uri": uri,
                    "version": by_uri[uri].version,
                }
                for uri, number in images.items()
            ],
            "annotations": annotations,
            "categories": [{"id": number, "name": name} for name, number in categories.items()],
        }

    def to_supervision(self) -> dict[str, supervision.Detections]:
        """Detections of supervision's, of each image by its uri: its own are of one image.

        Raises UsageError where supervision is not installed.
        """
        try:
            import supervision
        except ModuleNotFoundError as exc:
            raise UsageError("expected supervision for to_supervision, not installed") from exc
        of_image: dict[str, list[Hit]] = defaultdict(list)
        for hit in self._hits:
            of_image[hit.uri].append(hit)
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
        "bbox_xyxy": list(hit.bbox_xyxy),
        "area_px": hit.area_px,
        "size_hw": [payload.height, payload.width],
        "rle_counts": None if payload.rle is None else payload.rle.counts,
    }


def _annotation(hit: Hit, number: int, image: int, category: int) -> dict[str, Any]:
    x0, y0, x1, y1 = hit.bbox_xyxy
    # Other programs hang at a mask that does not fit its image.
    rle = hit.payload.sound_mask()
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": hit.area_px,
        "iscrowd": 0,
        "segmentation": None if rle is None else {"size": list(rle.size_hw), "counts": rle.counts},
        "score": hit.score,
        "object_id": hit.object_id,
    }
