"""Calibrations that were fitted to an embedder: kept, read, refused where they do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.errors import EmbedderMismatchError, ModelError, UsageError
from workers.labelling.calibration import Curve, LikelyBound, calibration_of
from workers.labelling.tuned_calibrations import (
    CALIBRATIONS,
    CalibrationOrigin,
    TunedCalibration,
    read_calibration,
)

FITTED = replace(
    calibration_of("another"), text=Curve(-3.25, (0.5,)), likely=LikelyBound(0.1, 0.08)
)
TUNED = TunedCalibration("photos", CalibrationOrigin("ViT-B-32/x", "ab" * 8), FITTED)


def test_a_calibration_is_read_as_it_was_kept_by_name_and_by_path(tmp_path: Path) -> None:
    path = CALIBRATIONS.free_path("photos", tmp_path)
    CALIBRATIONS.write(path, TUNED.to_json())
    assert path == tmp_path / "calibrations" / "photos.json"
    assert read_calibration("photos", tmp_path) == TUNED
    assert read_calibration(str(path)) == replace(TUNED, name=str(path))
    assert read_calibration(str(path)).sha256 == TUNED.sha256
    with pytest.raises(UsageError, match="a calibration 'photos' is kept already: give another"):
        CALIBRATIONS.free_path("photos", tmp_path)
    with pytest.raises(ModelError, match=r"no calibration 'other' .*, kept are photos$"):
        read_calibration("other", tmp_path)


def test_it_is_refused_for_another_embedder_other_weights_and_other_views() -> None:
    TUNED.check_embedder("ViT-B-32/x")
    TUNED.check_embedding("ab" * 8)
    with pytest.raises(EmbedderMismatchError, match="of clip_demo, got 'photos', which is one of "):
        TUNED.check_embedder("clip_demo")
    with pytest.raises(EmbedderMismatchError, match=r"these vectors \(cdcd\), got 'photos', which"):
        TUNED.check_embedding("cdcd")
    # Where it was fitted nothing was known of the weights: the name alone is compared.
    replace(TUNED, origin=CalibrationOrigin("ViT-B-32/x", None)).check_embedding("cdcd")


def test_what_is_no_calibration_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    whole = TUNED.to_json()
    for content in (
        b"", b"[]", whole[:-20], whole.replace(b"-3.25", b"NaN"), whole.replace(b"-3.25", b'"x"')
    ):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"^expected a calibration that `objseek tune --truth"):
            read_calibration(str(path))
