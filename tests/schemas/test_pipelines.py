"""What a pipeline's fingerprint covers."""

import json

import pytest

from schemas.options import CropOptions, DecodeOptions, EmbedderOptions, VideoOptions
from schemas.pipelines import Pipeline, video_fingerprint


def pipeline_of(options: CropOptions) -> Pipeline:
    return Pipeline.of(("a", "s"), ("b", "e"), DecodeOptions(), options)


@pytest.mark.parametrize(
    ("options", "fingerprint", "embedding"),
    [
        (EmbedderOptions(), "e781cd9eb5233036", "4cae2bbc00b9f3d9"),
        (EmbedderOptions(name="x/y"), "49195806c81db862", "10845ca52cecb4ce"),
        (
            EmbedderOptions(views="context", context_margin=0.3, cutout_fill=(1, 2, 3)),
            "9fcc56ac9320ff30",
            "feda5f19333ce3cb",
        ),
    ],
)
def test_crops_of_before_have_the_fingerprints_of_before(
    options: EmbedderOptions, fingerprint: str, embedding: str
) -> None:
    pipeline = pipeline_of(options)
    assert (pipeline.fingerprint, pipeline.embedding) == (fingerprint, embedding)


def test_every_setting_of_crops_is_in_the_fingerprint_and_kept() -> None:
    changes = [
        {},
        {"views": "context"},
        {"context_margin": 0.2},
        {"cutout_fill": (0, 0, 0)},
        {"cutout_background": "mean"},
        {"cutout_background": "blur"},
        {"cutout_weight": 0.6},
        {"to_square": "pad"},
        {"to_square": "squash"},
    ]
    assert {name for change in changes for name in change} == set(CropOptions.model_fields)
    pipelines = [pipeline_of(CropOptions.model_validate(change)) for change in changes]
    assert len({pipeline.fingerprint for pipeline in pipelines}) == len(changes)
    assert len({pipeline.embedding for pipeline in pipelines}) == len(changes)
    for pipeline in pipelines:
        assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline


def test_what_was_kept_before_crops_had_more_settings_is_read() -> None:
    pipeline = pipeline_of(EmbedderOptions(views="both"))
    text = json.dumps(
        pipeline.model_dump(exclude={"cutout_background", "cutout_weight", "to_square"})
    )
    assert Pipeline.model_validate_json(text) == pipeline


def test_videos_have_the_fingerprints_of_their_tracker() -> None:
    assert video_fingerprint("a", VideoOptions()) == "a2d40546eae2aeaf"
    assert video_fingerprint("a", VideoOptions(fps=3.0)) == "fa3e2c56de31f5c1"


def test_every_setting_of_videos_is_in_their_fingerprint_and_kept() -> None:
    changes = [
        {},
        {"fps": 3.0},
        {"across_shots": True},
        {"points_per_side": None},
        {"accept_truncated": True},
        {"propagate": "sam2.1_t"},
        {"propagate": "sam2.1_s"},
    ]
    assert {name for change in changes for name in change} == set(VideoOptions.model_fields)
    images = pipeline_of(EmbedderOptions())
    made = [images.for_videos(VideoOptions.model_validate(change)) for change in changes]
    assert len({pipeline.fingerprint for pipeline in [images, *made]}) == len(changes) + 1
    for pipeline in made:
        assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline
        assert pipeline.for_images().fingerprint == images.fingerprint


def test_what_was_kept_before_videos_had_more_settings_is_read() -> None:
    pipeline = pipeline_of(EmbedderOptions()).for_videos(VideoOptions())
    text = json.dumps(pipeline.model_dump(exclude={"video": {"propagate"}}))
    assert Pipeline.model_validate_json(text) == pipeline
