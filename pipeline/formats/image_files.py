"""Names the files of exported images, each once, and lists them with their uris."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from pipeline.formats.exported_object import ExportedImage
from pipeline.formats.object_rows import write_cells
from schemas.images import ImageRef

IMAGE_LIST = "images.csv"
IMAGE_HEADER = write_cells("file", "uri", "width", "height")
_LONGEST_NAME = 100


class ImageNames:
    """The names that images have got so far."""

    def __init__(self) -> None:
        self._stems: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()

    def knows(self, image: ExportedImage) -> bool:
        """Whether the image has got a name already."""
        return (image.image_id, image.generation) in self._stems

    def name_image(self, image: ExportedImage) -> str:
        """The file of an image, without folders: as it is called, if no other is called so.

        Files with one name but for the ending would share a file of labels: a later one has a
        part of its id in its name.
        """
        path = PurePosixPath(image.key)
        suffix = path.suffix if path.suffix.isprintable() else ""
        identity = (image.image_id, image.generation)
        if identity not in self._stems:
            stem = "".join(c if c.isprintable() else "_" for c in path.stem)[:_LONGEST_NAME]
            names = (stem, f"{stem}-{image.image_id[:8]}", f"{stem}-{'-'.join(identity)}")
            free = next(name for name in names if name and name.casefold() not in self._taken)
            self._taken.add(free.casefold())
            self._stems[identity] = free
        return self._stems[identity] + suffix

    def name_stem(self, image: ExportedImage) -> str:
        """The name of an image less its ending."""
        self.name_image(image)
        return self._stems[image.image_id, image.generation]


def write_image_row(file: str, image: ExportedImage) -> str:
    """The line of an image in images.csv; see `IMAGE_HEADER`."""
    height, width = image.size_hw
    return write_cells(file, image.uri, width, height)


def link_image(image: ExportedImage, path: Path) -> None:
    """Link an image to `path` if it is a file of this machine."""
    ref = ImageRef.from_uri(image.uri, "", 0)
    if ref.store == "file" and os.path.isfile(ref.key):
        path.symlink_to(ref.key)
