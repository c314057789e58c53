"""Opens the files that `objseek segment` writes, and prints what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.cli.tables import print_rows
from pipeline.segmentation.coco_files import open_instances, open_panoptic
from pipeline.segmentation.mask_files import PICTURE_FORMATS, MaskPngs, Overlays, open_lines
from pipeline.segmentation.results import SegmentedImage
from schemas.errors import UsageError
from schemas.masks import ObjectMask
from workers.durable_files import check_output_file

_COLUMNS = ("mask", "area px", "of the image", "sure", "box x0,y0,x1,y1")


class MaskWriter(Protocol):
    """Writes the masks of one image after another."""

    def write(self, result: SegmentedImage) -> None:
        """Write those of an image."""
        ...


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files and folders to write."""

    coco: Path | None = None
    panoptic: Path | None = None
    rle: Path | None = None
    png: Path | None = None
    overlay: Path | None = None

    def check(self, *, several: bool) -> None:
        """Raise UsageError where something cannot be written, before any work."""
        for path, what in (
            (self.coco, "the COCO file"),
            (self.panoptic, "the COCO panoptic file"),
            (self.rle, "the masks"),
        ):
            if path is not None:
                check_output_file(path, what)
        self._check_different()
        if self.panoptic is not None and not self.panoptic.suffix:
            raise UsageError(
                f"expected a file such as out.json for --panoptic, whose pictures are in a folder "
                f"out, got {str(self.panoptic)!r}"
            )
        if several and self.overlay is not None and _is_picture(self.overlay):
            raise UsageError(
                f"expected a folder for the overlays of several images, got {str(self.overlay)!r}"
            )
        if self.overlay is not None and _is_picture(self.overlay):
            check_output_file(self.overlay, "the overlay")

    def _check_different(self) -> None:
        given = [self.coco, self.panoptic, self.rle, self.png, self.overlay]
        paths = [path.resolve() for path in given if path is not None and path.suffix]
        for number, path in enumerate(paths):
            if path in paths[:number]:
                raise UsageError(f"expected another file for each kind of output, got {path} twice")

    @contextmanager
    def open(self, find_stuff: Callable[[], Set[str]]) -> Iterator[list[MaskWriter]]:
        """What writes them; files are there when the block ends well.

        `find_stuff` gives the labels that have no instances; it is called when all are written.
        """
        with ExitStack() as stack:
            writers: list[MaskWriter] = []
            if self.coco is not None:
                writers.append(stack.enter_context(open_instances(self.coco)))
            if self.panoptic is not None:
                writers.append(stack.enter_context(open_panoptic(self.panoptic, find_stuff)))
            if self.rle is not None:
                writers.append(stack.enter_context(open_lines(self.rle)))
            if self.png is not None:
                writers.append(MaskPngs(self.png))
            if self.overlay is not None:
                writers.append(Overlays(self.overlay))
            yield writers


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_FORMATS


class MaskTable:
    """Collects the rows of a table of masks, and prints it."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, ...]] = []
        self._images: list[str] = []

    def write(self, result: SegmentedImage) -> None:
        """Add the masks of an image."""
        self._images.append(result.name)
        for number, mask in enumerate(result.masks, 1):
            self._rows.append((result.name, mask.segmenter_label or "", *_describe(number, mask)))

    def print(self) -> None:
        """Print what was added; columns that would say the same in each row are left out."""
        names, columns = ["image", "label"], [*_COLUMNS]
        shown = [len(set(self._images)) > 1, any(label for _, label, *_ in self._rows)]
        rows: Sequence[tuple[str, ...]] = [
            (
                *row[2:-1],
                *(cell for cell, is_shown in zip(row, shown, strict=False) if is_shown),
                row[-1],
            )
            for row in self._rows
        ]
        extra = [name for name, is_shown in zip(names, shown, strict=True) if is_shown]
        print_rows((*columns[:-1], *extra, columns[-1]), rows, right=4)


def _describe(number: int, mask: ObjectMask) -> tuple[str, ...]:
    score = mask.predicted_iou if mask.segmenter_score is None else mask.segmenter_score
    return (
        str(number),
        f"{mask.area_px:,}",
        f"{mask.area_frac:.1%}",
        "" if score is None else f"{score:.2f}",
        ",".join(map(str, mask.bbox_xyxy)),
    )
