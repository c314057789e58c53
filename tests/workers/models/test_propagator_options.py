"""Which video model carries masks, by settings, and what is said where there is none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from support.tiny_sam2_video import SAM2_VIDEO
from support.tiny_segmenters import SAM2, write_folder

from schemas.errors import ModelError, ObjseekError, UsageError
from schemas.options import SegmenterOptions, VideoOptions
from workers.models.propagator_options import (
    check_propagator,
    choose_propagator,
    identify_propagator,
    list_fetched_propagators,
)
from workers.registry import build_propagator, build_segmenter
from workers.segmenters.sam2_propagator import Sam2Propagator

GROUNDED = "grounded:a mug"
DEMO = SegmenterOptions()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(SAM2_VIDEO, tmp_path_factory.mktemp("sam2") / "video")


@pytest.mark.parametrize(
    ("named", "segmenter", "model", "checkpoint"),
    [
        ("sam2", DEMO, "sam2.1_t", None),
        ("sam2", SegmenterOptions(name="sam2.1_l"), "sam2.1_l", None),
        ("sam2", SegmenterOptions(name="sam2.1_l", checkpoint="l"), "sam2.1_l", "l"),
        ("sam2", SegmenterOptions(name="sam_vit_b", checkpoint="b.pth"), "sam2.1_t", None),
        (
            "sam2",
            SegmenterOptions(name=GROUNDED, mask_model="sam2.1_s", checkpoint="s"),
            "sam2.1_s",
            "s",
        ),
        ("sam2", SegmenterOptions(name=GROUNDED, mask_model="sam_demo"), "sam2.1_t", None),
        ("sam2.1_s", SegmenterOptions(name="sam2.1_l", checkpoint="l"), "sam2.1_s", None),
        ("sam2.1_l", SegmenterOptions(name="sam2.1_l", checkpoint="l"), "sam2.1_l", "l"),
        ("./own", SegmenterOptions(name="sam2.1_l", checkpoint="l"), "sam2.1_t", "./own"),
    ],
)
def test_a_sam2_that_segments_is_taken(
    named: str, segmenter: SegmenterOptions, model: str, checkpoint: str | None
) -> None:
    video = VideoOptions(propagate=named)
    chosen = choose_propagator(video, segmenter)
    assert chosen is not None
    assert (chosen.entry.name, chosen.checkpoint) == (model, checkpoint)
    fetched = [entry.name for entry in list_fetched_propagators(video, segmenter)]
    assert fetched == ([model] if checkpoint is None else [])
    if checkpoint is None:
        assert identify_propagator(video, segmenter).propagate == model
        check_propagator(video, segmenter)


def test_by_default_there_is_none() -> None:
    video = VideoOptions()
    assert choose_propagator(video, DEMO) is None
    assert build_propagator(video, DEMO) is None
    assert list_fetched_propagators(video, DEMO) == []
    assert identify_propagator(video, DEMO) is video
    check_propagator(video, DEMO)


@pytest.mark.parametrize("named", ["sam3", "sam_vit_b", "SAM2", "yes"])
def test_other_names_are_refused(named: str) -> None:
    for use in (check_propagator, build_propagator, identify_propagator, list_fetched_propagators):
        with pytest.raises(
            UsageError, match=rf"^setting video\.propagate: expected .* got {named}$"
        ):
            use(VideoOptions(propagate=named), DEMO)


def test_local_files_carry_masks_and_segment(folder: Path) -> None:
    own = SegmenterOptions(name="sam2.1_t", checkpoint=str(folder), device="cpu")
    assert build_segmenter(own).name == "sam2.1_t"
    for video, segmenter in ((VideoOptions(propagate="sam2"), own), (of(folder), DEMO)):
        check_propagator(video, segmenter)
        assert isinstance(build_propagator(video, segmenter), Sam2Propagator)


def of(folder: Path) -> VideoOptions:
    return VideoOptions(propagate=str(folder))


def test_fingerprints_have_the_weights_of_local_files(folder: Path, tmp_path: Path) -> None:
    sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert identify_propagator(of(folder), DEMO).propagate == f"sha256:{sha256}"
    # Those that only the workers of a cluster have are known by their path.
    away = tmp_path / "away"
    assert identify_propagator(of(away), DEMO).propagate == str(away)


def test_what_is_missing_is_said_in_one_sentence(folder: Path, tmp_path: Path) -> None:
    away = of(tmp_path / "away")
    for use in (check_propagator, build_propagator):
        with pytest.raises(ModelError, match=rf"{tmp_path}/away") as raised:
            use(away, DEMO)
        assert "\n" not in str(raised.value)
    # The image model alone has no memory.
    images_only = of(write_folder(SAM2, tmp_path / "image"))
    check_propagator(images_only, DEMO)
    with pytest.raises(ModelError, match=r"of another architecture than sam2\.1_t: \d+ tensors"):
        build_propagator(images_only, DEMO)


def test_weights_that_cannot_be_fetched_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ObjseekError, match=r"weights of sam2\.1_t could not be downloaded") as got:
        build_propagator(VideoOptions(propagate="sam2"), DEMO, tmp_path)
    assert str(tmp_path / "sam2.1_t") in str(got.value)
