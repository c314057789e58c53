"""`sam2.1_*`: SAM 2.1's image model, asked by the same generator as SAM (Apache-2.0)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers.models.sam2 import modeling_sam2
from transformers.models.sam2.configuration_sam2 import Sam2Config

from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.model_entry import ModelEntry
from workers.models.precision import resolve_precision
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.hub_loading import load_model
from workers.segmenters.parameters import batch_sizes
from workers.segmenters.point_scorer import load_tuned
from workers.segmenters.sam2_prompter import Sam2Prompter
from workers.segmenters.tuned_scorers import ScorerFile, ScorerOrigin

# Those of SAM 2's own `SAM2AutomaticMaskGenerator`, where they differ from SAM's.
DEFAULTS = {"pred_iou_thresh": 0.8}


def build(
    options: SegmenterOptions,
    cache_dir: Path | None = None,
    entry: ModelEntry | None = None,
    scorer: ScorerFile | None = None,
) -> GridSegmenter:
    """The SAM 2.1 `options.name` on `options.device`. Raises ModelError, DownloadError."""
    entry = entry or catalog.find(options.name, "segmenter")
    loaded = load_model(options, cache_dir, entry, modeling_sam2, "Sam2Model", Sam2Config)
    dtype = resolve_precision(options.precision, options.device)
    model: Any = loaded.model
    prompter = Sam2Prompter(model, options.device, dtype)
    origin = ScorerOrigin(entry.name, loaded.weights_sha256)
    channels = model.config.prompt_encoder_config.hidden_size
    return GridSegmenter(
        prompter,
        weights_sha256=loaded.weights_sha256,
        options=options,
        defaults={**DEFAULTS, **batch_sizes(options.device)},
        scorer=None if scorer is None else load_tuned(scorer, origin, channels, prompter.device),
    )
