"""Decides which parameters a grid of points is asked with: the package's, a model's, a user's."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from segment_anything import SamAutomaticMaskGenerator

from schemas.errors import UsageError
from schemas.options import PresetName, PromptsName, SegmenterOptions

# What the points of a batch share of an image's places is fetched once for all of them, and their
# tokens' own layers are faster for several. More at once take memory without gain; a CPU's caches
# hold the encoder's layers of one image.
POINTS_ON_A_CPU = 16
_IMAGES_ON_AN_ACCELERATOR = 4
# With fewer an H100 waits for the CPU that gives it its work.
_POINTS_ON_AN_ACCELERATOR = 256

SPEED_ONLY = {"points_per_batch", "images_per_batch"}
_OURS = {"mask_nms_thresh": 1.0, "part_thresh": 1.0, "images_per_batch": 1}
# Over the model's defaults, under what is asked for by name.
_PRESETS: dict[PresetName, dict[str, float]] = {
    "fast": {"points_per_side": 16, "crop_n_layers": 0},
    "balanced": {},
    "thorough": {
        "points_per_side": 32,
        "crop_n_layers": 1,
        "crop_n_points_downscale_factor": 2,
    },
}
_PRESET_PROMPTS: dict[PresetName, PromptsName] = {"fast": "adaptive"}


def batch_sizes(device: str) -> dict[str, float]:
    """How many points and images a model on `device` does best at once."""
    if device == "cpu":
        return {"points_per_batch": POINTS_ON_A_CPU}
    return {
        "images_per_batch": _IMAGES_ON_AN_ACCELERATOR,
        "points_per_batch": _POINTS_ON_AN_ACCELERATOR,
    }


def choose_prompts(options: SegmenterOptions, default: PromptsName) -> PromptsName:
    """How a grid is asked: as `options` say, or else as their preset or the model does."""
    default = "adaptive" if options.scorer is not None else default
    return options.prompts or _PRESET_PROMPTS.get(options.preset, default)


def effective_parameters(
    options: SegmenterOptions, defaults: Mapping[str, float]
) -> dict[str, float]:
    """All parameters of the package that are settings of ours, with the values in force.

    Raises UsageError if the smallest crops would be left without points.
    """
    signature = inspect.signature(SamAutomaticMaskGenerator.__init__).parameters
    names = [name for name in signature if name in SegmenterOptions.model_fields]
    package = {name: signature[name].default for name in names}
    chosen = {name: getattr(options, name) for name in (*names, *_OURS)}
    given = {name: value for name, value in chosen.items() if value is not None}
    preset = _PRESETS[options.preset]
    parameters: dict[str, float] = {**package, **_OURS, **defaults, **preset, **given}
    scale = parameters["crop_n_points_downscale_factor"] ** parameters["crop_n_layers"]
    if parameters["points_per_side"] < scale:
        raise UsageError(
            f"points_per_side {parameters['points_per_side']} leaves no point in the smallest "
            f"crops: with these crop_n_layers and crop_n_points_downscale_factor it must be at "
            f"least {scale}"
        )
    return parameters
