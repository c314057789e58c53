"""The example settings load, leave nothing out, and show the defaults."""

from __future__ import annotations

import tomllib

from support.deploy_files import DEPLOY

from pipeline.settings import load_settings
from schemas.options import SegmenterOptions
from workers.segmenters.parameters import effective_parameters


def test_example_settings_load_and_leave_out_no_section() -> None:
    settings = load_settings(DEPLOY / "objseek.toml", {})
    assert settings.segmenter.name == "sam_vit_b"
    sections = tomllib.loads((DEPLOY / "objseek.toml").read_text())
    fields = type(settings).model_fields
    single = {"boxes", "cache_dir", "limit", "text_prompts"}
    assert set(sections) == set(fields) - single


def test_example_settings_show_the_defaults() -> None:
    shown = load_settings(DEPLOY / "objseek.toml", {})
    for section in ("store", "decode", "index", "runner"):
        part = getattr(shown, section)
        assert part == type(part)(), section
    segmenter = SegmenterOptions(name="sam_vit_b").model_dump(exclude_none=True)
    assert shown.segmenter.model_dump(exclude_none=True) == segmenter | package()


def package() -> dict[str, float]:
    """The parameters of `sam_vit_*`, but for those that depend on the device."""
    speed = {"points_per_batch", "images_per_batch"}
    every = effective_parameters(SegmenterOptions(name="sam_vit_b"), {})
    return {name: value for name, value in every.items() if name not in speed}
