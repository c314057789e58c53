"""`maskrcnn_demo`: a small bundled Mask R-CNN, which knows the groups of emoji scenes only."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.hub import open_folder
from workers.models.maskrcnn_demo_architecture import (
    ENCODER,
    IMAGE_ENCODER,
    TOWER,
    TRUNK,
    build_maskrcnn_demo,
)
from workers.models.model_entry import ModelEntry
from workers.models.precision import resolve_precision
from workers.models.weights import fill, read_weights, sha256_of
from workers.segmenters.encoder_convolutions import can_fuse_convolutions, fuse_convolutions
from workers.segmenters.heads.classes import read_classes
from workers.segmenters.labelled_segmenter import LabelledSegmenter
from workers.segmenters.mask_rcnn import build_from
from workers.segmenters.tasks import choose_task

# Chosen on scenes of another seed than those that are scored: the likeliest of five groups is as
# likely as this wherever there is an object at all.
SCORE_THRESH = 0.2
_Weights = dict[str, Tensor]


def build(
    options: SegmenterOptions, cache_dir: Path | None = None, entry: ModelEntry | None = None
) -> LabelledSegmenter:
    """The demo model `entry` on `options.device`; `options.checkpoint` replaces its heads' weights.

    Nothing is fetched. Raises UsageError, and ModelError when weights are absent or of another
    architecture.
    """
    entry = entry or catalog.find("maskrcnn_demo")
    choose_task(options, entry.task, ("instance",))
    if options.score_thresh is None:
        options = options.model_copy(update={"score_thresh": SCORE_THRESH})
    bundled = catalog.require_bundled(entry.file_name)
    heads = bundled if options.checkpoint is None else Path(options.checkpoint).expanduser()
    others = (catalog.find(name).file_name for name in ("sam_demo", "clip_demo"))
    encoder, tower = map(catalog.require_bundled, others)
    config = open_folder(bundled).config
    count = len(config["id2label"])
    with torch.device("meta"):
        model = build_maskrcnn_demo(count)
    weights = {
        **read_weights(heads),
        **_take(read_weights(encoder), IMAGE_ENCODER, ENCODER),
        **_take(read_weights(tower), TRUNK, TOWER),
    }
    fill(model, weights, entry.name)
    dtype = resolve_precision(options.precision, options.device)
    if can_fuse_convolutions(options.device, dtype):
        fuse_convolutions(model.backbone.encoder.eval())
    sha256 = " ".join(map(sha256_of, (heads, encoder, tower)))
    return build_from(model, read_classes(config, count), options, sha256)


def _take(weights: _Weights, before: str, after: str) -> _Weights:
    """Those whose names begin with `before`, which becomes `after`."""
    return {
        after + name.removeprefix(before): value
        for name, value in weights.items()
        if name.startswith(before)
    }
