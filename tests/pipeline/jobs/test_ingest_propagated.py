"""Videos in an ingest whose masks a video model carries: what they bring, and when they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support import fakes
from support.fakes import rows
from support.ingested_videos import payloads, run, with_margin
from support.moving_squares import write_squares
from support.tiny_sam2_video import SAM2_VIDEO
from support.tiny_segmenters import write_folder

from pipeline.jobs.reembed import reembed
from pipeline.jobs.retry import retry
from pipeline.jobs.verify import verify
from pipeline.runners.recipe import Recipe
from pipeline.settings import Settings
from schemas.errors import ModelError
from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from workers.videos.propagator import CarriedMask

MISSED = frozenset({3, 4, 9})
"""Frames in which the segmenter does not find what is bright."""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_folder(SAM2_VIDEO, tmp_path / "weights")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a video of two shots, 6 s long, and three images."""
    write_squares(tmp_path / "videos" / "a.mp4", 4.0, 2.0)
    fakes.write_images(tmp_path / "videos", 3)
    return tmp_path / "videos"


def settings_of(index: Path, propagate: str) -> Settings:
    plain = fakes.settings(index)
    video = plain.video.model_copy(update={"propagate": propagate})
    return plain.model_copy(update={"video": video})


def test_the_tiny_video_model_takes_part_in_a_whole_run(
    folder: Path, weights: Path, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path / "index", str(weights))
    assert run(folder, settings).counts.done == 4
    tracks = [each for each in payloads(settings, "object") if each.shot is not None]
    assert [(each.shot, each.t_start, each.t_end) for each in tracks] == [
        (0, 0.0, 3.5),
        (0, 0.0, 3.5),
        (1, 4.0, 5.5),
        (1, 4.0, 5.5),
    ]
    assert not verify(settings, [str(folder)]).findings
    assert run(folder, settings).counts.unchanged == 4
    assert retry(settings, recipe=fakes.recipe(settings)) is None


def test_other_weights_do_videos_again_but_not_images(
    folder: Path, weights: Path, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path / "index", "none")
    run(folder, settings)
    plain = rows(settings)
    carried = settings_of(tmp_path / "index", str(weights))
    counts = run(folder, carried).counts
    assert (counts.unchanged, counts.done) == (3, 1)
    file = weights / "model.safetensors"
    save_file({key: value + torch.ones(()) for key, value in load_file(file).items()}, file)
    counts = run(folder, carried).counts
    assert (counts.unchanged, counts.done) == (3, 1)
    assert run(folder, carried).counts.unchanged == 4
    after = rows(carried)
    assert {name for name in after if after[name].fingerprint != plain[name].fingerprint} == {
        "a.mp4"
    }
    # Vectors are made anew without it.
    file.unlink()
    anew = with_margin(carried, 0.3)
    assert reembed(anew, recipe=fakes.recipe(anew)).switched


def test_weights_that_are_missing_end_the_run(folder: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "index", str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="nowhere"):
        run(folder, settings)


class MissingSegmenter(fakes.BrightSegmenter):
    """Finds nothing that is bright in some of the frames that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self._seen = 0

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        found = super().segment(images)
        numbers = range(self._seen, self._seen + len(images))
        self._seen += len(images)
        return [
            masks[:1] if number in MISSED else masks
            for number, masks in zip(numbers, found, strict=True)
        ]


@dataclass
class BrightPropagator:
    """Sees what is bright, whatever it was shown, and nothing of what else it was."""

    images: Sequence[UInt8Image] = ()
    place: int = 0

    def open_shot(self, images: Sequence[UInt8Image]) -> BrightPropagator:
        return BrightPropagator(images)

    def carry(self, masks: dict[int, ObjectMask | None]) -> dict[int, CarriedMask]:
        self.place += 1
        bright = ObjectMask.measure(CocoRle.from_mask(self.images[self.place][..., 0] > 240))
        assert bright is not None
        # It is the smaller of both.
        small = [number for number, mask in masks.items() if mask is None or _is_small(mask)]
        return {number: CarriedMask(bright, 0.9) for number in small}


def _is_small(mask: ObjectMask) -> bool:
    return mask.area_px < 200


@pytest.mark.parametrize("is_carried", [False, True])
def test_frames_in_which_the_segmenter_misses_an_object_are_of_its_track(
    folder: Path, tmp_path: Path, is_carried: bool
) -> None:
    for path in folder.glob("*.png"):
        path.unlink()
    settings = fakes.settings(tmp_path / "index")
    recipe: Recipe = replace(fakes.recipe(settings), segmenter=MissingSegmenter)
    if is_carried:
        recipe = replace(recipe, propagator=BrightPropagator)
    run(folder, settings, recipe)
    tracks = payloads(settings, "object")
    # Of 8 frames and 4, of which it misses two and one.
    assert [each.frames for each in tracks] == ([8, 8, 4, 4] if is_carried else [6, 8, 3, 4])
    assert not verify(settings).findings
    assert np.mean([each.area for each in tracks if each.area < 200]) == pytest.approx(144, abs=8)
