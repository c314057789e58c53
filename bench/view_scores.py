"""Ranks the objects of scenes by vectors alone: do texts find them, do objects find their like?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.matching import MATCH_IOU, must_be_found
from pipeline.evaluation.text_queries import FIRST, keyword_queries
from pipeline.search.same_object import unit
from schemas.coco import CocoAnnotation, CocoId, CocoTruth
from schemas.masks import CocoRle, ObjectMask
from schemas.overlaps import Overlaps, mask_ios, mask_iou
from schemas.records import Float32Matrix, Float32Vector
from schemas.search import MAX_OVERLAP
from workers.segmenters.grid import mask_of_box

SAMPLES = 2000
_INTERVAL = (2.5, 97.5)  # per cent: 95 lie within
_SEED = 0
_RIGHT, _WRONG, _NEITHER = 1, 0, -1
Ranks = npt.NDArray[np.int64]
"""int64 (queries,): from 0 the rank of the first right hit; `FIRST` where the first ten have none.
"""
Floats = npt.NDArray[np.float64]
Verdicts = npt.NDArray[np.int8]
"""int8 (objects,): right, wrong, or neither."""


def fill_box(rle: CocoRle) -> CocoRle:
    """All of the box around a mask, which is not empty."""
    mask = mask_of_box(rle.bbox_xyxy, rle.size_hw)
    assert mask is not None
    return mask.rle


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Objects of all scenes, in order, and what they show.

    `scene` int64 (n,) numbers the scene of each. `shown` has the annotation of each, None where it
    shows none. `overlaps` are pairs of a scene of which only the better is a hit. `masks_of` has
    the objects that are masks of an annotation which must be found: its best one, and those that
    are much like that.
    """

    scene: npt.NDArray[np.int64]
    shown: Sequence[CocoAnnotation | None]
    overlaps: frozenset[tuple[int, int]]
    masks_of: Mapping[CocoId, Sequence[int]]

    @classmethod
    def of(
        cls, truth: CocoTruth, found: Sequence[Sequence[ObjectMask]], *, boxes: bool = False
    ) -> Gallery:
        """What was found in each scene of a truth. With `boxes` an object shows what it has the box
        of, rather than the pixels."""
        annotations: dict[CocoId, list[CocoAnnotation]] = defaultdict(list)
        for annotation in truth.annotations:
            annotations[annotation.image_id].append(annotation)
        scene: list[int] = []
        shown: list[CocoAnnotation | None] = []
        overlaps: set[tuple[int, int]] = set()
        masks_of: dict[CocoId, list[int]] = {}
        for number, (image, masks) in enumerate(zip(truth.images, found, strict=True)):
            first, true = len(scene), annotations[image.id]
            rles = [mask.rle for mask in masks]
            true_rles = [annotation.to_rle(image.size_hw) for annotation in true]
            iou = mask_iou(rles, [fill_box(rle) for rle in true_rles] if boxes else true_rles)
            scene += [number] * len(masks)
            shown += [_choose_shown(true, row) for row in iou]
            pairs = np.argwhere(mask_ios(rles, rles) > MAX_OVERLAP) + first
            overlaps.update(map(tuple, pairs.tolist()))
            alike = mask_iou(rles, rles) >= MATCH_IOU
            for annotation, column in zip(true, iou.T, strict=True):
                if must_be_found(annotation, image):
                    masks_of[annotation.id] = [first + row for row in _list_like(alike, column)]
        return cls(np.array(scene, np.int64), shown, frozenset(overlaps), masks_of)

    def rank_first_right(self, similarity: Float32Vector, verdicts: Verdicts) -> int:
        """Rank from 0 of the first right hit, at most `FIRST`; of overlapping ones only the best
        counts, and those that are neither right nor wrong are left out."""
        kept: dict[int, list[int]] = defaultdict(list)
        rank = 0
        for row in np.argsort(-similarity, kind="stable").tolist():
            others = kept[int(self.scene[row])]
            if any((row, other) in self.overlaps for other in others):
                continue
            others.append(row)
            if verdicts[row] == _RIGHT:
                return rank
            rank += verdicts[row] == _WRONG
            if rank == FIRST:
                break
        return FIRST


def _choose_shown(true: Sequence[CocoAnnotation], iou: Overlaps) -> CocoAnnotation | None:
    """Which of the annotations an object has most of, None if too little of any."""
    return true[int(iou.argmax())] if iou.max(initial=0.0) >= MATCH_IOU else None


