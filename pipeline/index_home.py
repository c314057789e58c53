"""Which generation of an index a job works on, and which there are."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.manifest.manifest import open_manifest, parts_of
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.manifest import State
from workers.indexes.generations import FIRST, GENERATIONS, Generations
from workers.indexes.open import generations_of


@dataclass(frozen=True, slots=True)
class GenerationInfo:
    """One generation: `images` that are done in it. `location` is where its index is."""

    name: str
    current: bool
    images: int
    location: str


def at_current(settings: Settings) -> Settings:
    """The settings, with the generation in use for their index.

    A job asks for it once, at its beginning, and stays with it: of two generations it would see a
    mix. Settings that name a generation stay as they are.
    """
    found = generations_of(settings.index)
    return _at(settings, found, found.current())


def current(settings: Settings) -> str:
    """The name of the generation in use."""
    return generations_of(settings.index).current()


def at(settings: Settings, name: str) -> Settings:
    """The settings, with the generation of this name for their index."""
    return _at(settings, generations_of(settings.index), name)


def _at(settings: Settings, found: Generations, name: str) -> Settings:
    if name == FIRST:
        return settings
    index, state = settings.index, settings.index.state
    place = {
        "location": found.location(name),
        "state": None if state is None else f"{state.rstrip('/')}/{GENERATIONS}/{name}",
    }
    return settings.model_copy(update={"index": index.model_copy(update=place)})


def generations(settings: Settings) -> list[GenerationInfo]:
    """All generations of an index, the first one first."""
    found = generations_of(settings.index)
    used = found.current()
    told = []
    for name in found.names():
        of = _at(settings, found, name)
        done = open_manifest(of.index, of.store).counts()[State.DONE]
        told.append(GenerationInfo(name, name == used, done, of.index.location))
    return told


def use(settings: Settings, name: str) -> None:
    """Have a generation searched and written to. Raises UsageError if it is not there."""
    found = generations_of(settings.index)
    _check_known(found, name)
    found.use(name)


def drop(settings: Settings, name: str) -> None:
    """Remove a generation with its manifest.

    Raises UsageError if it is not there, or in use; IndexBusyError if a process has it open.
    """
    found = generations_of(settings.index)
    _check_known(found, name)
    if name == found.current():
        raise UsageError(f"expected a generation that is not in use, {name} is: use another first")
    of = _at(settings, found, name)
    parts = parts_of(of.index, of.store)
    found.drop(name)
    if parts.exists():
        parts.remove(parts.sizes())


def _check_known(found: Generations, name: str) -> None:
    names = found.names()
    if name not in names:
        raise UsageError(
            f"expected one of the generations {', '.join(names) or '(there are none)'}, got {name}"
        )
