"""Loads the models of a service, and its index, before anybody waits for them."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import numpy as np

from pipeline.search.searcher import Searcher
from pipeline.service.search_queue import SearchQueue
from schemas.errors import ObjseekError

_TIMEOUT_S = 3600
_PICTURE = np.full((64, 64, 3), 128, np.uint8)


async def load_texts(queue: SearchQueue) -> None:
    """Load the embedder of texts, and use it once. Raises ObjseekError."""
    await queue.run(_use_texts, _TIMEOUT_S)


async def warm_index(queue: SearchQueue) -> None:
    """Read ahead of the index what searches need, while searches go on."""
    with suppress(ObjseekError):
        await queue.find(queue.searcher.index.warm_up, _TIMEOUT_S)


async def load_pictures(queue: SearchQueue) -> None:
    """Load the models that pictures are searched with, and use them once, while searches go on.

    A search that needs what cannot be loaded says why.
    """
    searcher = queue.searcher
    for use in (_use_images, _use_segmenter):
        with suppress(ObjseekError):
            await queue.find(partial(use, searcher), _TIMEOUT_S)


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
