"""Recipes: what each worker is built from. Plain values, so that they travel to actors."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from schemas.selection_options import SelectionOptions

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
FixedPrecisionName = Literal["fp32", "bf16"]
PrecisionName = Literal["auto", "fp32", "bf16"]
PresetName = Literal["fast", "balanced", "thorough"]
PromptsName = Literal["grid", "adaptive"]
LevelsName = Literal["all", "wholes"]
TaskName = Literal["instance", "semantic", "panoptic"]
RegionsName = Literal["connected", "whole"]
RefinerName = Literal["edges", "sam", "tidy"]
ViewsName = Literal["both", "context", "cutout"]
BackgroundName = Literal["fill", "mean", "blur"]
SquareName = Literal["extend", "pad", "squash"]
_Level = Annotated[int, Field(ge=0, le=255)]
Rgb = tuple[_Level, _Level, _Level]
_EQUAL_WEIGHT = 0.5
NO_PROPAGATION = "none"


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreOptions(SelectionOptions):
    """How to reach a store, and what of it is listed.

    `retry_budget_s` is for how long a read or a page of a listing is asked for again, however often
    a request of it is sent (`max_attempts`).
    """

    endpoint_url: str | None = None
    profile: str | None = None
    anonymous: bool = False
    requester_pays: bool = False
    max_attempts: int = Field(default=5, ge=1)
    connect_timeout_s: float = Field(default=10.0, gt=0)
    read_timeout_s: float = Field(default=60.0, gt=0)
    retry_budget_s: float = Field(default=120.0, ge=0)

    @field_validator("endpoint_url")
    @classmethod
    def _endpoint_tells_no_secret(cls, given: str | None) -> str | None:
        if given is not None and "@" in urlsplit(given).netloc:
            raise ValueError("credentials belong into the AWS_ variables or a profile")
        return given


class DecodeOptions(_Options):
    """Limits of an image. `alpha_background` is what shows through transparent pixels, RGB."""

    max_pixels: int = Field(default=120_000_000, ge=1)
    max_side_px: int = Field(default=32_768, ge=1)
    min_side_px: int = Field(default=1, ge=1)
    alpha_background: Rgb = (255, 255, 255)


class TidyOptions(_Options):
    """What `tidy` takes for dirt.

    Holes and islands of less than these shares of the mask's area go; with `largest_only` all but
    the largest island. `smooth_px`: a pixel of the border goes to the side that has most of the
    pixels within so many of it; 0: none does.
    """

    max_hole_frac: float = Field(default=0.01, ge=0, le=1)
    max_island_frac: float = Field(default=0.01, ge=0, le=1)
    largest_only: bool = False
    smooth_px: int = Field(default=0, ge=0, le=64)


class SamOptions(_Options):
    """Which SAM is asked for masks anew, and how far it is believed.

    `model` is its name, None: the segmenter itself where it is a SAM, `sam_demo` for what comes
    with objseek. `checkpoint`: local weights of `model`. What it answers is kept where its IoU with
    the mask that it was asked with is at least `min_iou`.
    """

    model: str | None = Field(default=None, min_length=1)
    checkpoint: str | None = None
    min_iou: float = Field(default=0.5, ge=0, le=1)


class RefinerOptions(_Options):
    """Options of what refines masks, each of the name of its refiner."""

    sam: SamOptions = SamOptions()
    tidy: TidyOptions = TidyOptions()


class SegmenterOptions(_Options):
    """segment-anything's own parameters, and some of ours.

    None leaves a parameter at the segmenter's default: the package's for `sam_vit_*`, its own for
    `sam_demo`; of how many points and images are taken at once, what the device does best. `preset`
    moves those defaults: `fast` asks fewer points and finds the large objects, `thorough` asks
    more, and looks at crops too. `precision` `auto` is bf16 on CUDA and fp32 elsewhere; it moves
    borders by a pixel here and there and, like the device, is in no fingerprint: an index goes on
    in the one that it was begun in. `images_per_batch` are encoded at once.

    `prompts` `grid` asks every point; `adaptive` asks them coarse to fine, but for those of which
    a scorer, if the model has one, says that nothing would pass the thresholds, and those at which
    enough others have given the smallest sure mask. None is `adaptive` for `sam_demo` and with the
    preset `fast`, else `grid`. `scorer` is one that `objseek tune` has fitted to the model, by name
    or path: with it None is `adaptive`, and with `grid` it is not used.

    Of masks with an IoU above `mask_nms_thresh` the one stays that is surest, by `predicted_iou`
    and by how many are much like it, where `box_nms_thresh` compares boxes only. A mask is dropped
    as a part when more than `part_thresh` of it lies in a larger one of no lower `predicted_iou`.
    With `levels` `wholes` only masks stay that are part of no other (see `schemas.nesting`).

    `refine` names what makes masks finer, in this order: `edges` moves their borders to where
    colours change, `sam` asks a SAM with each mask for a better one, `tidy` fills holes and drops
    islands; `refiners` has their options. None refines the answers of `sam_demo` to prompts by
    `edges`, and nothing else.

    Segmenters that know classes have parameters of their own (see docs/segmentation.md): `task` is
    what they look for, where they can do several. What is less likely than `score_thresh` is no
    object; a pixel is in a mask where its probability is at least `mask_thresh`; of panoptic
    segments those stay that have at least `overlap_mask_area_threshold` of their own mask's pixels.
    `regions` is what a class of a semantic map becomes: its connected regions, each of
    `min_mask_region_area` pixels or more (None: 64), or one object. None is the segmenter's
    default. `tiles_per_side` is of `grid`.

    `grounded:TEXT,TEXT` has boxes found by `detector`, a name or a folder of local files (None: the
    smallest), and masks made of them by the SAM `mask_model`, whose local weights `checkpoint` then
    is. `detector` also finds what single images are segmented for by a text: None where its weights
    are on this machine, `none` never.

    Weights that are not free for every use are fetched
    where `accept_licence` says that their licence is accepted, which is in no fingerprint.
    """

    name: str = "sam_demo"
    checkpoint: str | None = None
    device: DeviceName = "auto"
    precision: PrecisionName = "auto"
    preset: PresetName = "balanced"
    prompts: PromptsName | None = None
    scorer: str | None = Field(default=None, min_length=1)
    images_per_batch: int | None = Field(default=None, ge=1)
    points_per_side: int | None = Field(default=None, ge=1)
    points_per_batch: int | None = Field(default=None, ge=1)
    pred_iou_thresh: float | None = Field(default=None, ge=0, le=1)
    stability_score_thresh: float | None = Field(default=None, ge=0, le=1)
    stability_score_offset: float | None = Field(default=None, ge=0)
    box_nms_thresh: float | None = Field(default=None, ge=0, le=1)
    crop_n_layers: int | None = Field(default=None, ge=0)
    crop_nms_thresh: float | None = Field(default=None, ge=0, le=1)
    crop_overlap_ratio: float | None = Field(default=None, ge=0, lt=1)
    crop_n_points_downscale_factor: int | None = Field(default=None, ge=1)
    min_mask_region_area: int | None = Field(default=None, ge=0)
    mask_nms_thresh: float | None = Field(default=None, ge=0, le=1)
    part_thresh: float | None = Field(default=None, ge=0, le=1)
    task: TaskName | None = None
    score_thresh: float | None = Field(default=None, ge=0, le=1)
    mask_thresh: float = Field(default=0.5, gt=0, lt=1)
    overlap_mask_area_threshold: float = Field(default=0.8, ge=0, le=1)
    regions: RegionsName = "connected"
    tiles_per_side: int = Field(default=4, ge=1, le=64)
    detector: str | None = Field(default=None, min_length=1)
    mask_model: str = "sam2.1_t"
    accept_licence: bool = False
    refine: tuple[RefinerName, ...] | None = None
    refiners: RefinerOptions = RefinerOptions()
    levels: LevelsName = "all"
    max_objects: int = Field(default=256, ge=1)
    min_area_frac: float = Field(default=0.0, ge=0, le=1)
    max_area_frac: float = Field(default=0.95, gt=0, le=1)

    @model_validator(mode="after")
    def _some_area_is_left(self) -> Self:
        if self.min_area_frac > self.max_area_frac:
            raise ValueError(
                f"min_area_frac {self.min_area_frac} is above max_area_frac "
                f"{self.max_area_frac}, which no mask can meet"
            )
        return self


class CropOptions(_Options):
    """What an embedder is fed of an object; docs/views.md shows it, and what it does to search.

    `views`: which views of an object make its vector. `context` is its box as it stands in the
    image, grown at either end by `context_margin` of its longer side; `cutout` is the same with
    another background: of the colour `cutout_fill`, RGB, by default the mean of CLIP's training
    images; of the mean colour of what is around the object in its box with the margin (`mean`); or
    of the blurred image (`blur`). Of `both`, the vector is the mean, in which the cutout weighs
    `cutout_weight` and the context the rest.

    `to_square`: a box that is not square is extended by what the image has beside it (`extend`),
    padded by `cutout_fill` or the cutout's one colour (`pad`), or distorted (`squash`).
    """

    views: ViewsName = "both"
    context_margin: float = Field(default=0.15, ge=0, le=2)
    cutout_fill: Rgb = (122, 116, 104)
    cutout_background: BackgroundName = "fill"
    cutout_weight: float = Field(default=_EQUAL_WEIGHT, gt=0, lt=1)
    to_square: SquareName = "extend"

    @model_validator(mode="after")
    def _has_what_is_set(self) -> Self:
        if self.cutout_background != "fill" and self.views == "context":
            raise ValueError(
                f"expected views with a cutout for cutout_background {self.cutout_background!r}, "
                f"got {self.views!r}"
            )
        if self.cutout_weight != _EQUAL_WEIGHT and self.views != "both":
            raise ValueError(
                f"expected views 'both' for cutout_weight {self.cutout_weight:g}, "
                f"got {self.views!r}"
            )
        return self

    @property
    def view_weights(self) -> tuple[float, ...]:
        """How much each view of an object counts, in their order; 1 together."""
        if self.views == "both":
            return 1 - self.cutout_weight, self.cutout_weight
        return (1.0,)

    @property
    def crop_recipe(self) -> dict[str, object]:
        """What fingerprints cover of it.

        What came later is left out where it is as it was before: vectors of then stay valid.
        """
        later = {
            name: value
            for name in ("cutout_background", "cutout_weight", "to_square")
            if (value := getattr(self, name)) != CropOptions.model_fields[name].default
        }
        return {
            "views": self.views,
            "context_margin": self.context_margin,
            "cutout_fill": self.cutout_fill,
            **later,
        }


class EmbedderOptions(CropOptions):
    """`name`: `clip_demo`, `architecture/pretrained` of open_clip, or `local-dir:FOLDER`.

    `views` are both by default, of `clip_demo` the cutout, by which it tells objects better.
    `precision` as of the segmenter; it is that of images only. `batch_size` crops are embedded at
    once, None: as many as the device does best.

    `calibration` is one that `objseek tune --truth` has fitted to the embedder, by name or path:
    what makes probabilities of its similarities, and the weights by which objects rank for a text.
    It changes no vector.
    """

    name: str = "clip_demo"
    device: DeviceName = "auto"
    precision: PrecisionName = "auto"
    batch_size: int | None = Field(default=None, ge=1)
    calibration: str | None = Field(default=None, min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _views_of_the_demo(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("name", "clip_demo") == "clip_demo":
            return {"views": "cutout", **given}
        return given


class VideoOptions(_Options):
    """How videos are looked into; all of it is in their fingerprints.

    Of each shot `fps` frames a second are segmented, and the one of largest change. With
    `across_shots` a track may go on in a later shot. `points_per_side` is how many points a
    segmenter that has a grid of them asks along a side of a frame, without crops; None: as of
    images. A video that ends before it says it does is refused, unless `accept_truncated`.

    `propagate` is the video model that carries masks from each frame to the next: `none`; a
    `sam2.1_*` by its name; `sam2`, which is the SAM 2.1 that segments, or else `sam2.1_t`; or the
    folder of one's local files, which has a slash.
    """

    fps: float = Field(default=2.0, gt=0, le=60)
    across_shots: bool = False
    points_per_side: int | None = Field(default=12, ge=1)
    accept_truncated: bool = False
    propagate: str = Field(default=NO_PROPAGATION, min_length=1)


class Precision(_Options):
    """What the models of an index compute in. It is in no fingerprint, and kept beside them."""

    segmenter: FixedPrecisionName
    embedder: FixedPrecisionName


class LabelOptions(_Options):
    """What objects may be called.

    `names`: a list that comes along (`general`, `emoji`), a file with a label a line, `none`, or
    `auto`, which is `emoji` for the demo's embedder and `general` for all others. Each object gets
    its `top_k` most likely labels, as far as they are at least `min_score` likely. These are
    guesses: filters and counts take those that are right with `min_probability`, as the embedder's
    calibration knows it, words those with `min_word_probability`.
    """

    names: str = Field(default="auto", min_length=1)
    top_k: int = Field(default=3, ge=1, le=20)
    min_score: float = Field(default=0.05, ge=0, le=1)
    min_probability: float = Field(default=0.5, ge=0, le=1)
    min_word_probability: float = Field(default=0.25, ge=0, le=1)


class IndexOptions(_Options):
    """`location`: a folder for the embedded index, `http(s)://host:6333/collection`, or a Lance
    table, `lance+s3://bucket/prefix` or `lance+file:///folder`.

    `state`: where the manifest is kept, a folder or `s3://bucket/prefix`; None: beside the index,
    or for a server in the user's data. `endpoint_url` and `profile` are how the bucket of a Lance
    table is reached, None: as that of the images. `refresh_s`: how old what is searched of it may
    be; `cache_mb` (MiB): how much of its indexes a process keeps. `retry_budget_s` is for how long
    a server that does not answer is asked again. `thumbnail_px` is the longer side of the
    thumbnails that are kept of objects which come in, 0: none are.
    """

    location: str = Field(default="objseek-index", min_length=1)
    state: str | None = Field(default=None, min_length=1)
    api_key: SecretStr | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    refresh_s: float = Field(default=1.0, ge=0)
    cache_mb: int = Field(default=512, ge=16)
    timeout_s: float = Field(default=60.0, gt=0)
    retry_budget_s: float = Field(default=120.0, ge=0)
    upsert_batch: int = Field(default=128, ge=1)
    thumbnail_px: int = Field(default=256, ge=0, le=1024)


class RunnerOptions(BaseModel):
    """How the work is spread. `workers` are model actors, or threads where `name` is local.

    Resources are declared, never probed. With `gpus_per_worker` below 1 workers share a GPU, and
    each takes no more than that part of its memory.

    `batch_size` is images in a chunk, `read_concurrency` is requests in flight per read task.
    `readers` are processes of a Ray of our own that fetch and decode, beside the workers; None: one
    for two workers. Each is ended if it takes more memory than `reader_memory_mb` (MiB) above what
    it began with, or longer than `decode_timeout_s` for one image. A run that gets no further for
    `stall_timeout_s` ends, and so does one that waits longer than `node_timeout_s` for the first
    node of a cluster with room for a worker.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: Literal["ray", "local"] = "ray"
    ray_address: str | None = None
    workers: int = Field(default=1, ge=1)
    cpus_per_worker: float = Field(default=1.0, gt=0)
    gpus_per_worker: float = Field(default=0.0, ge=0)
    readers: int | None = Field(default=None, ge=1)
    read_concurrency: int = Field(default=8, ge=1)
    reader_memory_mb: int = Field(default=2048, ge=64)
    decode_timeout_s: float = Field(default=30.0, gt=0)
    stall_timeout_s: float = Field(default=300.0, gt=0)
    node_timeout_s: float = Field(default=1800.0, gt=0)
    batch_size: int = Field(default=8, ge=1, le=256)

    @field_validator("gpus_per_worker")
    @classmethod
    def _check_part(cls, gpus: float) -> float:
        # Ray gives a process parts of one GPU, or whole ones.
        if gpus > 1 and gpus != int(gpus):
            raise ValueError(f"expected a part of a GPU, or whole GPUs, got {gpus:g}")
        return gpus
