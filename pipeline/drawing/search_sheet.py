"""Makes the contact sheet of a search, and writes it to a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.drawing.contact_sheet import contact_sheet, draw_tile, file_name
from pipeline.messages import quantify
from pipeline.search.found_objects import find_image
from pipeline.search.kept_pictures import Picture, PictureSource, read_pictures
from pipeline.search.searcher import Searcher
from pipeline.search.source_images import query_image, read_source_image
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.images import Failure, UInt8Image
from schemas.search import (
    Example,
    FileExample,
    IndexedImageExample,
    ObjectExample,
    SearchHit,
    SearchPage,
    SearchQuery,
    TextExample,
    UploadExample,
    VectorExample,
)
from workers.durable_files import check_output_file, write_output

MAX_TILES = 60
_ID_CHARS = 8
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@dataclass(frozen=True, slots=True)
class Sheet:
    """`picture` is RGB; `unread` says why the images of some hits could not be read."""

    picture: Image.Image
    unread: Sequence[Failure]


def draw_sheet(
    query: SearchQuery,
    hits: Sequence[SearchHit],
    settings: Settings,
    embedder_name: str,
    source: PictureSource,
    subject: UInt8Image | None = None,
) -> Sheet:
    """Contact sheet of the first `MAX_TILES` hits of `query`.

    `subject` is a picture that was searched with, uint8 (height, width, 3).
    """
    drawn = hits[:MAX_TILES]
    unread: list[Failure] = []

    def read() -> Iterator[Picture]:
        points = [(hit.object_id, hit.payload) for hit in drawn]
        for image in read_pictures(points, source):
            if isinstance(image, Failure):
                unread.append(image)
            yield image

    picture = contact_sheet(
        drawn,
        read(),
        title=describe_query(query),
        subtitle=_subtitle(query, hits, settings, embedder_name),
        subject=subject,
    )
    return Sheet(picture, unread)


def describe_query(query: SearchQuery) -> str:
    """The query in words."""
    wanted = [*map(_describe, query.wanted)]
    words = " + ".join(wanted if query.sparse is None else [*wanted, "a sparse vector"])
    words += "" if query.using is None else f" of {query.using}"
    against = ", ".join(map(_describe, query.negative))
    return f"{words}, not {against}" if against else words


def _describe(example: Example) -> str:
    match example:
        case TextExample(text=text):
            return text
        case VectorExample():
            return "a vector"
        case ObjectExample(object_id=identity):
            # The whole id leaves no room for the rest; the object is drawn beside it.
            return f"like object {identity[:_ID_CHARS]}…"
        case FileExample(path=path):
            name = file_name(path)
        case IndexedImageExample(image_id=identity):
            name = f"image {identity[:_ID_CHARS]}…"
        case UploadExample():
            name = "an uploaded image"
    region = "" if example.is_whole else "a region of "
    return f"like {region}{name}"


def check_sheet_path(path: Path) -> None:
    """Raise UsageError unless a sheet can be written there, before anything else is done."""
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(
            f"expected a sheet that ends in one of {', '.join(_FORMATS)}, got {str(path)!r}"
        )
    check_output_file(path, "the sheet")


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write the whole sheet or nothing. Raises UsageError."""
    with write_output(path, "the sheet") as file:
        sheet.save(file, _FORMATS[path.suffix.lower()], quality=92)


def _subtitle(
    query: SearchQuery, hits: Sequence[SearchHit], settings: Settings, embedder_name: str
) -> str:
    noun = {"object": "object", "image": "image", None: "hit"}[query.wanted_kind]
    parts = ["nothing found"]
    if hits:
        total = quantify(len(hits), noun)
        first = f"the first {MAX_TILES} of {total}" if len(hits) > MAX_TILES else total
        parts = [first, f"best score {max(hit.score for hit in hits):.3f}"]
    conditions = [f"{item.field} {item.op} {item.value}" for item in query.conditions]
    return " · ".join([*parts, *conditions, embedder_name, settings.index.location])


def find_subject(
    query: SearchQuery, searcher: Searcher, page: SearchPage, settings: Settings
) -> UInt8Image | None:
    """The first picture that was searched with, uint8 (height, width, 3)."""
    # A search of an empty index has no regions.
    for example, region in zip(query.wanted, page.regions, strict=bool(page.regions)):
        match example:
            case FileExample(path=path):
                pixels = query_image(path, settings).pixels
            case IndexedImageExample(image_id=identity):
                image = find_image(searcher.index, identity)
                pixels = read_source_image(image.parse_payload(), settings).pixels
            case ObjectExample(object_id=identity):
                own = searcher.find(identity)
                if own is None:
                    continue
                payload = own.parse_payload()
                point = (own.id, payload)
                (picture,) = read_pictures(
                    [point], PictureSource.of_index(searcher.index, settings)
                )
                return np.asarray(draw_tile(payload, picture))
            case _:
                continue
        if region is None:
            return pixels
        x0, y0, x1, y1 = region.bbox
        return pixels[y0:y1, x0:x1]
    return None
