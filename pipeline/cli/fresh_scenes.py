"""Composes fresh scenes to evaluate on, reads them, and tells how many are done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from pipeline.cli import progress_bars
from pipeline.cli.console import err
from pipeline.demo.bucket import write_bucket
from pipeline.progress import Progress
from schemas.coco import CocoImage, CocoTruth
from schemas.images import UInt8Image


@dataclass
class FreshScenes:
    """Scenes in a folder, with their truth."""

    truth: CocoTruth
    _folder: Path
    _progress: Progress
    _done: int = field(default=0, init=False)

    def read(self, image: CocoImage) -> UInt8Image:
        """uint8 (height, width, 3) RGB."""
        return np.asarray(Image.open(self._folder / image.file_name).convert("RGB"))

    def count(self) -> None:
        """Tell that a scene more is done."""
        self._done += 1
        self._progress.note(f"evaluated {self._done} of {len(self.truth.images)} scenes")


@contextmanager
def compose_scenes(scenes: int, seed: int) -> Iterator[FreshScenes]:
    """Scenes of a seed, for as long as the block lasts."""
    with (
        TemporaryDirectory(prefix="objseek-eval-") as name,
        progress_bars.show_progress(err()) as progress,
    ):
        progress.note(f"composing {scenes} scenes")
        yield FreshScenes(write_bucket(Path(name), scenes, seed), Path(name), progress)
