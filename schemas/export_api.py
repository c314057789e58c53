"""Defines the request of the search service that writes chosen objects for other programs."""

from __future__ import annotations

import uuid
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_EXPORTED = 1000
"""Objects of a request."""
ExportFormat = Literal["coco", "yolo", "csv", "crops"]


class ExportRequest(BaseModel):
    """The objects to write, and as what.

    `coco`: instances with RLE masks, one JSON file. `yolo`: a zip of polygons, a file an image.
    `csv`: a table. `crops`: a zip of the objects' boxes as JPEG files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    object_ids: tuple[uuid.UUID, ...] = Field(min_length=1, max_length=MOST_EXPORTED)
    format: ExportFormat
