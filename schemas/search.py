"""Defines queries and hits for the command line, the service and Python callers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.masks import ObjectMask
from schemas.named_vectors import MAX_NAME_CHARS
from schemas.payload import Kind, PointPayload, RlePayload
from schemas.sparse_terms import SparseTerms

MAX_OVERLAP = 0.5
"""Default of `SearchQuery.max_overlap`."""
MAX_EXAMPLES = 32
MAX_CONDITIONS = 64
MAX_IDS = 20_000
"""Of a condition on ids: with more a search and its counts take seconds."""
MAX_TEXT_CHARS = 1000
MAX_PAGED = 1000
"""Hits that can be paged through with cursors."""
_MAX_NUMBERS = 16_384  # of a vector

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, half-open."""


Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
"""With a limit pydantic also refuses half of a surrogate pair, which JSON can hold."""


def _check_direction(values: tuple[float, ...]) -> tuple[float, ...]:
    if not any(values):
        raise ValueError("expected a vector other than zero")
    return values


Vector = Annotated[
    tuple[float, ...],
    Field(min_length=1, max_length=_MAX_NUMBERS),
    AfterValidator(_check_direction),
]
"""Finite numbers, not all zero; of any length."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Condition(BaseModel):
    """One filter condition on a payload field: `area_frac > 0.05`, `uri ^= s3://…` (prefix).

    Of `object_id` several values may be given, one of which it has to be. `on_map` is a part of the
    map of the objects, see `MapRegion`.

    `least_score`, of `labels` alone: the least score of a label that counts, 0: every guess; None:
    as the settings say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    field: str = Field(max_length=64)
    op: Literal["=", "!=", "<", "<=", ">", ">=", "^="]
    value: str | int | float | Annotated[tuple[Text, ...], Field(max_length=MAX_IDS)]
    least_score: float | None = Field(default=None, ge=0, le=1)


class _Example(_Frozen):
    weight: float = Field(default=1.0, gt=0, le=100)


class TextExample(_Example):
    """What a text describes."""

    text: Text = Field(min_length=1)


class VectorExample(_Example):
    """A vector of the caller's own, as long as those of the index; who made it is their affair."""

    values: Vector


class ObjectExample(_Example):
    """An indexed object, by its id: what all masks of that object show."""

    object_id: Text


class _Region(_Example):
    """A picture, or the object in it that a box is drawn round, that is at a point, or of a mask.

    The point is x, y in pixels. `exact_box`: all that is in the box, as it is. `mask` is COCO's
    compressed run lengths, of the size of the picture.
    """

    box_xyxy: Box | None = None
    point_xy: tuple[float, float] | None = None
    exact_box: bool = False
    mask: RlePayload | None = None

    @model_validator(mode="after")
    def _check_region(self) -> Self:
        given = {"a box": self.box_xyxy, "a point": self.point_xy, "a mask": self.mask}
        names = [name for name, value in given.items() if value is not None]
        if len(names) > 1:
            raise ValueError(
                f"expected one of a box, a point and a mask, got {' and '.join(names)}"
            )
        if self.exact_box and self.box_xyxy is None:
            raise ValueError("expected a box that is taken exactly, got none")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether all of the picture is meant."""
        return self.box_xyxy is None and self.point_xy is None and self.mask is None


class FileExample(_Region):
    """An image at a path or uri that the caller may read."""

    path: str = Field(min_length=1)


class IndexedImageExample(_Region):
    """An image of the index, by its id."""

    image_id: Text


class UploadExample(_Region):
    """An image that was uploaded to the service, by the id that it answered with.

    `object_index` is the place of an object in the list of those that were found in it, from 0.
    """

    upload_id: Text
    object_index: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _check_object(self) -> Self:
        if self.object_index is not None and not super().is_whole:
            raise ValueError("expected an object, a box, a point or a mask, got two of them")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether all of the upload is meant."""
        return super().is_whole and self.object_index is None

    @property
    def needs_objects(self) -> bool:
        """Whether the objects in the upload have to be found first."""
        return self.object_index is not None or (self.box_xyxy is not None and not self.exact_box)


Example = (
    TextExample | VectorExample | ObjectExample | IndexedImageExample | UploadExample | FileExample
)


class RegionChoice(StrEnum):
    """How the region of a picture that is searched with was chosen.

    By a box: the mask of the index that fits it best (`indexed`), or of those that the segmenter
    finds in the image (`found`); the box as it is because that was wanted (`box`), or because no
    object fits it (`fallback`). By a point: the mask there (`point`). `mask`: the one that was
    given.
    """

    INDEXED = "indexed"
    FOUND = "found"
    POINT = "point"
    BOX = "box"
    FALLBACK = "fallback"
    MASK = "mask"


@dataclass(frozen=True, slots=True)
class Region:
    """The part of a picture that is searched with. `object_id` is that of an indexed mask."""

    mask: ObjectMask
    choice: RegionChoice
    object_id: str | None = None

    @property
    def bbox(self) -> Box:
        """Around the mask."""
        return self.mask.bbox_xyxy


