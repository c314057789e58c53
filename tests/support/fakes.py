"""Models and readers that implement the protocols, deterministic and small; some misbehave."""

from __future__ import annotations

import ctypes
import os
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from support.waiting import until

from pipeline.index_home import manifest_folder
from pipeline.manifest.manifest import Manifest
from pipeline.runners.recipe import Recipe, build_recipe
from pipeline.settings import Settings
from schemas.errors import ModelError, WorkerDiedError
from schemas.ids import fingerprint
from schemas.images import Decoded, ImageRef, UInt8Image
from schemas.manifest import ManifestRow
from schemas.masks import CocoRle, ObjectMask
from schemas.options import EmbedderOptions, IndexOptions, RunnerOptions, SegmenterOptions
from schemas.records import Float32Matrix
from schemas.videos import DecodedPiece, VideoPiece
from workers.images import read_limits
from workers.indexes.open import open_index
from workers.protocols import UInt8Crops

POISON = (250, 0, 250)
"""Colour of an image that a misbehaving segmenter does not survive."""

Misbehaviour = Literal["", "abort", "hang", "wait", "error", "error in a batch", "bug", "device"]
POISONS: tuple[Misbehaviour, ...] = ("abort", "hang", "error", "error in a batch", "device")
"""What images of the colours of `poison` do to a segmenter, whatever its own misbehaviour is."""


def poison(of: Misbehaviour) -> tuple[int, int, int]:
    """The colour of an image that makes a segmenter misbehave so."""
    return (250, 1 + POISONS.index(of), 250)


def write_image(path: Path, number: int, colour: tuple[int, int, int] | None = None) -> Path:
    """A small PNG: a bright square, whose place tells the number, on a darker colour."""
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:] = colour or (20 + number % 50, 40, 60)
    x, y = number % 16, number // 16 % 10
    pixels[y + 1 : y + 5, x + 1 : x + 7] = (255, 255, 200)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_images(folder: Path, count: int) -> list[Path]:
    """`count` images that differ."""
    return [write_image(folder / f"{number:03}.png", number) for number in range(count)]


