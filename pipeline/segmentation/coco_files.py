"""Writes masks as COCO files: instances, and panoptic with its pictures of ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from importlib import metadata
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.segmentation.mask_files import make_folder
from pipeline.segmentation.results import FileNames, SegmentedImage
from schemas.labels import UNLABELLED
from schemas.masks import ObjectMask
from workers.durable_files import write_output
from workers.labelling.panoptic import part_masks


@contextmanager
def open_instances(path: Path) -> Iterator[InstancesFile]:
    """A file of COCO's instances format, which is there when the block ends well."""
    with _open_coco(path) as text:
        file = InstancesFile(text)
        yield file
        file.end()


@contextmanager
def open_panoptic(
    path: Path, find_stuff: Callable[[], Set[str]] = frozenset
) -> Iterator[PanopticFile]:
    """A file of COCO's panoptic format; its PNGs are in the folder of its name without suffix.

    `find_stuff` gives the labels that have no instances, and is called at the end.
    """
    folder = make_folder(path.with_suffix(""))
    with _open_coco(path) as text:
        file = PanopticFile(text, folder, find_stuff)
        yield file
        file.end()


@contextmanager
def _open_coco(path: Path) -> Iterator[TextIO]:
    with write_output(path, "the COCO file") as file, TextIOWrapper(file, encoding="utf-8") as text:
        yield text


class _CocoFile:
    """Streams annotations; images and categories follow them, as they are known by then."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._images: list[dict[str, object]] = []
        self._categories: dict[str, int] = {}
        self._annotations = 0
        info = {"description": "masks by objseek", "version": metadata.version("objseek")}
        file.write(f'{{"info": {json.dumps(info)},\n"licenses": [],\n"annotations": [')

    def end(self) -> None:
        """Write what is left."""
        images = ",\n".join(map(json.dumps, self._images))
        categories = json.dumps(
            [self._describe_category(name, number) for name, number in self._categories.items()]
        )
        self._file.write(f'\n],\n"images": [\n{images}\n],\n"categories": {categories}}}\n')

    def _describe_category(self, name: str, number: int) -> dict[str, object]:
        return {"id": number, "name": name, "supercategory": UNLABELLED}

    def _add_image(self, result: SegmentedImage) -> int:
        height, width = result.image.size_hw
        number = len(self._images) + 1
        self._images.append(
            {
                "id": number,
                "file_name": result.image.ref.key,
                "width": width,
                "height": height,
                "coco_url": result.uri,
                "uri": result.uri,
            }
        )
        return number

    def _add_annotation(self, fields: dict[str, object]) -> None:
        self._file.write((",\n" if self._annotations else "\n") + json.dumps(fields))
        self._annotations += 1

    def _number_category(self, mask: ObjectMask) -> int:
        name = mask.segmenter_label or UNLABELLED
        return self._categories.setdefault(name, len(self._categories) + 1)


class InstancesFile(_CocoFile):
    """A mask an annotation. Beside COCO's fields: `score`, and segment-anything's two."""

    def write(self, result: SegmentedImage) -> None:
        """Add an image with its masks."""
        image = self._add_image(result)
        for mask in result.masks:
            self._add_annotation(
                {
                    "id": self._annotations + 1,
                    "image_id": image,
                    "category_id": self._number_category(mask),
                    "segmentation": {"size": list(mask.rle.size_hw), "counts": mask.rle.counts},
                    "area": mask.area_px,
                    "bbox": _list_bbox(mask),
                    "iscrowd": 0,
                    "score": mask.sureness
                    if mask.segmenter_score is None
                    else mask.segmenter_score,
                    "predicted_iou": mask.predicted_iou,
                    "stability_score": mask.stability_score,
                }
            )


class PanopticFile(_CocoFile):
    """An image an annotation, with a PNG in which each pixel tells the id of its segment.

    Where masks overlap, the surest gets the pixels (see `part_masks`); 0 is void. Categories are
    things, unless `find_stuff` has them when the file ends.
    """

    def __init__(
        self, file: TextIO, folder: Path, find_stuff: Callable[[], Set[str]] = frozenset
    ) -> None:
        super().__init__(file)
        self._folder, self._names, self._find_stuff = folder, FileNames(), find_stuff

    def write(self, result: SegmentedImage) -> None:
        """Add an image, and write its PNG."""
        image = self._add_image(result)
        segments = part_masks(result.masks, [mask.sureness for mask in result.masks])
        name = f"{self._names.choose(result)}.png"
        ids = number_pixels(segments, result.image.size_hw)
        with write_output(self._folder / name, "segments") as file:
            Image.fromarray(encode_ids(ids)).save(file, "PNG")
        self._add_annotation(
            {
                "image_id": image,
                "file_name": name,
                "segments_info": [
                    {
                        "id": number,
                        "category_id": self._number_category(mask),
                        "area": mask.area_px,
                        "bbox": _list_bbox(mask),
                        "iscrowd": 0,
                    }
                    for number, mask in enumerate(segments, 1)
                ],
            }
        )

    def _describe_category(self, name: str, number: int) -> dict[str, object]:
        return {
            **super()._describe_category(name, number),
            "isthing": int(name not in self._find_stuff()),
            "color": _choose_colour(number),
        }


def number_pixels(segments: list[ObjectMask], size_hw: tuple[int, int]) -> npt.NDArray[np.uint32]:
    """The number of each pixel's segment, from 1, 0 for none: uint32 (height, width)."""
    ids = np.zeros(size_hw, np.uint32)
    for number, mask in enumerate(segments, 1):
        ids[mask.rle.decode()] = number
    return ids


def encode_ids(ids: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """Ids as COCO's colours, id = R + 256 G + 256^2 B: uint8 (height, width, 3)."""
    return np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=-1).astype(np.uint8)


def _list_bbox(mask: ObjectMask) -> list[int]:
    x0, y0, x1, y1 = mask.bbox_xyxy
    return [x0, y0, x1 - x0, y1 - y0]


def _choose_colour(number: int) -> list[int]:
    # Multiples that share no factor with 256 come round late: categories differ.
    return [number * 67 % 256, number * 113 % 256, number * 197 % 256]
