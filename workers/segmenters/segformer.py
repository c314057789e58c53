"""`segformer_*`: SegFormer, a class for every pixel (NVIDIA's weights: for research only).

`segformer_demo` is this project's own, bundled.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor
from transformers.models.segformer import modeling_segformer
from transformers.models.segformer.configuration_segformer import SegformerConfig

from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.model_entry import ModelEntry
from workers.segmenters.frame_finder import FrameFinder
from workers.segmenters.heads.class_map import SemanticHead
from workers.segmenters.heads.enlarge import PlacedLogits
from workers.segmenters.hub_loading import load_model
from workers.segmenters.labelled_segmenter import LabelledSegmenter
from workers.segmenters.placement import Placement
from workers.segmenters.preparation import Preparation, read_preparation
from workers.segmenters.tasks import choose_task

_USUAL = Preparation("stretch", 512, 512)
_DEMO_LEAST_PX = 150  # chosen on scenes of seed 77: a fifth fewer objects than of 64, as many found


def build(
    options: SegmenterOptions, cache_dir: Path | None = None, entry: ModelEntry | None = None
) -> LabelledSegmenter:
    """The SegFormer `options.name` on `options.device`.

    Raises UsageError, ModelError, DownloadError.
    """
    entry = entry or catalog.find(options.name, "segmenter")
    choose_task(options, entry.task, ("semantic",))
    loaded = load_model(
        options,
        cache_dir,
        entry,
        modeling_segformer,
        "SegformerForSemanticSegmentation",
        SegformerConfig,
    )

    if entry.source == "bundled" and options.min_mask_region_area is None:
        options = options.model_copy(update={"min_mask_region_area": _DEMO_LEAST_PX})

    def see(frame: Tensor, place: Placement) -> PlacedLogits:
        return PlacedLogits(loaded.model(pixel_values=frame).logits[0], place)

    preparation = read_preparation(loaded.preparation, _USUAL)
    head = SemanticHead.choose(loaded.classes, options)
    finder = FrameFinder(see, head, preparation, options)
    return LabelledSegmenter(finder, options, loaded.weights_sha256, loaded.classes.stuff_labels)
