"""An index as a Python object: search it, stream its objects, ingest into it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np

from pipeline.jobs.added_object import ObjectToAdd, add_object, remove_object
from pipeline.jobs.ingest import IngestSummary, ingest
from pipeline.jobs.tag import tag_objects
from pipeline.progress import Progress
from pipeline.python_api.hits import Hit, IndexedObject, SearchResult
from pipeline.python_api.query_vectors import (
    SparseLike,
    VectorLike,
    parse_sparse,
    parse_vector,
    raising_usage_errors,
)
from pipeline.python_api.segmentation import (
    Picture,
    PointPrompt,
    Prompts,
    SegmentedObject,
    segment_picture,
)
from pipeline.search.filter_syntax import parse_conditions
from pipeline.search.kept_pictures import PictureSource, thumbnails_of
from pipeline.search.mask_prompt import encode_mask
from pipeline.search.query_examples import parse_object_id
from pipeline.search.searcher import Searcher
from pipeline.search.source_images import query_image
from pipeline.segmentation.loaded_models import LoadedModels, ModelSource
from pipeline.settings import Settings, load_settings
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.masks import BoolMask
from schemas.payload import Kind
from schemas.records import Float32Matrix, Float32Vector
from schemas.search import (
    Box,
    Condition,
    Example,
    FileExample,
    ObjectExample,
    SearchQuery,
    TextExample,
)
from schemas.tags import TAGS, TagChange

_MOST_TAGS = 1000
Filter = str | Sequence[str]
"""Conditions as the command line takes them, such as `area_frac>0.05`; all have to hold."""


class Index:
    """An index, opened when it is first searched and held until `close`. Not thread-safe.

    A folder belongs to one process at a time: while it is open here, no other can use it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open_searcher: Searcher | None = None
        self._models: LoadedModels | None = None

    @classmethod
    def connect(
        cls,
        location: str | os.PathLike[str],
        config: str | Path | None,
        settings: Mapping[str, object],
    ) -> Self:
        """See `objseek.connect`."""
        index = settings.get("index", {})
        if not isinstance(index, Mapping):
            raise UsageError(f"expected the settings of the section index by name, got {index!r}")
        overrides = {**settings, "index": {**index, "location": os.fspath(location)}}
        return cls(load_settings(None if config is None else Path(config), overrides))

    def __repr__(self) -> str:
        return f"Index({self.settings.index.location!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the index and the models go; the next call opens them again."""
        if self._open_searcher is not None:
            self._open_searcher.close()
            self._open_searcher = self._models = None

    def search(
        self,
        text: str | None = None,
        *,
        image: str | os.PathLike[str] | None = None,
        box: Box | None = None,
        point: tuple[float, float] | None = None,
        exact_box: bool = False,
        mask: BoolMask | None = None,
        like: str | IndexedObject | None = None,
        unlike: str | IndexedObject | None = None,
        vector: VectorLike | None = None,
        sparse: SparseLike | None = None,
        using: str | None = None,
        limit: int = 10,
        filter: Filter = (),
        kind: Kind | Literal["auto"] | None = "auto",
        group_size: int | None = None,
        diversity: float = 0.0,
        collapse: bool = False,
    ) -> SearchResult:
        """Objects that are like everything that is given, best first.

        `text` is what they show; `image` a path or uri, of which the object is meant that `box`
        (x0, y0, x1, y1) is drawn round, or that is at `point` (x, y), both in pixels, or that
        `mask` shows, bool (height, width); with `exact_box` all that is in the box. A whole image
        finds whole images, too. `like` is an indexed object or its id, `unlike` an object, its id,
        or a text that hits should not be like. `vector` is one of your own, float (dim,), as long
        as those of the index; `using` is the name of further vectors that were imported, which it
        is compared with instead, and by itself. `sparse` has the weights of terms by number, or is
        a pair of indices and weights: ranks by its dot product are fused with those by all else,
        and by itself that product is the score. With either, how likely hits are is not known; no
        model is loaded for them. `kind` is "object", "image" or, for both, None; "auto" is objects,
        and whole images with one. `group_size` hits of an image stand together if it is given;
        `diversity` above 0 trades nearness against variety. With `collapse`, near-duplicates of a
        better hit stand behind it, as its `alike`. Hits in videos have a time span, by which they
        can be filtered: `["t_start<=12", "t_end>=12"]`. Raises ObjseekError.

        >>> hits = index.search("a red apple", limit=3, filter="area_frac>0.001")
        >>> [hit.uri.rpartition("/")[0] for hit in hits] == ["s3://objseek-demo/scenes"] * 3
        True
        >>> best = hits[0]
        >>> any(hit.object_id == best.object_id for hit in index.search(like=best))
        False
        >>> index.search(vector=index.embed_text("a red apple"), limit=1)[0].probability is None
        True
        """
        with raising_usage_errors():
            picture = _parse_picture(image, box, point, mask, exact_box)
            query = SearchQuery(
                text=text,
                vector=parse_vector(vector),
                sparse=parse_sparse(sparse),
                using=using,
                positive=tuple(_parse_wanted(picture, like)),
                negative=tuple(_parse_unwanted(unlike)),
                limit=limit,
                conditions=_conditions(filter),
                kind=kind,
                group_size=group_size,
                diversity=diversity,
                collapse=collapse,
            )
        return self.search_query(query)

    def search_query(self, query: SearchQuery) -> SearchResult:
        """The same for a whole query, with all that `schemas.search.SearchQuery` can say."""
        searcher = self._searcher()
        page = searcher.search(query)
        hits = tuple(Hit.from_search(hit, self.settings) for hit in page.hits)
        pictures = PictureSource.with_stored_images(self._get_thumbnails, self.settings)
        return SearchResult(query, hits, page, self.settings, searcher.embedder_name, pictures)

    def _get_thumbnails(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        # The index may have been closed, and opened anew, since the search.
        return thumbnails_of(self._searcher().index)(ids)

    def objects(self, filter: Filter = ()) -> Iterator[IndexedObject]:
        """Every object under all conditions, streamed in no particular order.

        >>> all(item.mask.sum() == item.area_px for item in index.objects("area>100"))
        True
        """
        kind = Condition(field="kind", op="=", value="object")
        searcher = self._searcher()
        conditions = searcher.complete(_conditions(filter))
        for point in searcher.index.scroll((kind, *conditions)):
            yield IndexedObject(point.id, point.parse_payload(), self.settings)

    def count(self, filter: Filter = ()) -> int:
        """How many objects meet all conditions.

        >>> index.count() == len(list(index.objects()))
        True
        """
        kind = Condition(field="kind", op="=", value="object")
        searcher = self._searcher()
        return searcher.index.count((kind, *searcher.complete(_conditions(filter))))

    def ingest(self, *sources: str, progress: Progress | None = None) -> IngestSummary:
        """Make the images at `sources` searchable: `s3://bucket/prefix`, folders, files or globs.

        Videos as well. What was done before, with the same settings, is left alone; the summary
        counts every image and video.
        The index is closed before and opened again by the next call. Raises ObjseekError.

        >>> index.ingest("s3://objseek-demo/scenes/").counts.unchanged
        3
        """
        self.close()
        return ingest(sources, self.settings, progress)

    def segment(
        self,
        image: Picture,
        *,
        points: Sequence[PointPrompt] = (),
        box: Box | None = None,
        mask: BoolMask | None = None,
        text: str | Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        min_probability: float | None = None,
    ) -> list[SegmentedObject]:
        """The masks of any image, with the models of this index; see `objseek.segment`.

        >>> best = index.search("a red apple")[0]
        >>> x0, y0, x1, y1 = best.bbox_xyxy
        >>> (found,) = index.segment(best.image(), box=best.bbox_xyxy)
        >>> bool((found.mask & best.mask).sum() > 0.5 * best.area_px)
        True
        """
        prompts = Prompts(points, box, mask, text, labels, min_probability)
        searcher = self._searcher()
        if self._models is None:
            self._models = LoadedModels(ModelSource.of_searcher(searcher))
        return segment_picture(image, prompts, self._models, self.settings)

    def add_object(
        self,
        image: str | IndexedObject,
        mask: BoolMask | SegmentedObject,
        *,
        label: str | None = None,
    ) -> IndexedObject:
        """Add an object to an indexed image by hand; it is searched like all others.

        `image` is its uri, or an object in it; `mask` bool (height, width) of the whole image, or
        what `segment` found there; `label` what it is called. It stays until its image changes or
        goes; the same mask once more is the same object. Raises ObjseekError.

        >>> best = index.search("a red apple")[0]
        >>> added = index.add_object(best, best.mask, label="my apple")
        >>> [item.object_id for item in index.objects("added=true")] == [added.object_id]
        True
        >>> index.remove_object(added)
        """
        uri = image if isinstance(image, str) else image.uri
        rle = encode_mask(mask).to_rle() if isinstance(mask, np.ndarray) else mask.object_mask.rle
        searcher = self._searcher()
        point = add_object(ObjectToAdd(uri, rle, label), searcher)
        searcher.refresh()
        return IndexedObject(point.id, point.parse_payload(), self.settings)

    def remove_object(self, item: str | IndexedObject) -> None:
        """Remove an object that was added by hand, or the one of this id. Raises ObjseekError."""
        searcher = self._searcher()
        remove_object(parse_object_id(item if isinstance(item, str) else item.object_id), searcher)
        searcher.refresh()

    def tag(
        self,
        objects: str | IndexedObject | Iterable[str | IndexedObject],
        *,
        add: str | Sequence[str] = (),
        remove: str | Sequence[str] = (),
    ) -> int:
        """Tag objects, or those of these ids, and take tags from them; how many have others now.

        A tag has 1 to 64 characters, as they are written. Tags stay with an object when its image
        is ingested again unchanged, embedded anew or labelled. Raises ObjseekError: UsageError also
        for an id that the index has no object of, with all others done.

        >>> best = index.search("a red apple")[0]
        >>> index.tag(best, add="fruit")
        1
        >>> index.tags(), [each.object_id for each in index.objects("tags=fruit")] == [
        ...     best.object_id
        ... ]
        ({'fruit': 1}, True)
        >>> index.tag(best, remove="fruit")
        1
        """
        change = TagChange.parse(
            *([each] if isinstance(each, str) else each for each in (add, remove))
        )
        given = [objects] if isinstance(objects, str | IndexedObject) else objects
        ids = [parse_object_id(each if isinstance(each, str) else each.object_id) for each in given]
        done = tag_objects(ids, change, self._searcher())
        if done.missing:
            raise UsageError(f"the index holds no object {done.missing[0]}")
        return len(done.changed)

    def tags(self, filter: Filter = ()) -> dict[str, int]:
        """How many of the objects under all conditions have each tag, most first; at most 1,000."""
        kind = Condition(field="kind", op="=", value="object")
        searcher = self._searcher()
        conditions = (kind, *searcher.complete(_conditions(filter)))
        return {
            each.value: each.count for each in searcher.index.facet(TAGS, conditions, _MOST_TAGS)
        }

    def embed_text(self, text: str) -> Float32Vector:
        """The unit vector of a text: float32 (dim,).

        >>> vector = index.embed_text("a red apple")
        >>> vector.dtype, round(float(vector @ vector), 3)
        (dtype('float32'), 1.0)
        """
        vector: Float32Vector = self.embed_texts([text])[0]
        return vector

    def embed_texts(self, texts: Sequence[str]) -> Float32Matrix:
        """The unit vectors of texts: float32 (len(texts), dim)."""
        vectors: Float32Matrix = np.stack(self._searcher().models.embed_texts(texts))
        return vectors

    def embed_image(self, image: UInt8Image | str | os.PathLike[str]) -> Float32Vector:
        """The unit vector of a whole image: float32 (dim,).

        `image` is uint8 (height, width, 3) RGB, or a path or uri.

        >>> best = index.search("a red apple")[0]
        >>> index.embed_image(best.crop()).shape == index.embed_text("an apple").shape
        True
        """
        if not isinstance(image, np.ndarray):
            image = query_image(os.fspath(image), self.settings).pixels
        vector: Float32Vector = self._searcher().models.embed_image(image)
        return vector

    def _searcher(self) -> Searcher:
        if self._open_searcher is None:
            self._open_searcher = Searcher.open(self.settings)
        return self._open_searcher


def _parse_wanted(
    picture: FileExample | None, like: str | IndexedObject | None
) -> Iterator[Example]:
    if picture is not None:
        yield picture
    if like is not None:
        yield ObjectExample(object_id=like if isinstance(like, str) else like.object_id)


def _parse_picture(
    image: str | os.PathLike[str] | None,
    box: Box | None,
    point: tuple[float, float] | None,
    mask: BoolMask | None,
    exact_box: bool,
) -> FileExample | None:
    if exact_box and box is None:
        raise UsageError("expected a box that is taken exactly, got none")
    if image is not None:
        path = os.fspath(image)
        region = None if mask is None else encode_mask(mask)
        return FileExample(
            path=path, box_xyxy=box, point_xy=point, exact_box=exact_box, mask=region
        )
    if box is not None or point is not None or mask is not None:
        raise UsageError("expected an image that the box, point or mask is in, got none")
    return None


def _parse_unwanted(unlike: str | IndexedObject | None) -> Iterator[Example]:
    if isinstance(unlike, IndexedObject):
        yield ObjectExample(object_id=unlike.object_id)
    elif unlike is not None:
        yield TextExample(text=unlike)


def _conditions(filter: Filter) -> tuple[Condition, ...]:
    return parse_conditions([filter] if isinstance(filter, str) else filter)
