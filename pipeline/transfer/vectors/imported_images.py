"""Makes the points of an image of its rows, and finds the rows that it cannot have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from pipeline.transfer.vectors.rows import RefusedRow, VectorRow
from pipeline.transfer.vectors.values import parse_mask, size_of_mask
from schemas.checksums import checksum, digest
from schemas.errors import one_line
from schemas.ids import IMAGE_ORDINAL, ImageRevision, image_id, object_id
from schemas.images import ImageRef
from schemas.labels import Label, LabelEntry
from schemas.manifest import ManifestRow
from schemas.masks import CocoRle
from schemas.payload import PointPayload
from schemas.pipelines import Pipeline
from schemas.points import Point
from schemas.search import Box
from workers.images.header import read_size
from workers.indexes.bm25 import words_of

_DECIMALS = 6
_UNKNOWN = (0, 0)
"""The size of an image that nothing tells."""


@dataclass(frozen=True, slots=True)
class ImportedImage:
    """An image with its points, of which `objects` are of parts of it."""

    ref: ImageRef
    revision: ImageRevision
    points: tuple[Point, ...]
    objects: int
    checksum: str

    @property
    def id(self) -> UUID:
        return image_id(self.ref)

    def row(self, at: datetime) -> ManifestRow:
        """What the manifest records of it."""
        done = ManifestRow.done(self.ref, self.revision, self.objects, at, checksum=self.checksum)
        return replace(done, has_whole=len(self.points) > self.objects)


@dataclass(frozen=True, slots=True)
class ImageBuilder:
    """Makes images by a `pipeline`, in a run that began at `run_started_at`."""

    pipeline: Pipeline
    run_started_at: datetime

    def build(
        self, ref: ImageRef, rows: Sequence[VectorRow]
    ) -> tuple[ImportedImage | None, list[RefusedRow]]:
        """The image of rows, `ref` in its version; None where none of them is right.

        Of several rows of the image as a whole the first stands.
        """
        refused: list[RefusedRow] = []
        shaped: list[tuple[VectorRow, CocoRle | None]] = []
        size_hw = _find_size(ref, rows)
        whole: VectorRow | None = None
        for row in rows:
            try:
                rle = None if row.mask is None else parse_mask(row.mask, size_hw)
                _check_fit(row, size_hw, whole)
            except ValueError as exc:
                refused.append(RefusedRow(row.place, one_line(exc)))
                continue
            whole = whole if row.is_object else row
            shaped.append((row, rle))
        if not shaped:
            return None, refused
        return self._make_image(ref, shaped, size_hw or _UNKNOWN), refused

    def _make_image(
        self,
        ref: ImageRef,
        rows: Sequence[tuple[VectorRow, CocoRle | None]],
        size_hw: tuple[int, int],
    ) -> ImportedImage:
        points, digests, objects = [], [], 0
        for row, rle in rows:
            ordinal = objects if row.is_object else IMAGE_ORDINAL
            objects += row.is_object
            payload = PointPayload.model_validate(
                {**self._common_fields(ref, size_hw, ordinal), **_shape_fields(row, rle, size_hw)}
            )
            point = make_point(payload, row)
            points.append(point)
            digests.append(digest(point.id, payload))
        revision = ImageRevision(ref.version, self.pipeline.fingerprint)
        return ImportedImage(ref, revision, tuple(points), objects, checksum(digests))

    def _common_fields(
        self, ref: ImageRef, size_hw: tuple[int, int], ordinal: int
    ) -> dict[str, object]:
        revision = ImageRevision(ref.version, self.pipeline.fingerprint)
        return {
            "ordinal": ordinal,
            "store": ref.store,
            "bucket": ref.bucket,
            "key": ref.key.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            "uri": ref.uri,
            "image_id": str(image_id(ref)),
            "version": ref.version,
            "generation": revision.id,
            "fingerprint": revision.fingerprint,
            "segmenter": self.pipeline.segmenter,
            "embedder": self.pipeline.embedder,
            "width": size_hw[1],
            "height": size_hw[0],
            "ingested_at": datetime.now(UTC),
            "run_started_at": self.run_started_at,
        }


def make_point(payload: PointPayload, row: VectorRow) -> Point:
    """The point of a row: the one place where what an index holds of it is put together."""
    revision = ImageRevision(payload.version, payload.fingerprint)
    caption = () if row.text is None else (Label(LabelEntry(row.text), 1.0),)
    return Point(
        id=str(object_id(UUID(payload.image_id), revision, payload.ordinal)),
        payload=payload.model_dump(mode="json", exclude_none=True),
        vector=row.vector,
        words=words_of(caption, payload.uri),
        sparse=row.sparse,
        named_vectors=row.named,
    )


def _find_size(ref: ImageRef, rows: Sequence[VectorRow]) -> tuple[int, int] | None:
    """As the rows say, else as the image's file does where it is at hand: (height, width)."""
    for row in rows:
        size_hw = row.size_hw or size_of_mask(row.mask)
        if size_hw is not None:
            return size_hw
    return read_size(ref.key) if ref.store == "file" and ref.version else None


def _check_fit(row: VectorRow, size_hw: tuple[int, int] | None, whole: VectorRow | None) -> None:
    """Raise ValueError unless a row fits the image, and the rows before it."""
    if row.size_hw not in (None, size_hw):
        raise ValueError(
            f"width, height: expected those of the image's other rows, {size_hw}, got {row.size_hw}"
        )
    if row.box is not None and size_hw is not None and not _lies_within(row.box, size_hw):
        raise ValueError(
            f"bbox: expected a box within {size_hw[1]} x {size_hw[0]} pixels, got {row.box}"
        )
    if not row.is_object and whole is not None:
        raise ValueError(f"expected one row for the image as a whole, {whole.place} is one already")


def _lies_within(box_xyxy: Box, size_hw: tuple[int, int]) -> bool:
    x0, y0, x1, y1 = box_xyxy
    height, width = size_hw
    # A pixel more comes of rounding.
    return x0 < width and y0 < height and x1 <= width + 1 and y1 <= height + 1


def _shape_fields(
    row: VectorRow, rle: CocoRle | None, size_hw: tuple[int, int]
) -> dict[str, object]:
    height, width = size_hw
    own = {"own": row.own} if row.own else {}
    box = rle.bbox_xyxy if rle is not None else row.box
    if box is None:
        return {
            **own,
            "kind": "image",
            "bbox": (0, 0, width, height),
            "area": width * height,
            "area_frac": 1.0,
            "center_x_frac": 0.5,
            "center_y_frac": 0.5,
        }
    x0, y0, x1, y1 = box if not width else (*box[:2], min(box[2], width), min(box[3], height))
    area = rle.area_px if rle is not None else (x1 - x0) * (y1 - y0)
    shares = {} if not width else {
        "area_frac": area / (width * height),
        "center_x_frac": round((x0 + x1) / 2 / width, _DECIMALS),
        "center_y_frac": round((y0 + y1) / 2 / height, _DECIMALS),
    }  # fmt: skip
    mask = None if rle is None else {"size": rle.size_hw, "counts": rle.counts}
    return {**own, "kind": "object", "bbox": (x0, y0, x1, y1), "area": area, "rle": mask, **shares}
