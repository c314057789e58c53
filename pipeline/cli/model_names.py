"""Completes names of models for shells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from pipeline.cli.lazy_imports import lazy_imports

with lazy_imports():
    from schemas import options
    from workers.models import catalog


def complete_segmenter(incomplete: str) -> list[str]:
    """The segmenters whose names begin so."""
    return _begin_with(incomplete, catalog.names("segmenter"))


def complete_embedder(incomplete: str) -> list[str]:
    """Likewise for embedders; open_clip knows many more."""
    return _begin_with(incomplete, catalog.names("embedder"))


def complete_model(incomplete: str) -> list[str]:
    """Likewise for models of all kinds."""
    return _begin_with(incomplete, catalog.names())


def complete_refiner(incomplete: str) -> list[str]:
    """Likewise for refiners."""
    return _begin_with(incomplete, get_args(options.RefinerName))


def _begin_with(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
