"""The recipe that workers are built from: plain values that travel to other processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.images import Decoded, ImageRef
from schemas.options import (
    DecodeOptions,
    EmbedderOptions,
    SegmenterOptions,
    StoreOptions,
    VideoOptions,
)
from schemas.videos import DecodedPiece, VideoPiece
from workers.labelling.calibration import Calibration
from workers.labelling.labeller import Labeller, build_labeller
from workers.labelling.text_file import read_texts
from workers.labelling.text_match import TextMatcher, build_matcher
from workers.labelling.tuned_calibrations import TunedCalibration, read_chosen
from workers.models.propagator_options import identify_propagator
from workers.models.threads import count_usable_cpus
from workers.protocols import ImageEmbedder
from workers.read_images import read_images
from workers.registry import (
    build_image_embedder,
    build_propagator,
    build_segmenter,
    read_options_scorer,
)
from workers.segmenter_protocols import Segmenter
from workers.videos.propagator import Propagator

_VIDEO = VideoOptions()


def build_no_labeller() -> None:
    """The labeller of a recipe whose objects stay without labels."""


def build_no_matcher() -> None:
    """The matcher of a recipe that keeps all objects."""


def build_no_propagator() -> None:
    """The video model of a recipe that carries no masks."""


def refuse_videos(piece: VideoPiece) -> DecodedPiece:
    """The reader of a recipe for images alone. Raises UsageError."""
    raise UsageError(f"expected an image, got a video ({piece.ref.uri})")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What workers are built from: plain values and importable functions, so that it travels.

    `reader` fetches and decodes images: one result per ref, in their order. `decode` and
    `embedding` are the options that images are decoded and crops embedded with. `threads` is how
    many CPU threads torch may use in a worker; None leaves that to torch. `gpus` is the part of a
    GPU that a worker has, 0 where it has no process of its own. `thumbnail_px` is the longer side
    of thumbnails, 0: none are made. `calibration` is what labels are judged with, where the
    settings name one: it has to be the embedder's. With a `matcher` only objects that show one of
    its texts are kept.

    `piece_reader` reads a piece of a video; `frame_segmenter` segments its frames, None: as images
    are. `video` are the options of both. `propagator` carries masks from frame to frame.
    """

    segmenter: Callable[[], Segmenter]
    embedder: Callable[[], ImageEmbedder]
    reader: Callable[[Sequence[ImageRef]], list[Decoded]]
    decode: DecodeOptions
    embedding: EmbedderOptions
    threads: int | None = None
    gpus: float = 0.0
    labeller: Callable[[], Labeller | None] = build_no_labeller
    thumbnail_px: int = 0
    calibration: TunedCalibration | None = None
    matcher: Callable[[], TextMatcher | None] = build_no_matcher
    piece_reader: Callable[[VideoPiece], DecodedPiece] = refuse_videos
    frame_segmenter: Callable[[], Segmenter] | None = None
    video: VideoOptions = _VIDEO
    propagator: Callable[[], Propagator | None] = build_no_propagator

    def with_known_masks(self, segmenter: Callable[[], Segmenter]) -> Recipe:
        """The same where all masks are known and stay; `segmenter` stands for what made them."""
        return replace(
            self,
            segmenter=segmenter,
            matcher=build_no_matcher,
            propagator=build_no_propagator,
        )


RecipeBuilder = Callable[[Settings], Recipe]


def build_always(recipe: Recipe) -> RecipeBuilder:
    """What gives this recipe, whatever the settings."""
    return lambda settings: recipe


def build_recipe(settings: Settings) -> Recipe:
    """The recipe that `settings` ask for.

    A scorer of points and a calibration travel within it, as they are files of this machine. Raises
    UsageError and ModelError where there is no such one.
    """
    scorer = read_options_scorer(settings.segmenter, settings.cache_dir)
    tuned = read_chosen(settings.embedder, settings.cache_dir)
    calibration = None if tuned is None else tuned.calibration
    runner = settings.runner
    on_ray = runner.name == "ray"
    cpus = runner.cpus_per_worker if on_ray else count_usable_cpus() / runner.workers
    return Recipe(
        segmenter=partial(build_segmenter, settings.segmenter, settings.cache_dir, scorer),
        embedder=partial(build_image_embedder, settings.embedder),
        reader=partial(
            read_images,
            store_options=settings.store,
            decode_options=settings.decode,
            concurrency=runner.read_concurrency,
        ),
        decode=settings.decode,
        embedding=settings.embedder,
        threads=max(1, int(cpus)),
        gpus=runner.gpus_per_worker if on_ray else 0.0,
        labeller=partial(
            build_labeller,
            settings.labels,
            settings.embedder,
            settings.cache_dir,
            calibration,
        ),
        calibration=tuned,
        thumbnail_px=settings.index.thumbnail_px,
        matcher=_choose_matcher(settings, calibration),
        piece_reader=partial(
            _read_piece, store=settings.store, decode=settings.decode, video=settings.video
        ),
        frame_segmenter=partial(
            build_segmenter, frame_options(settings), settings.cache_dir, scorer
        ),
        video=settings.video,
        propagator=partial(build_propagator, settings.video, settings.segmenter, settings.cache_dir)
        if settings.store.has_videos
        else build_no_propagator,
    )


def video_options(settings: Settings) -> VideoOptions:
    """How videos are looked into, as it stands in their fingerprints.

    Where settings say how many points images are asked with, frames are too. What carries masks is
    told by its weights. Raises UsageError where that is no video model.
    """
    side = _frame_points(settings)
    identified = identify_propagator(settings.video, settings.segmenter)
    return identified.model_copy(update={"points_per_side": side})


def _frame_points(settings: Settings) -> int | None:
    said = settings.segmenter.model_fields_set & {"points_per_side", "crop_n_layers", "preset"}
    return None if said else settings.video.points_per_side


def frame_options(settings: Settings) -> SegmenterOptions:
    """How frames of videos are segmented: as images, but for a coarser grid of points.

    They are many and alike: what one misses others show.
    """
    options, side = settings.segmenter, _frame_points(settings)
    if side is None:
        return options
    return options.model_copy(update={"preset": "fast", "points_per_side": side})


def _read_piece(
    piece: VideoPiece, store: StoreOptions, decode: DecodeOptions, video: VideoOptions
) -> DecodedPiece:
    # Its library is an extra that only whoever reads videos has.
    from workers.videos.read_piece import read_piece

    return read_piece(piece, store, decode, video)


def _choose_matcher(
    settings: Settings, calibration: Calibration | None
) -> Callable[[], TextMatcher | None]:
    """What builds the matcher of the texts that the settings name; they travel within it."""
    if settings.text_prompts is None:
        return build_no_matcher
    texts = read_texts(settings.text_prompts)
    return partial(
        build_matcher, texts, settings.labels, settings.embedder, settings.cache_dir, calibration
    )
