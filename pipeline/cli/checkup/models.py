"""Looks at whether the models that settings name can be had, and which weights are kept."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.cli.checkup.check import Check, failed, passed, warned
from pipeline.cli.weights import cached_file, format_size
from pipeline.settings import Settings
from schemas.errors import ObjseekError
from workers.models import catalog
from workers.models.grounded_options import list_fetched
from workers.models.weights import cache_folder
from workers.registry import check_embedder, check_segmenter

_ADVICE = "`objseek models` lists what can be named"


def check_models(settings: Settings) -> Iterator[Check]:
    """The segmenter, the embedder, and what is in the cache."""
    try:
        check_segmenter(settings.segmenter, settings.cache_dir)
        missing = [
            entry
            for entry in list_fetched(settings.segmenter)
            if cached_file(entry, settings.cache_dir) is None
        ]
    except ObjseekError as exc:
        yield failed("segmenter", str(exc), _ADVICE)
    else:
        name = settings.segmenter.name
        if missing:
            sizes = ", ".join(f"{each.name} ({format_size(each.size_bytes)})" for each in missing)
            advice = f"objseek models pull {missing[0].name}"
            yield warned("segmenter", f"{name}: fetched at first use: {sizes}", advice)
        else:
            yield passed("segmenter", name)
    try:
        check_embedder(settings.embedder)
    except ObjseekError as exc:
        yield failed("embedder", str(exc), _ADVICE)
    else:
        yield passed("embedder", settings.embedder.name)
    yield _check_cache(settings)


def _check_cache(settings: Settings) -> Check:
    entries = [entry for entry in catalog.CATALOG if entry.source in ("official", "hub")]
    kept = [entry.name for entry in entries if cached_file(entry, settings.cache_dir) is not None]
    folder = cache_folder(settings.cache_dir)
    return passed("cached models", f"{', '.join(kept) or 'none'} in {folder}")