class BrightSegmenter:
    """Two objects: what is bright, and the left half."""

    name = "bright"
    notes: tuple[str, ...] = ()

    def __init__(
        self, misbehaviour: Misbehaviour = "", delay_s: float = 0.0, flag: Path | None = None
    ) -> None:
        self.fingerprint = fingerprint({"segmenter": self.name})
        self._misbehaviour = misbehaviour
        self._delay_s = delay_s
        self._flag = flag

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        if self._flag is None or not self._flag.exists():
            time.sleep(self._delay_s * len(images))
        for image in images:
            red, green, blue = image[-1, -1]
            if (red, blue) == (250, 250):
                self._misbehave(POISONS[green - 1] if green else self._misbehaviour, len(images))
        return [self._masks(image) for image in images]

    def _misbehave(self, how: Misbehaviour, images: int) -> None:
        if how == "abort":
            os.abort()
        elif how == "hang":
            if self._flag is not None:
                self._flag.touch()
            hang()
        elif how == "wait":
            until(lambda: self._flag is not None and self._flag.exists())
        elif how == "error" or (how == "error in a batch" and images > 1):
            raise RuntimeError("no memory is left on the device")
        elif how == "bug":
            raise TypeError("a bug in the segmenter")
        elif how == "device":
            raise WorkerDiedError("the device failed")

    def _masks(self, image: UInt8Image) -> list[ObjectMask]:
        left = np.zeros(image.shape[:2], bool)
        left[:, : image.shape[1] // 2] = True
        bright = image[..., 0] > 240
        return [_object(mask) for mask in (left, bright) if mask.any()]


def _object(mask: np.ndarray) -> ObjectMask:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    area = int(mask.sum())
    # Scores that no short text of digits gives exactly.
    scores = 0.9 - area / 7919, 0.8 + area / 7907
    return ObjectMask(CocoRle.from_mask(mask), box, area, *scores, (float(box[0]), float(box[1])))


class MeanEmbedder:
    """Mean and spread of the colours; `nan_for` is a mean that it cannot stand."""

    name = "mean"
    dim = 7

    def __init__(self, *, zero: bool = False) -> None:
        self.fingerprint = fingerprint({"embedder": self.name})
        self._zero = zero

    def embed_images(self, crops: UInt8Crops) -> Float32Matrix:
        if self._zero and any(tuple(crop[-1, -1]) == POISON for crop in crops):
            return np.zeros((len(crops), self.dim), np.float32)
        return np.array([self._vector(crop) for crop in crops], np.float32).reshape(-1, self.dim)

    def embed_texts(self, texts: Sequence[str]) -> Float32Matrix:
        return np.array([np.eye(self.dim)[len(text) % self.dim] for text in texts], np.float32)

    def knows_text(self, text: str) -> bool:
        return True

    def _vector(self, crop: np.ndarray) -> np.ndarray:
        pixels = crop.reshape(-1, 3) / 255
        vector = np.concatenate([pixels.mean(axis=0), pixels.std(axis=0), [0.5]])
        return vector / np.linalg.norm(vector)


def segmenter(
    misbehaviour: Misbehaviour = "",
    delay_s: float = 0.0,
    loads: Path | None = None,
    flag: Path | None = None,
) -> BrightSegmenter:
    """A recipe for actors; each call adds a line to `loads`.

    The file `flag` is made by an image that hangs, and waited for by one that waits.
    """
    if loads is not None:
        with loads.open("a") as file:
            file.write(f"{os.getpid()}\n")
    return BrightSegmenter(misbehaviour, delay_s, flag)


def broken_segmenter() -> BrightSegmenter:
    raise ModelError("expected weights at /nowhere, and none are there")


def dying_segmenter() -> BrightSegmenter:
    os.abort()


def dying_at_first_segmenter(loads: Path) -> BrightSegmenter:
    """One whose first process does not survive loading it, as if its machine had gone."""
    first = not loads.exists()
    loaded = segmenter(loads=loads)
    if first:
        os.abort()
    return loaded


def embedder(*, zero: bool = False) -> MeanEmbedder:
    return MeanEmbedder(zero=zero)


def hang() -> None:
    """Never return, and never let go of the interpreter's lock, as native code may."""
    ctypes.PyDLL(None).pause()


def hang_at_limit() -> None:
    """Hang in a confined process, whose time is over by then."""
    watchdog = read_limits._watchdog
    assert watchdog is not None, "this process has no limits"
    watchdog._restart(0.01)
    hang()


def exhaust_memory() -> None:
    """Ask for far more than a process may have."""
    held = []
    for _ in range(64):
        held.append(np.ones(1 << 27))  # 1 GiB


def misbehaving_reader(
    refs: Sequence[ImageRef],
    reader: partial[list[Decoded]],
    name: str,
    misbehave: Callable[[], None] = os.abort,
) -> list[Decoded]:
    """Reads as `reader` does, but misbehaves at files of this name."""
    if any(ref.key.endswith(name) for ref in refs):
        misbehave()
    return reader(refs)


def misbehaving_piece_reader(
    piece: VideoPiece,
    reader: Callable[[VideoPiece], DecodedPiece],
    name: str,
    number: int,
    misbehave: Callable[[], None] = os.abort,
) -> DecodedPiece:
    """Reads as `reader` does, but misbehaves at one piece of files of this name."""
    if piece.ref.key.endswith(name) and piece.number == number:
        misbehave()
    return reader(piece)


READ_FAULTS: dict[str, Callable[[], None]] = {
    "read-abort": os.abort,
    "read-hang": hang,
    "read-memory": exhaust_memory,
}


def faulty_reader(
    refs: Sequence[ImageRef], reader: partial[list[Decoded]], mended: Path
) -> list[Decoded]:
    """Reads as `reader` does, but for files whose names end in a fault: NAME-FAULT.png.

    Nothing more is done to any once there is a file `mended`: a run that ended early may have left
    its Ray a task.
    """
    for ref in refs:
        if mended.exists():
            break
        path = Path(ref.key)
        _, _, fault = path.stem.partition("-")
        if fault in READ_FAULTS:
            READ_FAULTS[fault]()
        elif fault == "changes":
            write_image(path, 77)
        elif fault == "goes":
            path.unlink(missing_ok=True)
    return reader(refs)


def telling_reader(
    refs: Sequence[ImageRef], reader: partial[list[Decoded]], folder: Path
) -> list[Decoded]:
    """Reads as `reader` does, and leaves a file of each image's name in a folder."""
    for ref in refs:
        (folder / ref.key.rpartition("/")[2]).touch()
    return reader(refs)


def waiting_segmenter(folder: Path) -> BrightSegmenter:
    """One that takes as long to load as a folder is empty."""
    until(lambda: any(folder.iterdir()))
    return segmenter()


def settings(index: Path, runner: Literal["ray", "local"] = "local", **changes: object) -> Settings:
    """Settings as a user's, for the fakes. Chunks of 4 images."""
    return Settings(
        segmenter=SegmenterOptions(name="sam_demo"),
        embedder=EmbedderOptions(
            views="both", context_margin=float(str(changes.pop("margin", 0.15)))
        ),
        index=IndexOptions(location=str(index)),
        runner=RunnerOptions.model_validate({"name": runner, "batch_size": 4, **changes}),
    )


def recipe(
    of: Settings,
    misbehaviour: Misbehaviour = "",
    delay_s: float = 0.0,
    loads: Path | None = None,
    flag: Path | None = None,
) -> Recipe:
    """The recipe of these settings, with the fakes for models."""
    real = build_recipe(of)
    return Recipe(
        segmenter=partial(segmenter, misbehaviour, delay_s, loads, flag),
        embedder=embedder,
        reader=real.reader,
        decode=real.decode,
        embedding=real.embedding,
        thumbnail_px=real.thumbnail_px,
        piece_reader=real.piece_reader,
        video=real.video,
        propagator=real.propagator,
    )


def rows(of: Settings) -> dict[str, ManifestRow]:
    """The last attempt at each image, by the name of its file."""
    manifest = Manifest(manifest_folder(of.index.location))
    return {row.uri.rpartition("/")[2]: row for row in manifest.latest()}


Points = dict[str, tuple[dict[str, object], list[float]]]


def points(of: Settings) -> Points:
    """Every point by its id: its payload without the times of the run, and its vector."""
    times = {"ingested_at", "run_started_at"}
    with closing(open_index(of.index, None)) as index:
        ids = [uuid.UUID(point.id) for point in index.scroll()]
        return {
            str(identity): (point.parse_payload().model_dump(exclude=times), point.vector.tolist())
            for identity, point in index.stored(ids).items()
        }


def compared(there: Points, expected: Points) -> tuple[int, int, int]:
    """How many points are missing, extra, and other than expected."""

    def differ(identity: str) -> bool:
        (payload, vector), (wanted, direction) = there[identity], expected[identity]
        # A point that is written twice may be normed twice.
        return payload != wanted or not np.allclose(vector, direction, rtol=0, atol=1e-6)

    common = there.keys() & expected.keys()
    return len(expected) - len(common), len(there) - len(common), sum(map(differ, common))


def main(
    source: str,
    index: str,
    runner: str,
    delay_s: str,
    ray_address: str = "",
    written_at_once: str = "64",
    misbehaviour: Misbehaviour = "",
    flag: str = "",
) -> None:
    """An ingest as the command does it, for tests that need one in a process of its own."""
    import typer

    from pipeline.cli.console import err, user_errors
    from pipeline.cli.progress_bars import PlainProgress
    from pipeline.jobs.ingest import ingest
    from workers.indexes.point_index import PointIndex

    options = settings(
        Path(index), "ray" if runner == "ray" else "local", ray_address=ray_address or None
    )

    PointIndex.images_at_once = int(written_at_once)

    @user_errors
    def command() -> None:
        waited_for = Path(flag) if flag else None
        made = recipe(options, misbehaviour, float(delay_s), flag=waited_for)
        summary = ingest([source], options, PlainProgress(err()), made)
        typer.echo(f"done {summary.counts.done}, unchanged {summary.counts.unchanged}")

    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    app(args=[])


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
