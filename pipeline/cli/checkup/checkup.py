"""Goes through all checks of `objseek doctor`, one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipeline.cli.checkup import indexes, machine, models, ports, sources, versions
from pipeline.cli.checkup.check import Check, failed, passed
from pipeline.settings import Settings
from schemas.errors import UsageError
from workers.indexes.location import index_folder, kind_of
from workers.models.weights import cache_folder


def check_all(
    load: Callable[[], Settings], config: Path | None, given: Sequence[str]
) -> Iterator[Check]:
    """Every check, as soon as it is made.

    `load` loads the settings, of which `config` is the file; `given` are the sources. Without
    settings what they name cannot be looked at.
    """
    yield versions.check_python()
    yield versions.check_objseek()
    yield from versions.check_packages()
    yield from versions.check_extras()
    yield machine.check_cpus()
    yield machine.check_memory()
    try:
        settings = load()
        kind = kind_of(settings.index.location)
    except UsageError as exc:
        yield failed("settings", str(exc), "mend it: what settings name was not looked at")
        return
    yield passed("settings", _describe_settings(config))
    device = settings.segmenter.device
    yield machine.check_device(settings.embedder.device if device == "auto" else device)
    folder = index_folder(settings.index.location) if kind == "folder" else None
    yield from machine.check_room(settings.runner.name, cache_folder(settings.cache_dir), folder)
    yield from models.check_models(settings)
    for source in given:
        yield from sources.check_source(source, settings.store)
    yield from indexes.check_index(settings)
    yield from ports.check_ports(settings)


def _describe_settings(config: Path | None) -> str:
    """Where they are from; values are not told, as one may be a key."""
    variables = sorted(
        name
        for name in os.environ
        if name.upper().startswith("OBJSEEK_") and name.upper() != "OBJSEEK_CONFIG"
    )
    file = f"the file {config}" if config else "no file (--config or OBJSEEK_CONFIG names one)"
    return f"{file}; {', '.join(variables)}" if variables else file
