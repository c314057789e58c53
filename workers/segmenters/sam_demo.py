"""`sam_demo`: the small bundled model, which knows emoji scenes only."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.model_entry import ModelEntry
from workers.models.precision import resolve_precision
from workers.models.sam_demo_architecture import EMBED_DIM, build_sam_demo
from workers.models.weights import fill, read_weights, sha256_of
from workers.refiners.edges import EdgeRefiner
from workers.segmenters.parameters import batch_sizes
from workers.segmenters.point_scorer import load_scorer, load_tuned
from workers.segmenters.prompt_parts import PromptParts
from workers.segmenters.prompt_session import PromptableGridSegmenter
from workers.segmenters.prompt_zoom import Zoom
from workers.segmenters.sam_prompter import SamPrompter
from workers.segmenters.tuned_scorers import ScorerFile, ScorerOrigin

SCORER_FILE = "sam_demo_scorer.safetensors"
PROMPTS_FILE = "sam_demo_prompts.safetensors"
# Chosen on scenes of another seed than those that are scored.
ZOOM = Zoom(of_box=2.0, of_mask=2.2, least=0.4, most=0.8)
SURE_OF_BOXES = 0.85
"""Below this predicted IoU half of its answers to tight boxes miss an IoU of 0.8, above it one of
sixteen; on scenes of other seeds than those that are scored."""
# Tuned on scenes of held-out drawings. Crops find small objects that the whole image hides; of what
# both show, the surer mask stays, not the crop's. Masks are told apart by their own overlap, as
# boxes would take two objects in an embrace for one. The model's borders are soft: a stability of
# 0.5 would lose one object in ten. Its masks throw off islands, with which one object passes for
# several.
DEFAULTS = {
    "points_per_side": 24,
    "crop_n_layers": 1,
    "crop_n_points_downscale_factor": 2,
    "pred_iou_thresh": 0.47,
    "stability_score_thresh": 0.27,
    "box_nms_thresh": 0.9,
    "crop_nms_thresh": 1.0,
    "min_mask_region_area": 200,
    "mask_nms_thresh": 0.8,
}


def build(
    options: SegmenterOptions,
    cache_dir: Path | None = None,
    entry: ModelEntry | None = None,
    scorer: ScorerFile | None = None,
) -> PromptableGridSegmenter:
    """The demo model `entry` on `options.device`; `options.checkpoint` replaces its weights.

    `scorer` takes the place of the bundled one. Nothing is fetched. Raises ModelError when the
    weights are absent or of another architecture, or the scorer is of other weights.
    """
    if options.checkpoint is None:
        path = catalog.require_bundled((entry or catalog.find("sam_demo")).file_name)
        scorer_path = catalog.require_bundled(SCORER_FILE)
    else:  # other weights have another embedding, of which the bundled scorer knows nothing
        path, scorer_path = Path(options.checkpoint).expanduser(), None
    sha256 = sha256_of(path)
    model = build_sam_demo()
    fill(model, read_weights(path), options.name)
    load_parts, prompts_sha256 = None, ""
    if options.checkpoint is None:  # as the scorer, they are of the bundled encoder
        prompts_path = catalog.require_bundled(PROMPTS_FILE)
        load_parts = partial(PromptParts.load_demo, prompts_path, options.device)
        prompts_sha256 = sha256_of(prompts_path)
    dtype = resolve_precision(options.precision, options.device)
    prompter = SamPrompter(model, options.device, dtype, load_parts)
    loaded = None
    if scorer is not None:
        origin = ScorerOrigin(options.name, sha256)
        loaded = load_tuned(scorer, origin, EMBED_DIM, prompter.device)
    elif scorer_path is not None:
        loaded = load_scorer(scorer_path, EMBED_DIM, prompter.device)
    segmenter = PromptableGridSegmenter(
        prompter,
        weights_sha256=sha256,
        options=options,
        defaults={**DEFAULTS, **batch_sizes(options.device)},
        default_prompts="adaptive",
        scorer=loaded,
    )
    segmenter.zoom, segmenter.prompts_sha256 = ZOOM, prompts_sha256
    segmenter.sure_of_boxes = SURE_OF_BOXES if load_parts else 0.0
    if options.refine is None:  # else they refine what is asked for as well
        segmenter.refiners = (EdgeRefiner(),)
    return segmenter
