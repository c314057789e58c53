"""Adds an object to an indexed image by hand, and removes it: its record, then its point."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pipeline.index_home import IndexHome, require_current
from pipeline.search.found_objects import find_image
from pipeline.search.searcher import Searcher
from pipeline.search.source_images import read_source_image
from pipeline.settings import Settings
from schemas.added import AddedObject
from schemas.errors import (
    EmbedderMismatchError,
    NotAddedError,
    NotIndexedError,
    ObjectChangedError,
    UsageError,
)
from schemas.ids import ADDED_ORDINAL, ImageRevision, image_id
from schemas.images import DecodedImage, ImageRef
from schemas.labels import MAX_LABEL_CHARS
from schemas.masks import CocoRle, ObjectMask
from schemas.nesting import Level
from schemas.options import CropOptions, EmbedderOptions
from schemas.payload import PointPayload
from schemas.pipelines import IMPORTED
from schemas.points import Point
from schemas.records import EmbeddedImage, ImageRecord, ObjectRecord
from schemas.search import Condition
from workers.embedders.embed_objects import embed_added
from workers.images.thumbnails import add_thumbnails
from workers.indexes.points import sound_mask_of
from workers.labelling.labeller import build_labeller, label_image
from workers.protocols import Embedder, VectorIndex

ATTEMPTS = 3
"""How often an addition is prepared while its image is being written."""


@dataclass(frozen=True, slots=True)
class ObjectToAdd:
    """A mask of the image `uri`, as large as that, and what the user calls what it shows."""

    uri: str
    rle: CocoRle
    label: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Addition:
    """An object that is ready to be written to the `generation` that it was made for.

    `image` has no other objects. `point` is the object itself where the index has it already.
    """

    record: AddedObject
    image: EmbeddedImage
    generation: str
    point: Point | None = None


def add_object(wanted: ObjectToAdd, searcher: Searcher) -> Point:
    """Embed and label a mask as the image's own objects are, record it, and put it in the index.

    The same mask once more is the same object, which stays as it is. Raises NotIndexedError where
    the index has no such image, ObjectChangedError where it has changed since, UsageError for a
    mask or label that is none, EmbedderMismatchError, and what reading the image and index and
    manifest raise.
    """
    for _ in range(ATTEMPTS):
        point = write_addition(prepare_addition(wanted, searcher), searcher)
        if point is not None:
            return point
    raise written_meanwhile(wanted)


def written_meanwhile(wanted: ObjectToAdd) -> ObjectChangedError:
    """What is raised where an ingest wrote the image every time."""
    return ObjectChangedError(f"the image is being written by an ingest, try again ({wanted.uri})")


def prepare_addition(wanted: ObjectToAdd, searcher: Searcher) -> Addition:
    """The slow part of `add_object`: nothing is written. Raises what that does."""
    index = searcher.index
    index.require_writable()
    image = _find_image(index, wanted.uri)
    payload = image.parse_payload()
    if payload.t_key is not None:
        raise UsageError(
            f"expected an image to add an object to, got a video, whose objects are of many frames "
            f"({payload.uri})"
        )
    rle, label = _check_mask(wanted.rle, payload), _check_label(wanted.label)
    record = AddedObject.of(
        uuid.UUID(payload.image_id), payload.uri, payload.version, rle, label, datetime.now(UTC)
    )
    embedded = _describe_image(image, payload)
    existing = _find_existing(record, embedded, searcher)
    if existing is None:
        embedded = _embed(record, embedded, payload, searcher)
    return Addition(record, embedded, searcher.generation, existing)


def write_addition(addition: Addition, searcher: Searcher) -> Point | None:
    """Record an object, then put it in the index; its point.

    None where the image was written or removed meanwhile: it has to be prepared again. A crash in
    between leaves an object that is recorded and missing, which the same call, or a repair of
    `verify` and the ingest after it, brings. Raises GenerationChangedError, and what index and
    manifest raise.
    """
    if addition.generation != searcher.generation:
        return None
    if addition.point is not None:
        return addition.point
    home = _home_of(searcher)
    home.manifest.added.add([addition.record])
    # After the record: what begins later knows of it, and what began before is superseded.
    searcher.index.add_objects(addition.image, datetime.now(UTC))
    point = _find_written(addition, searcher.index)
    if point is None:
        home.manifest.added.remove([addition.record])
        searcher.index.delete_points([addition.record.object_id])
        return None
    require_current(home, searcher.settings)
    return point


def remove_object(object_id: uuid.UUID, searcher: Searcher) -> None:
    """Remove an object that was added by hand: its record, then its point.

    A crash in between leaves a point that `verify` calls extra. Raises NotIndexedError where there
    is no such object, NotAddedError for one that an ingest has found.
    """
    index, home = searcher.index, _home_of(searcher)
    index.require_writable()
    point = index.stored([object_id]).get(object_id)
    record = home.manifest.added.find(str(object_id))
    if point is not None and not point.payload.get("added"):
        raise NotAddedError(
            f"expected an object that was added by hand, {object_id} was found by an ingest "
            f"({point.payload.get('uri')})"
        )
    if point is None and record is None:
        raise NotIndexedError(f"the index holds no object {object_id}")
    if record is not None:
        home.manifest.added.remove([record])
    index.delete_points([str(object_id)])
    require_current(home, searcher.settings)


def find_size(index: VectorIndex, uri: str) -> tuple[int, int]:
    """Height and width of an indexed image. Raises NotIndexedError."""
    payload = _find_image(index, uri).parse_payload()
    return payload.height, payload.width


def _home_of(searcher: Searcher) -> IndexHome:
    return IndexHome.at(searcher.settings, searcher.generation)


def _find_written(addition: Addition, index: VectorIndex) -> Point | None:
    """The object's point, None unless its image is the one that it was prepared for."""
    try:
        image = find_image(index, addition.record.image_id)
    except UsageError:  # it was removed
        return None
    if image.payload.get("generation") != addition.image.revision.id:
        return None
    identity = uuid.UUID(addition.record.object_id)
    return index.stored([identity]).get(identity)


