"""Reads the masks to be measured, from a COCO file or an index, image by image of a truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.evaluation.masks.detections import UNKNOWN_CLASS, FoundMask, ImageMasks, TrueMask
from pipeline.evaluation.masks.panoptic_files import is_panoptic, read_panoptic
from pipeline.evaluation.matching import ImageNames, check_sizes, group_by_image, name_in_uri
from pipeline.search.source_images import image_ref
from schemas.coco import BadAnnotation, CocoAnnotation, CocoId, CocoImage, CocoTruth
from schemas.coco_reader import parse_truth, read_json
from schemas.coco_results import parse_results
from schemas.errors import UsageError, VectorIndexError
from schemas.images import ImageRef
from schemas.points import Point
from workers.indexes.points import NoteBroken, sound_mask_of


@dataclass(frozen=True, slots=True)
class FoundMasks:
    """Found masks by the id of their image in the truth, and what was left out of a file.

    `refs`: where images are, of those of which that is told; `missing`: how many of the truth it
    does not have, as far as it says which it has.
    """

    of_image: Mapping[CocoId, Sequence[FoundMask]]
    refs: Mapping[CocoId, ImageRef] = field(default_factory=dict)
    left_out: tuple[BadAnnotation, ...] = ()
    missing: int = 0

    def pair(self, truth: CocoTruth) -> Iterator[ImageMasks]:
        """Each image of the truth with its masks."""
        annotations: dict[CocoId, list[CocoAnnotation]] = defaultdict(list)
        for annotation in truth.annotations:
            annotations[annotation.image_id].append(annotation)
        for image in truth.images:
            true = [_read_true(each, image) for each in annotations[image.id]]
            found = self.of_image.get(image.id, ())
            yield ImageMasks.of(image.size_hw, true, found, truth.void.get(image.id))


def read_true(path: Path, *, strict: bool = False) -> CocoTruth:
    """The true masks of a COCO file of instances or panoptic. Raises DatasetError for a wrong one.

    Annotations that are wrong are left out, and listed, unless `strict`.
    """
    content = read_json(path)
    if not is_panoptic(content):
        return parse_truth(content, path, strict=strict)
    panoptic = read_panoptic(content, path)
    truth = parse_truth(panoptic.document, path, strict=strict)
    return truth.model_copy(update={"void": panoptic.void})


def read_found(path: Path, truth: CocoTruth, *, strict: bool = False) -> FoundMasks:
    """Masks of a list of results, by the truth's ids, or of instances or panoptic, by names.

    Raises DatasetError for a wrong file, and UsageError for one of other images.
    """
    content = read_json(path)
    if is_panoptic(content):
        content = read_panoptic(content, path).document
    results = parse_results(content, path, truth.images, strict=strict)
    ids = {image.id: image.id for image in truth.images}
    if results.images is not None:
        ids = _match_names(results.images, truth)
    known = {category.id for category in truth.categories}
    classes = {number: number for number in known}
    if results.categories is not None:
        number_of = {category.name: category.id for category in truth.categories}
        classes = {
            category.id: number_of[category.name]
            for category in results.categories
            if category.name in number_of
        }
    found: dict[CocoId, list[FoundMask]] = defaultdict(list)
    for result in results.found:
        if result.image_id in ids:
            category = classes.get(result.category_id, UNKNOWN_CLASS)
            found[ids[result.image_id]].append(FoundMask(result.rle, category, result.score))
    refs = {
        ids[image.id]: ref
        for image in results.images or ()
        if image.id in ids and (ref := locate(image)) is not None
    }
    missing = len(truth.images) - len(set(ids.values()))
    return FoundMasks(found, refs, results.left_out, missing)


def read_indexed(points: Iterable[Point], truth: CocoTruth, note_broken: NoteBroken) -> FoundMasks:
    """The objects of an index in images whose path or key ends with a file name of the truth.

    Their class is what the segmenter calls them, else their likeliest label. Raises UsageError
    where no image of the truth is in the index, or one is there in another size.
    """
    number_of = {category.name: category.id for category in truth.categories}
    found: dict[CocoId, list[FoundMask]] = {}
    refs: dict[CocoId, ImageRef] = {}
    names, indexed = ImageNames(truth), set()

    def note_images() -> Iterator[Point]:
        for point in points:
            if (image := names.find(point)) is not None:
                indexed.add(image.id)
            yield point

    grouped = group_by_image(note_images(), truth)
    for image in truth.images:
        check_sizes(image, grouped[image.id])
        masks = [(point, sound_mask_of(point, note_broken)) for point in grouped[image.id]]
        sound = [(point, rle) for point, rle in masks if rle is not None]
        found[image.id] = [
            FoundMask(rle, number_of.get(_name(point), UNKNOWN_CLASS), _score(point))
            for point, rle in sound
        ]
        if sound:
            with suppress(VectorIndexError):  # of a point that is not of objseek
                refs[image.id] = image_ref(sound[0][0].parse_payload())
    return FoundMasks(found, refs, missing=len(truth.images) - len(indexed))


def locate(image: CocoImage) -> ImageRef | None:
    """Where an image is, None if its file does not say; what is no uri says nothing."""
    if image.uri is None:
        return None
    try:
        return ImageRef.from_uri(image.uri, image.version or "", 0)
    except ValueError:
        return None


def _read_true(annotation: CocoAnnotation, image: CocoImage) -> TrueMask:
    rle = annotation.to_rle(image.size_hw)
    area = rle.area_px if annotation.area is None else annotation.area
    return TrueMask(rle, annotation.category_id, float(area), bool(annotation.iscrowd))


def _match_names(images: Sequence[CocoImage], truth: CocoTruth) -> dict[CocoId, CocoId]:
    """The truth's id of each image whose path ends with one of its file names, the longest."""
    true = {name_in_uri(image): image for image in truth.images}
    matched = {}
    for image in images:
        parts = (image.uri or image.file_name).split("/")
        tails = ("/".join(parts[place:]) for place in range(len(parts)))
        found = next((true[tail] for tail in tails if tail in true), None)
        if found is None:
            continue
        if found.size_hw != image.size_hw:
            raise UsageError(
                f"the ground truth has {found.file_name} as {found.width} x {found.height} "
                f"pixels, what was found is of {image.width} x {image.height}"
            )
        matched[image.id] = found.id
    if not matched:
        raise UsageError("no image of the ground truth has found masks: do the file names agree?")
    return matched


def _name(point: Point) -> str:
    own = point.payload.get("segmenter_label")
    labels = point.payload.get("labels")
    guessed = labels[0] if isinstance(labels, list) and labels else ""
    return own if isinstance(own, str) else str(guessed)


def _score(point: Point) -> float:
    for name in ("segmenter_score", "predicted_iou"):
        score = point.payload.get(name)
        if isinstance(score, int | float):
            return float(score)
    return 0.0
