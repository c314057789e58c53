"""From a search to its contact sheet, and to a file."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.console import check_output_file, counted
from pipeline.pictures import images_of
from pipeline.search import Searcher
from pipeline.settings import Settings
from pipeline.sheet import contact_sheet, file_name, tile_picture
from schemas.errors import UsageError
from schemas.images import DecodedImage, Failure, UInt8Image
from schemas.search import SearchHit, SearchQuery

MAX_TILES = 60
_ID_CHARS = 8
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, slots=True)
class Sheet:
    """`picture` is RGB; `unread` says why some of its hits' images could not be shown."""

    picture: Image.Image
    unread: Sequence[Failure]


def sheet_of(
    searcher: Searcher, query: SearchQuery, hits: Sequence[SearchHit], settings: Settings
) -> Sheet:
    """Contact sheet of the first `MAX_TILES` hits of `query`; it reads their images again."""
    shown = hits[:MAX_TILES]
    unread: list[Failure] = []

    def read() -> Iterator[DecodedImage | Failure]:
        for image in images_of(shown, settings):
            if isinstance(image, Failure):
                unread.append(image)
            yield image

    picture = contact_sheet(
        shown,
        read(),
        title=title_of(query),
        subtitle=_subtitle(searcher, query, hits, settings),
        subject=_subject(searcher, query, settings),
    )
    return Sheet(picture, unread)


def title_of(query: SearchQuery) -> str:
    """The query in words."""
    if query.text is not None:
        words = query.text
    elif query.image_path is not None:
        region = "a region of " if query.box_xyxy else ""
        words = f"like {region}{file_name(query.image_path)}"
    else:
        # The whole id leaves no room for what it is not to be like; the object is shown beside.
        words = f"like object {str(query.like)[:_ID_CHARS]}…"
    return f"{words}, not {query.negative_text}" if query.negative_text else words


def check_sheet_path(path: Path) -> None:
    """Raise UsageError unless a sheet can be written there, before anything else is done."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"expected a sheet that ends in one of {', '.join(SUFFIXES)}, got {str(path)!r}"
        )
    check_output_file(path, "the sheet")


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write the whole sheet or nothing. Raises UsageError."""
    unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        try:
            sheet.save(unfinished, quality=92)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as exc:
        raise UsageError(f"the sheet cannot be written to {path}: {exc.strerror or exc}") from exc


def _subtitle(
    searcher: Searcher, query: SearchQuery, hits: Sequence[SearchHit], settings: Settings
) -> str:
    things = {"object": "object", "image": "image", None: "hit"}[query.kind]
    parts = ["nothing found"]
    if hits:
        many = counted(len(hits), things)
        first = f"the first {MAX_TILES} of {many}" if len(hits) > MAX_TILES else many
        parts = [first, f"best score {hits[0].score:.3f}"]
    conditions = [f"{one.field} {one.op} {one.value}" for one in query.conditions]
    return " · ".join([*parts, *conditions, searcher.embedder_name, settings.index.location])


def _subject(searcher: Searcher, query: SearchQuery, settings: Settings) -> UInt8Image | None:
    """What was searched with, to be shown beside the title."""
    if query.image_path is not None:
        pixels = searcher.picture_of(query).pixels
        if query.box_xyxy is None:
            return pixels
        x0, y0, x1, y1 = query.box_xyxy
        return pixels[y0:y1, x0:x1]
    own = searcher.find(query.like) if query.like is not None else None
    if own is None:
        return None
    (image,) = images_of([own], settings)
    return np.asarray(tile_picture(own.payload, image))