class SearchQuery(_Frozen):
    """Objects that are like all of `text`, `vector` and `positive`, and not like `negative`.

    `vector` is one of the caller's own, as long as those of the index; with `using` it is compared
    with the named vectors of that name instead, and nothing else is searched with. `sparse` is a
    sparse vector: ranks by its dot product with those in the index are fused with those by all
    else, or count by themselves; then that product is the score of a hit, and `min_score` one.
    Where a vector or a sparse vector is searched with, how likely hits are is not known.

    A segmenter finds an object, its parts, and groups of objects: of hits in one image that share
    more than `max_overlap` of the smaller mask, the best stands for all; 1 keeps every hit. Masks
    that overlap an `ObjectExample` are no hits.

    `kind` "auto": objects, and whole images as well if one of them is searched with; None: both.
    `hybrid`: words in labels and uris count as well for texts, if the index has words. `diversity`
    above 0 trades nearness against variety (maximal marginal relevance; 1: variety alone).
    `strategy` is Qdrant's for recommendations: `average_vector` searches near the mean of the
    examples, `best_score` near any of them. With `group_size`, up to so many hits of an image stand
    together. `cursor` is where the page before ended. `collapse`: hits that are near-duplicates of
    a better one stand behind it, as its `alike`, and do not count for the limit.
    """

    text: Text | None = None
    vector: Vector | None = None
    sparse: SparseTerms | None = None
    using: str | None = Field(default=None, min_length=1, max_length=MAX_NAME_CHARS)
    positive: tuple[Example, ...] = Field(default=(), max_length=MAX_EXAMPLES)
    negative: tuple[Example, ...] = Field(default=(), max_length=MAX_EXAMPLES)
    kind: Kind | Literal["auto"] | None = "auto"
    limit: int = Field(default=10, ge=1, le=10_000)
    min_score: float | None = None
    conditions: tuple[Condition, ...] = Field(default=(), max_length=MAX_CONDITIONS)
    hybrid: bool = True
    strategy: Literal["average_vector", "best_score"] = "average_vector"
    diversity: float = Field(default=0.0, ge=0, le=1)
    group_size: int | None = Field(default=None, ge=1, le=100)
    max_overlap: float = Field(default=MAX_OVERLAP, ge=0, le=1)
    collapse: bool = False
    cursor: str | None = Field(default=None, max_length=32_768)

    @model_validator(mode="after")
    def _check_wanted(self) -> Self:
        if self.wanted:
            return self
        if self.sparse is None:
            raise ValueError(
                "expected a text, an image, an object or a vector to look for, got none"
            )
        if self.negative:
            raise ValueError(
                "expected a text, an image, an object or a vector to look for where something is "
                "not wanted, got a sparse vector alone"
            )
        return self

    @model_validator(mode="after")
    def _check_using(self) -> Self:
        if self.using is None:
            return self
        if self.vector is None:
            raise ValueError(f"expected a vector to search by {self.using!r}, got none")
        beside = {
            "a text": self.text is not None,
            "further examples": bool(self.positive or self.negative),
            "a sparse vector": self.sparse is not None,
            "diversity": bool(self.diversity),
            "the strategy best_score": self.strategy == "best_score",
        }
        if more := [name for name, given in beside.items() if given]:
            raise ValueError(
                f"expected a vector alone to search by {self.using!r}, got {more[0]} beside it"
            )
        return self

    @property
    def wanted(self) -> tuple[Example, ...]:
        """All examples that hits should be like."""
        wanted: list[Example] = []
        if self.text is not None:
            wanted.append(TextExample.model_construct(text=self.text, weight=1.0))
        if self.vector is not None:
            wanted.append(VectorExample.model_construct(values=self.vector, weight=1.0))
        return (*wanted, *self.positive)

    @property
    def wanted_kind(self) -> Kind | None:
        """What hits may be; None: objects and whole images."""
        if self.kind != "auto":
            return self.kind
        return None if any(map(shows_whole, self.positive)) else "object"


def shows_whole(example: Example) -> bool:
    """Whether a whole picture is searched with."""
    return isinstance(example, _Region) and example.is_whole


class Relevance(StrEnum):
    """How likely a hit shows what was searched for; a calibration sets the bounds."""

    STRONG = "strong"
    LIKELY = "likely"
    WEAK = "weak"


class SearchHit(_Frozen):
    """One found object: where it is, its mask, and how sure.

    `score` is the cosine similarity to the query; to a sparse vector alone, the dot product with
    it. `probability` is how likely the object is what
    was searched for, and `relevance` the same in a word; both are None where they are unknown. For
    a text that the embedder has not learnt there is no probability, and every hit is weak. `alike`
    are the hits that are collapsed behind it, as far as they were among the candidates.
    """

    object_id: str
    score: float
    payload: PointPayload
    probability: float | None = None
    relevance: Relevance | None = None
    alike: tuple[SearchHit, ...] | None = None


class ImageCopy(_Frozen):
    """An indexed image that shows what a whole picture shows which was searched with.

    `exact`: they are the same to the pixel; otherwise it may be of another size or encoding.
    `object_id` is the point of the image as a whole.
    """

    image_id: str
    object_id: str
    uri: str
    exact: bool


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Hits of a query; `cursor` leads to the next ones, None: there are no more.

    `relevance` is that of the surest hit: where it is weak, what was searched for is most likely
    not in the index. `hybrid`: words counted. `regions` are what a box or a point showed of each
    example, `copies` the indexed images that the whole pictures among them are copies of. `seconds`
    are by stage.
    """

    hits: tuple[SearchHit, ...]
    cursor: str | None = None
    relevance: Relevance | None = None
    hybrid: bool = False
    regions: tuple[Region | None, ...] = ()
    copies: tuple[ImageCopy, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
