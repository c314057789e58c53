"""Segments single images with the models that a service searches with, beside its searches."""

from __future__ import annotations

from functools import partial

from pipeline.search.searcher import Searcher
from pipeline.segmentation.loaded_models import LoadedModels, ModelSource
from pipeline.segmentation.queries import SegmentQuery
from pipeline.segmentation.segment import check_query, segment
from pipeline.service.search_queue import SearchQueue
from schemas.images import UInt8Image
from schemas.masks import ObjectMask


class ImageSegmenter:
    """Segments one image after another. To be used in the event loop."""

    def __init__(self, queue: SearchQueue) -> None:
        self._queue = queue
        self._searcher: Searcher | None = None
        self._models: LoadedModels | None = None

    async def segment(
        self, pixels: UInt8Image, query: SegmentQuery, timeout_s: float | None = None
    ) -> tuple[str, list[ObjectMask]]:
        """The name of the segmenter, and the masks of uint8 (height, width, 3) RGB.

        Raises what `check_query` and `segment` do, and ProblemError as the queue does.
        """
        models = self._follow(self._queue.searcher)
        return await self._queue.find(partial(_segment, pixels, query, models), timeout_s)

    def _follow(self, searcher: Searcher) -> LoadedModels:
        """The models of the searcher that is in use now."""
        if self._models is None or self._searcher is not searcher:
            self._searcher, self._models = searcher, LoadedModels(ModelSource.of_searcher(searcher))
        return self._models


def _segment(
    pixels: UInt8Image, query: SegmentQuery, models: LoadedModels
) -> tuple[str, list[ObjectMask]]:
    check_query(query, models)
    return models.segmenter().name, segment([pixels], query, models)[0]
