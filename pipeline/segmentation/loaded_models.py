"""Loads the models that images are segmented with, each when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial

from cachetools import LRUCache

from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.labels import LabelEntry
from schemas.masks import ObjectMask
from schemas.options import LabelOptions
from schemas.records import Float32Matrix
from workers.embedders.embed_objects import embed_masks
from workers.labelling.calibration import Calibration
from workers.labelling.labeller import Labeller, build_labeller, texts_of
from workers.labelling.text_match import TextMatcher, match_texts, require_distractors
from workers.labelling.tuned_calibrations import read_chosen
from workers.models.grounded_options import choose_detector
from workers.protocols import Embedder, ImageEmbedder, TextEmbedder
from workers.registry import build_embedder, build_segmenter, build_text_finder
from workers.segmenter_protocols import BoxMasker, Segmenter, TextFinder, TextSegmenter

_NEAREST = LabelOptions(top_k=1, min_score=0.0)
_MOST_LISTS = 8  # of labels and of texts, whose vectors are kept


@dataclass(frozen=True)
class ModelSource:
    """What gives models, loading each once, and the settings that they belong to.

    `distractors` names objects by the labels of the settings, None if these name no list.
    `calibration` is the embedder's, None: what is known of it.
    """

    segmenter: Callable[[], Segmenter]
    images: Callable[[], ImageEmbedder]
    texts: Callable[[], TextEmbedder]
    distractors: Callable[[], Labeller | None]
    settings: Settings
    calibration: Calibration | None = None

    @classmethod
    def of(cls, settings: Settings) -> ModelSource:
        """Of the models that settings name, kept by what is returned."""

        @cache
        def load_segmenter() -> Segmenter:
            return build_segmenter(settings.segmenter, settings.cache_dir)

        @cache
        def load_embedder() -> Embedder:
            return build_embedder(settings.embedder)

        tuned = read_chosen(settings.embedder, settings.cache_dir)
        calibration = None if tuned is None else tuned.calibration
        distractors = partial(
            build_labeller, settings.labels, settings.embedder, settings.cache_dir, calibration
        )
        return cls(load_segmenter, load_embedder, load_embedder, distractors, settings, calibration)

    @classmethod
    def of_searcher(cls, searcher: Searcher) -> ModelSource:
        """Of the models that an index is searched with."""
        models, settings = searcher.models, searcher.settings
        embedding = settings.embedder.model_copy(update={"name": searcher.embedder_name})
        return cls(
            models.segmenter,
            models.images,
            models.images,  # that of texts belongs to the thread that searches
            partial(
                build_labeller,
                settings.labels,
                embedding,
                settings.cache_dir,
                searcher.calibration,
            ),
            settings.model_copy(update={"embedder": embedding}),
            searcher.calibration,
        )


class LoadedModels:
    """`SegmentModels` of a source. Not thread-safe."""

    def __init__(self, source: ModelSource) -> None:
        self._source = source
        self._labellers: LRUCache[tuple[LabelEntry, ...], Labeller] = LRUCache(_MOST_LISTS)
        self._matchers: LRUCache[tuple[str, ...], TextMatcher] = LRUCache(_MOST_LISTS)

    def segmenter(self) -> Segmenter:
        """See `SegmentModels`."""
        return self._source.segmenter()

    def text_finder(self) -> TextFinder | None:
        """See `SegmentModels`."""
        return self._text_finder

    @cached_property
    def _text_finder(self) -> TextFinder | None:
        settings = self._source.settings
        segmenter = self.segmenter()
        if isinstance(segmenter, TextSegmenter):
            return segmenter.text_finder
        options = choose_detector(settings.segmenter, settings.cache_dir)
        if options is None:
            return None
        if isinstance(segmenter, BoxMasker):
            return build_text_finder(options, segmenter, settings.cache_dir)
        if settings.segmenter.detector is None:
            return None
        raise UsageError(
            f"expected a segmenter that takes the boxes of a detector, got {segmenter.name}"
        )

    def embed_masks(self, image: UInt8Image, masks: Sequence[ObjectMask]) -> Float32Matrix:
        """See `SegmentModels`."""
        return embed_masks(image, masks, self._source.images(), self._source.settings.embedder)

    def build_matcher(self, texts: Sequence[str]) -> TextMatcher:
        """See `SegmentModels`. The texts are told from the labels that the settings name."""
        key = tuple(texts)
        matcher = self._matchers.get(key)
        if matcher is None:
            matcher = self._matchers[key] = self._build_matcher(key)
        return matcher

    def _build_matcher(self, texts: tuple[str, ...]) -> TextMatcher:
        return match_texts(texts, self._source.texts(), self._distractors)

    def build_labeller(self, entries: Sequence[LabelEntry]) -> Labeller:
        """See `SegmentModels`."""
        key = tuple(entries)
        labeller = self._labellers.get(key)
        if labeller is None:
            name = self._embedder_name
            vectors = self._source.texts().embed_texts(texts_of(entries, name))
            calibration = self._source.calibration
            labeller = self._labellers[key] = Labeller(key, vectors, _NEAREST, name, calibration)
        return labeller

    @cached_property
    def _distractors(self) -> Labeller:
        return require_distractors(self._source.distractors())

    @property
    def _embedder_name(self) -> str:
        return self._source.settings.embedder.name
