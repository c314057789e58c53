"""`sam_vit_h`, `sam_vit_l` and `sam_vit_b`: segment-anything's own classes and registry."""

from __future__ import annotations

from pathlib import Path

import torch
from segment_anything import sam_model_registry

from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.model_entry import ModelEntry
from workers.models.precision import resolve_precision
from workers.models.weights import fetch, fill, read_weights, sha256_of, verify
from workers.segmenters.parameters import batch_sizes
from workers.segmenters.point_scorer import load_tuned
from workers.segmenters.prompt_session import PromptableGridSegmenter
from workers.segmenters.sam_prompter import SamPrompter
from workers.segmenters.tuned_scorers import ScorerFile, ScorerOrigin


def build(
    options: SegmenterOptions,
    cache_dir: Path | None = None,
    entry: ModelEntry | None = None,
    scorer: ScorerFile | None = None,
) -> PromptableGridSegmenter:
    """The SAM `options.name`, with the package's defaults, on `options.device`.

    Weights: the local file `options.checkpoint`, or else those of `entry` (default: the
    catalogue's) from `cache_dir`, fetched if they are not there. Raises ModelError, DownloadError.
    """
    entry = entry or catalog.find(options.name, "segmenter")
    if options.checkpoint is None:
        path = fetch(entry, cache_dir)
        sha256 = verify(path, entry)
    else:
        path = Path(options.checkpoint).expanduser()
        sha256 = sha256_of(path)
    # On the meta device, hundreds of millions of parameters are not first filled with noise.
    with torch.device("meta"):
        model = sam_model_registry[entry.name.removeprefix("sam_")]()
    fill(model, read_weights(path), entry.name)
    dtype = resolve_precision(options.precision, options.device)
    prompter = SamPrompter(model, options.device, dtype)
    origin, channels = ScorerOrigin(entry.name, sha256), model.prompt_encoder.embed_dim
    return PromptableGridSegmenter(
        prompter,
        weights_sha256=sha256,
        options=options,
        defaults=batch_sizes(options.device),
        scorer=None if scorer is None else load_tuned(scorer, origin, channels, prompter.device),
    )
