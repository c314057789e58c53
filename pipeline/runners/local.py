"""Runs everything in this process, one chunk at a time: the reference for other runners."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Self

from pipeline.runners.model_worker import ModelWorker
from pipeline.runners.recipe import Recipe
from schemas.masks import WorkItem
from schemas.records import Result


class LocalRunner:
    """One worker, no other process: an image that kills the worker ends the run."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._worker = ModelWorker(recipe)
        self.info = self._worker.info

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return

    def run(self, chunks: Iterable[list[WorkItem]]) -> Iterator[list[Result]]:
        for items in chunks:
            decoded = self._recipe.reader([item.ref for item in items])
            yield self._worker.process(decoded, [item.known for item in items])