def _find_image(index: VectorIndex, uri: str) -> Point:
    """The point of an image. Raises NotIndexedError."""
    try:
        return find_image(index, str(image_id(ImageRef.from_uri(uri, "", 0))))
    except (UsageError, ValueError) as exc:
        raise NotIndexedError(f"the index holds no image {uri!r}") from exc


def _check_mask(rle: CocoRle, payload: PointPayload) -> CocoRle:
    """The mask in the one way in which it is encoded here. Raises UsageError."""
    size_hw = payload.height, payload.width
    if not payload.has_size:
        raise UsageError(f"expected an image whose size is known, got {payload.uri}")
    if rle.size_hw != size_hw:  # before so much memory is taken
        raise UsageError(
            f"expected a mask of size {list(size_hw)}, got one of {list(rle.size_hw)} "
            f"({payload.uri})"
        )
    try:
        own = CocoRle.from_mask(rle.decode())
    except ValueError as exc:
        raise UsageError(f"expected a mask as COCO's compressed RLE: {exc}") from exc
    if not own.area_px:
        raise UsageError(f"expected a mask with pixels, got an empty one ({payload.uri})")
    return own


def _check_label(label: str | None) -> str | None:
    if label is None:
        return None
    name = " ".join(label.split())
    if any("\ud800" <= each <= "\udfff" for each in name):  # which JSON and Python can hold
        raise UsageError(f"expected a label of Unicode characters, got {name!r}")
    if not 0 < len(name) <= MAX_LABEL_CHARS:
        raise UsageError(
            f"expected a label of 1 to {MAX_LABEL_CHARS} characters, got {len(name)} of them"
        )
    return name


