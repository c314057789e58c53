"""Lets commands share options, and turns what was given into settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from pipeline.cli.lazy_imports import lazy_imports

with lazy_imports():
    import pipeline.settings

Load = Callable[..., "pipeline.settings.Settings"]
"""Loads the settings that the command line, environment and settings file make; sections and
values given to it are added."""


@dataclass(frozen=True, slots=True)
class SharedOption:
    """An option of several commands: its name and annotation in a signature that Typer reads.

    `keys` are the settings that it gives a value to, as `section.key`.
    """

    name: str
    annotation: object
    keys: tuple[str, ...] = ()


def add_options(
    *options: SharedOption,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add `options` to a command, which gets what loads its settings from them as `load`.

    The command loads its settings itself, so that what is wrong with them is reported as its
    errors are.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:
            values = {option.name: given.pop(option.name) for option in options}
            command(load=partial(_load, options, values), **given)

        parameters = dict(inspect.signature(command, eval_str=True).parameters)
        del parameters["load"]
        for option in options:
            parameters[option.name] = inspect.Parameter(
                option.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=option.annotation,
            )
        # Typer reads the signature, and would evaluate the annotations of the command once more.
        run.__dict__["__signature__"] = inspect.Signature([*parameters.values()])
        run.__annotations__ = {}
        return run

    return decorate


def _load(
    options: Sequence[SharedOption], values: Mapping[str, Any], **more: Any
) -> pipeline.settings.Settings:
    sections: dict[str, Any] = {}
    for option in options:
        value = values[option.name]
        for key in option.keys:
            section, _, name = key.partition(".")
            # An option for a list that was not given is an empty one.
            sections.setdefault(section, {})[name] = None if value == [] else value
    return pipeline.settings.load_settings(values.get("config"), sections | more)
