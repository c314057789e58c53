"""Fits a calibration to an index of labelled images, tries it on some held out, and keeps it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipeline.evaluation.calibration_fit import Figures, fit_calibration, measure
from pipeline.evaluation.labelled_part import LabelledPart, find_present
from pipeline.evaluation.matching import group_by_image, match, name_in_uri
from pipeline.evaluation.presence import LabelQuery
from pipeline.evaluation.text_queries import share_within
from pipeline.index_home import IndexHome
from pipeline.progress import Progress, format_clock
from pipeline.search.chosen_calibration import list_embeddings
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.coco import CocoId, CocoTruth, join_images
from schemas.errors import UsageError
from schemas.options import IndexOptions
from schemas.points import Point
from schemas.search import Condition
from schemas.thumbnails import THUMBNAIL
from workers.batching import batched
from workers.indexes.open import open_index
from workers.labelling.calibration import Calibration
from workers.labelling.tuned_calibrations import CALIBRATIONS, CalibrationOrigin, TunedCalibration
from workers.models.kept_files import make_name

FEWEST_IMAGES, FEWEST_NAMES = 30, 10
_PARTS = 3
_MOST_IMAGES = 2000  # 80,000 objects or so are in memory at a time
_RESTORED_AT_ONCE = 512
_SECONDS_A_NOTE = 5.0
_SEED = 1


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """A calibration that is kept, and how it did on images that it was not fitted to.

    Each third of the images was held out of a fit to the other two; the kept one is fitted to all.
    `nearest` is by the cosine alone, of which the first two figures are known; `before` is what was
    in force. `names` are those that something in the images is called; `unchanged` what stays as
    it was (see `fit_calibration`).
    """

    tuned: TunedCalibration
    path: Path
    images: int
    objects: int
    names: int
    nearest: Figures
    before: Figures
    after: Figures
    unchanged: tuple[str, ...]
    seconds: float


def tune_calibration(
    truth: CocoTruth, settings: Settings, name: str, progress: Progress | None = None
) -> CalibrationReport:
    """Fit a calibration to the index that `settings` name, and keep it as `name`.

    Raises UsageError where too few of its images are labelled, its objects have no labels, or a
    calibration of that name is kept already, and what opening the index raises.
    """
    path = CALIBRATIONS.free_path(name, settings.cache_dir)
    progress, began = progress or Progress(), time.monotonic()
    with progress, ExitStack() as stack:
        progress.note("reading labelled images from the index")
        labelled = read_labelled(truth, settings)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="objseek-tune-")))
        parts = []
        for number, images in enumerate(labelled.split()):
            progress.note(f"searching part {number + 1} of {_PARTS} for what may be found")
            searcher = _open_part(folder / str(number), labelled, images, settings)
            stack.enter_context(searcher)
            parts.append(LabelledPart(searcher, labelled.truth_of(images)))
        tuning = _Tuning(parts, labelled.calibration, progress)
        nearest, before, after = tuning.compare()
        calibration, unchanged = tuning.fit(parts)
    tuned = TunedCalibration(name, labelled.origin, calibration)
    CALIBRATIONS.write(path, tuned.to_json())
    return CalibrationReport(
        tuned, path, len(labelled.points), sum(map(len, labelled.points.values())), labelled.names,
        nearest, before, after, unchanged, time.monotonic() - began,
    )  # fmt: skip


def name_calibration(embedder: str, truth: Path) -> str:
    """What a calibration is called unless it is given a name: `clip_demo-annotations`."""
    return make_name(embedder, truth.stem) or "calibration"


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """The objects of an index in images of the truth, by image; `names` something is called.

    `calibration` is what is in force in the index.
    """

    truth: CocoTruth
    points: dict[CocoId, list[Point]]
    names: int
    origin: CalibrationOrigin
    calibration: Calibration
    dim: int

    def split(self) -> list[list[CocoId]]:
        """The images in parts, by chance, the same every time."""
        images = list(self.points)
        random.Random(_SEED).shuffle(images)
        return [images[number::_PARTS] for number in range(_PARTS)]

    def truth_of(self, images: Sequence[CocoId]) -> CocoTruth:
        """The truth of these images alone."""
        chosen = set(images)
        return self.truth.model_copy(
            update={
                "images": [image for image in self.truth.images if image.id in chosen],
                "annotations": [a for a in self.truth.annotations if a.image_id in chosen],
            }
        )


def read_labelled(truth: CocoTruth, settings: Settings) -> LabelledImages:
    """The labelled images of an index. Raises UsageError where they are too few to fit anything."""
    truth = join_images(truth, name_in_uri)
    with Searcher.open(settings) as searcher:
        index, embedder = searcher.index, searcher.embedder_name
        own = Condition(field="embedder", op="=", value=embedder)
        objects = Condition(field="kind", op="=", value="object")
        points = index.scan((own, objects), words=True)
        found = group_by_image(_take_sound(points, index.dim), truth)
        found = {image: of_image for image, of_image in found.items() if of_image}
        names = _check_enough(truth, found, searcher)
        home = IndexHome.at(settings, searcher.generation)
        embeddings = [*list_embeddings(index, embedder, home.pipelines)]
        if len(embeddings) > 1:
            raise UsageError(
                f"expected vectors of {embedder} with the same weights and views, the index has "
                f"{len(embeddings)} kinds of them: ingest it anew first"
            )
        origin = CalibrationOrigin(embedder, embeddings[0] if embeddings else None)
        chosen = random.Random(_SEED).sample(list(found), min(len(found), _MOST_IMAGES))
        found = {image: found[image] for image in chosen}
        return LabelledImages(truth, found, names, origin, searcher.calibration, index.dim)


def _take_sound(points: Iterator[Point], dim: int) -> Iterator[Point]:
    for point in points:
        vector = point.vector
        if vector is not None and len(vector) == dim and np.isfinite(vector).all():
            payload = {key: value for key, value in point.payload.items() if key != THUMBNAIL}
            yield replace(point, payload=payload)


def _check_enough(truth: CocoTruth, found: dict[CocoId, list[Point]], searcher: Searcher) -> int:
    """How many names the truth gives to objects in the index. Raises UsageError."""
    everything = [point for of_image in found.values() for point in of_image]
    without = sum(point.payload.get("label_logsumexp") is None for point in everything)
    if without:
        raise UsageError(
            f"expected objects with labels to fit a calibration, {without:,} of "
            f"{len(everything):,} have none: `objseek label` gives them some"
        )
    matching = match(
        truth, {image.id: found.get(image.id, []) for image in truth.images},
        searcher.index.note_broken,
    )  # fmt: skip
    names = len({category.name for category in find_present(truth, matching)})
    if len(found) < FEWEST_IMAGES or names < FEWEST_NAMES:
        raise UsageError(
            f"expected {FEWEST_IMAGES} labelled images or more, with objects in the index of "
            f"{FEWEST_NAMES} names or more, to fit a calibration, got {len(found):,} images with "
            f"{names:,} names"
        )
    return names


def _open_part(
    folder: Path, labelled: LabelledImages, images: Sequence[CocoId], settings: Settings
) -> Searcher:
    """A searcher of an index of these images alone."""
    options = IndexOptions(location=str(folder))
    index = open_index(options, labelled.dim, create=True)
    points = (point for image in images for point in labelled.points[image])
    for batch in batched(points, _RESTORED_AT_ONCE):
        index.restore(batch)
    values = {"name": labelled.origin.embedder, "calibration": None}
    embedder = settings.embedder.model_copy(update=values)
    return Searcher(
        index, settings=settings.model_copy(update={"index": options, "embedder": embedder})
    )


@dataclass(slots=True)
class _Seen:
    """What was seen of all parts in one order of hits."""

    queries: list[LabelQuery] = field(default_factory=list)
    label_ranks: list[int] = field(default_factory=list)
    keyword_ranks: list[int] = field(default_factory=list)


class _Tuning:
    """Fits to some parts and tries on others; tells how many of all searches are done."""

    def __init__(
        self, parts: Sequence[LabelledPart], calibration: Calibration, progress: Progress
    ) -> None:
        self._parts, self._calibration, self._progress = parts, calibration, progress
        # Each part before and after, with each of the others, and with all in the end.
        self._total = (2 + _PARTS - 1 + 1) * sum(part.searches for part in parts)
        self._done = 0
        self._began = self._told = time.monotonic()

    def compare(self) -> tuple[Figures, Figures, Figures]:
        """Figures by the cosine, as before, and fitted to the parts that are not searched."""
        nearest, before, after = _Seen(), _Seen(), _Seen()
        for part in self._parts:
            fitted, _ = self.fit([other for other in self._parts if other is not part])
            for seen, calibration in ((before, self._calibration), (after, fitted)):
                seen.queries += part.observe(calibration, self._tell)
                seen.keyword_ranks += part.rank_keywords()
            by_label, by_word = part.rank_nearest()
            nearest.label_ranks += by_label
            nearest.keyword_ranks += by_word
        by_cosine = Figures(
            share_within(nearest.label_ranks, 1), share_within(nearest.keyword_ranks, 1),
            None, None, None, None,
        )  # fmt: skip
        return (
            by_cosine,
            measure(before.queries, before.keyword_ranks),
            measure(after.queries, after.keyword_ranks),
        )

    def fit(self, parts: Sequence[LabelledPart]) -> tuple[Calibration, tuple[str, ...]]:
        """See `fit_calibration`."""
        return fit_calibration(parts, self._calibration, self._tell)

    def _tell(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._told < _SECONDS_A_NOTE:
            return
        self._told = now
        left = max(self._total - self._done, 0)
        clock = format_clock((now - self._began) / self._done * left)
        self._progress.note(
            f"fitting and trying: {self._done:,} of {self._total:,} searches, {clock} left"
        )
