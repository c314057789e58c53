"""Loads the models of a service before anybody waits for them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import numpy as np

from pipeline.search.searcher import Searcher
from pipeline.service.dependencies import Service
from pipeline.service.search_queue import SearchQueue
from schemas.errors import ObjseekError

_TIMEOUT_S = 3600
_PICTURE = np.full((64, 64, 3), 128, np.uint8)


async def load_texts(queue: SearchQueue) -> None:
    """Load the embedder of texts, and use it once. Raises ObjseekError."""
    await queue.run(_use_texts, _TIMEOUT_S)


def begin_loading(service: Service) -> None:
    """Load the models for pictures in the background, once for all who want them.

    To be called in the event loop. It is a part of no answer: the service may end first.
    """
    is_warm = service.warm_searcher is service.queue.searcher
    if not is_warm and not service.loading and not service.queue.is_ending:
        task = asyncio.create_task(_load(service))
        service.loading.add(task)
        task.add_done_callback(service.loading.discard)


async def _load(service: Service) -> None:
    # Searches come in between. One that needs what cannot be loaded says why.
    searcher = service.queue.searcher
    for use in (_use_images, _use_segmenter):
        with suppress(ObjseekError):
            await service.queue.run(use, _TIMEOUT_S)
    service.warm_searcher = searcher


# A model's first use takes longer than later ones.
def _use_texts(searcher: Searcher) -> None:
    if searcher.info.points:
        searcher.models.texts().embed_texts(["a first text"])


def _use_images(searcher: Searcher) -> None:
    if searcher.info.points:
        searcher.models.images().embed_images([_PICTURE])


def _use_segmenter(searcher: Searcher) -> None:
    if searcher.info.points:
        searcher.models.segmenter().segment_at(_PICTURE, (32.0, 32.0))