def _list_like(alike: npt.NDArray[np.bool_], iou: Overlaps) -> list[int]:
    """The object that fits an annotation best and those that are much like it; none if none fits.

    iou float64 (objects,); alike bool (objects, objects).
    """
    if iou.max(initial=0.0) < MATCH_IOU:
        return []
    return np.flatnonzero(alike[int(iou.argmax())]).tolist()


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """What is asked of every gallery of the same scenes.

    `texts` are labels and keywords, each with the categories that it is true of. `objects` are
    annotations that must be found, of which another style is in another scene; `groups` int64 has
    the scene of each.
    """

    texts: Sequence[str]
    right: Sequence[set[int]]
    objects: Sequence[CocoAnnotation]
    groups: npt.NDArray[np.int64]

    @classmethod
    def of(cls, truth: CocoTruth) -> Queries:
        images = {image.id: (number, image) for number, image in enumerate(truth.images)}
        wanted = [a for a in truth.annotations if must_be_found(a, images[a.image_id][1])]
        present_ids = {annotation.category_id for annotation in wanted}
        present = [category for category in truth.categories if category.id in present_ids]
        labels = [category.name for category in present]
        same_name = [{c.id for c in truth.categories if c.name == label} for label in labels]
        words, right = keyword_queries(present, truth.categories)
        styles: dict[int, set[tuple[str | None, CocoId]]] = defaultdict(set)
        for annotation in wanted:
            styles[annotation.category_id].add((annotation.style, annotation.image_id))
        objects = [
            a
            for a in wanted
            if any(s != a.style and i != a.image_id for s, i in styles[a.category_id])
        ]
        groups = np.array([images[a.image_id][0] for a in objects], np.int64)
        return cls([*labels, *words], [*same_name, *right], objects, groups)


@dataclass(frozen=True, slots=True, eq=False)
class ViewRanks:
    """Of texts, and of objects whose like in other scenes is of another style."""

    texts: Ranks
    objects: Ranks


def rank_queries(
    gallery: Gallery, vectors: Float32Matrix, texts: Float32Matrix, queries: Queries
) -> ViewRanks:
    """Ranks in a gallery of these vectors, float32 (objects, dim); an object of which there is no
    mask finds nothing."""
    categories = [None if a is None else a.category_id for a in gallery.shown]
    by_text = [
        gallery.rank_first_right(
            vectors @ text, np.array([category in right for category in categories], np.int8)
        )
        for text, right in zip(texts, queries.right, strict=True)
    ]
    by_object = [_rank_like(gallery, vectors, wanted) for wanted in queries.objects]
    return ViewRanks(np.array(by_text, np.int64), np.array(by_object, np.int64))


def _rank_like(gallery: Gallery, vectors: Float32Matrix, wanted: CocoAnnotation) -> int:
    """As `pipeline.evaluation.scores` does: what is of the same scene, or the same drawing, is
    neither right nor wrong."""
    rows = gallery.masks_of[wanted.id]
    if not rows:
        return FIRST
    same_scene = gallery.scene == gallery.scene[rows[0]]
    verdicts = np.where(same_scene, _NEITHER, _WRONG).astype(np.int8)
    for row, other in enumerate(gallery.shown):
        if other is not None and other.category_id == wanted.category_id and not same_scene[row]:
            verdicts[row] = _NEITHER if other.style == wanted.style else _RIGHT
    return gallery.rank_first_right(vectors @ unit(vectors[rows].mean(axis=0)), verdicts)


def reciprocal(ranks: Ranks) -> Floats:
    """1 for a first hit, 1/2 for a second; 0 where the first ten have none right."""
    return np.where(ranks < FIRST, 1 / (ranks + 1), 0.0)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean, and where 95% of means lie when groups of queries are drawn anew."""

    value: float
    low: float
    high: float


@dataclass(slots=True)
class Bootstrap:
    """Draws groups of queries with replacement (B. Efron), for all figures the same ones.

    `groups` int64 (queries,) has the group of each; queries of one stay together.
    """

    groups: npt.NDArray[np.int64]
    _weights: Floats = field(init=False)

    def __post_init__(self) -> None:
        _, self.groups = np.unique(self.groups, return_inverse=True)
        count = int(self.groups.max(initial=-1)) + 1
        random = np.random.default_rng(_SEED)
        shares = np.full(count, 1 / max(count, 1))
        self._weights = random.multinomial(count, shares, SAMPLES).astype(np.float64)

    def mean(self, values: Floats) -> Mean:
        """Of one value a query."""
        sums = np.bincount(self.groups, values)
        drawn = self._weights @ sums / (self._weights @ np.bincount(self.groups))
        low, high = np.percentile(drawn, _INTERVAL)
        return Mean(float(values.mean()), float(low), float(high))
