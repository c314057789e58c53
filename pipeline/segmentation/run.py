"""Segments the images of sources one chunk after another, and hands over each as it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from uuid import UUID

from pipeline.segmentation.queries import BoxesQuery, SegmentQuery
from pipeline.segmentation.results import Refused, SegmentedImage
from pipeline.segmentation.segment import SegmentModels, check_query, segment
from pipeline.settings import Settings
from schemas.boxes import ImageBoxes
from schemas.errors import ObjseekError, UsageError, one_line
from schemas.ids import image_id
from schemas.images import DecodedImage, Failure, ImageRef, Stage
from schemas.redaction import redact
from workers.batching import batched
from workers.read_images import read_images

Boxes = Mapping[UUID, ImageBoxes]
"""The boxes of images by their ids."""


def segment_sources(
    refs: Iterable[ImageRef],
    query: SegmentQuery | Boxes,
    models: SegmentModels,
    settings: Settings,
    on_chunk: Callable[[Sequence[ImageRef]], None] = lambda refs: None,
) -> Iterator[SegmentedImage | Refused | Failure]:
    """A result for each image, in their order; of one that cannot be read or done, why.

    `query` may be the boxes of each image. `on_chunk` is called before the next few are worked on.
    Raises what `check_query` does.
    """
    check_query(query if not isinstance(query, Mapping) else BoxesQuery(()), models)
    for chunk in batched(refs, settings.runner.batch_size):
        on_chunk(chunk)
        read = read_images(chunk, settings.store, settings.decode, settings.runner.read_concurrency)
        images = [image for image in read if isinstance(image, DecodedImage)]
        done = iter(_segment_chunk(images, query, models))
        yield from (next(done) if isinstance(image, DecodedImage) else image for image in read)


def _segment_chunk(
    images: Sequence[DecodedImage], query: SegmentQuery | Boxes, models: SegmentModels
) -> list[SegmentedImage | Refused | Failure]:
    """All together; where that fails, or is of no use, each alone."""
    if len(images) > 1 and not isinstance(query, Mapping):
        try:
            found = segment([image.pixels for image in images], query, models)
        except (ObjseekError, RuntimeError, MemoryError):
            pass  # whose fault it is shows below
        else:
            pairs = zip(images, found, strict=True)
            return [SegmentedImage(image, tuple(masks)) for image, masks in pairs]
    return [_segment_alone(image, query, models) for image in images]


def _segment_alone(
    image: DecodedImage, query: SegmentQuery | Boxes, models: SegmentModels
) -> SegmentedImage | Refused | Failure:
    try:
        own = _find_boxes(image, query) if isinstance(query, Mapping) else query
        (masks,) = segment([image.pixels], own, models)
    except UsageError as exc:
        return Refused(image.ref, exc)
    except ObjseekError as exc:
        return Failure.from_error(image.ref, Stage.SEGMENT, exc)
    except (RuntimeError, MemoryError) as exc:  # torch: no room, or a size that a kernel refuses
        message = redact(f"{one_line(exc)} ({image.ref.uri})")
        return Failure(image.ref, Stage.SEGMENT, type(exc).__name__, message, retryable=True)
    return SegmentedImage(image, tuple(masks))


def _find_boxes(image: DecodedImage, boxes: Boxes) -> BoxesQuery:
    """The boxes of an image, none if the file has none of it. Raises DatasetError."""
    own = boxes.get(image_id(image.ref))
    return BoxesQuery(() if own is None else tuple(own.clip_to(image.size_hw)))