def _find_existing(record: AddedObject, image: EmbeddedImage, searcher: Searcher) -> Point | None:
    identity = uuid.UUID(record.object_id)
    point = searcher.index.stored([identity]).get(identity)
    if point is None or point.payload.get("generation") != image.revision.id:
        return None
    recorded = _home_of(searcher).manifest.added.find(record.object_id)
    return None if recorded is None else point


def _describe_image(point: Point, payload: PointPayload) -> EmbeddedImage:
    ref = ImageRef.from_uri(payload.uri, payload.version, 0)
    return EmbeddedImage(
        ref,
        (payload.height, payload.width),
        ImageRevision(payload.version, payload.fingerprint),
        payload.segmenter,
        payload.embedder,
        ImageRecord(uuid.UUID(point.id), {}),
        (),
    )


def _embed(
    record: AddedObject, image: EmbeddedImage, payload: PointPayload, searcher: Searcher
) -> EmbeddedImage:
    """The image with this object for its only one, embedded and labelled as its own are."""
    settings, embedder = searcher.settings, searcher.models.images()
    options, settings = _settle_options(payload, embedder, searcher, settings)
    source = _read(payload, settings)
    objects = tuple(_list_objects(searcher.index, payload))
    image = replace(image, ref=source.ref, objects=objects)
    image = embed_added(image, source.pixels, [record], embedder, options)
    # The image as a whole is not written: any vector will do.
    vectors = image.added[0].vectors
    image = replace(image, objects=(), whole=replace(image.whole, vectors=vectors))
    if payload.labelled_by is not None:
        image = label_image(
            image,
            build_labeller(settings.labels, options, settings.cache_dir, searcher.calibration),
        )
    side_px = settings.index.thumbnail_px
    return add_thumbnails(image, source.pixels, side_px) if side_px else image


def _settle_options(
    payload: PointPayload, embedder: Embedder, searcher: Searcher, settings: Settings
) -> tuple[EmbedderOptions, Settings]:
    """How the image's own objects were decoded, cut out and embedded, where that is known."""
    if payload.embedder != embedder.name:
        raise EmbedderMismatchError(
            f"expected an image with vectors of {embedder.name!r}, it has those of "
            f"{payload.embedder!r} ({payload.uri})"
        )
    options = settings.embedder.model_copy(update={"name": embedder.name})
    pipeline = _home_of(searcher).pipelines.look_up(payload.fingerprint)
    # Of imported vectors nobody knows the weights but by their name.
    if pipeline is None or pipeline.segmenter == IMPORTED:
        return options, settings
    if pipeline.embedder_fingerprint != embedder.fingerprint:
        raise EmbedderMismatchError(
            f"expected the weights that the image was embedded with, those of {embedder.name!r} "
            f"are others now ({payload.uri})"
        )
    cut = {name: getattr(pipeline, name) for name in CropOptions.model_fields}
    return options.model_copy(update=cut), settings.model_copy(update={"decode": pipeline.decode})


def _read(payload: PointPayload, settings: Settings) -> DecodedImage:
    source = read_source_image(payload, settings)
    if source.size_hw != (payload.height, payload.width):
        raise ObjectChangedError(f"{payload.uri} is of another size than when it was indexed")
    return source


def _list_objects(index: VectorIndex, payload: PointPayload) -> Iterator[ObjectRecord]:
    """What the image's own objects are, without vectors: the added one may be part of one."""
    conditions = (
        Condition(field="image_id", op="=", value=payload.image_id),
        Condition(field="kind", op="=", value="object"),
        Condition(field="generation", op="=", value=payload.generation),
        Condition(field="ordinal", op=">", value=ADDED_ORDINAL),
    )
    for point in sorted(index.scroll(conditions), key=lambda each: int(each.payload["ordinal"])):
        rle = sound_mask_of(point, index.note_broken)
        mask = None if rle is None else ObjectMask.measure(rle)
        if mask is not None:
            level = point.parse_payload().level or Level.WHOLE
            yield ObjectRecord(uuid.UUID(point.id), mask, {}, level=level)
