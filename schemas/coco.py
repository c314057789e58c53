"""Ground truth in COCO's instances format, with what the demo adds to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import UsageError


class _Coco(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class CocoImage(_Coco):
    id: int
    file_name: str
    width: int
    height: int


class CocoCategory(_Coco):
    """`keywords` is ours: other words that people may search with."""

    id: int
    name: str
    keywords: list[str] = []


class CocoAnnotation(_Coco):
    """`bbox` is [x, y, width, height]. `visible_fraction` and `style` are ours."""

    id: int
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float
    iscrowd: int = 0
    segmentation: dict[str, Any] | list[list[float]]
    visible_fraction: float = 1.0
    style: str | None = None

    def coco_rle(self, width: int, height: int) -> dict[str, Any]:
        """The mask as pycocotools wants it, from any of COCO's three forms."""
        form = self.segmentation
        if isinstance(form, list):
            return dict(coco_mask.merge(coco_mask.frPyObjects(form, height, width)))
        if isinstance(form["counts"], list):
            return dict(coco_mask.frPyObjects(form, height, width))
        return form


class CocoTruth(_Coco):
    images: list[CocoImage]
    annotations: list[CocoAnnotation]
    categories: list[CocoCategory]


def load_truth(path: Path) -> CocoTruth:
    """Read a COCO instances file. Raises UsageError for what is not one."""
    try:
        truth = CocoTruth.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise UsageError(f"expected a COCO file at {path}: {exc.strerror}") from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UsageError(f"{path} is not in COCO format: {where}: {first['msg']}") from exc
    images, categories = ({one.id for one in known} for known in (truth.images, truth.categories))
    for annotation in truth.annotations:
        for name, known in (("image_id", images), ("category_id", categories)):
            if (number := getattr(annotation, name)) not in known:
                raise UsageError(
                    f"{path}: annotation {annotation.id} has {name} {number}, which is not listed"
                )
    return truth
