"""Lets commands share options, and turns what was given into settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from pipeline.cli.lazy_imports import lazy_imports

with lazy_imports():
    import pipeline.settings


@dataclass(frozen=True, slots=True)
class SharedOption:
    """An option of several commands: its name and annotation in a signature that Typer reads.

    `keys` are the settings that it gives a value to, as `section.key`.
    """

    name: str
    annotation: object
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """Loads the settings that the command line, environment and settings file make.

    `values` are those of `options` by their names, None where one was not given.
    """

    options: tuple[SharedOption, ...]
    values: Mapping[str, Any]

    @property
    def config(self) -> Path | None:
        """The settings file that was named."""
        config: Path | None = self.values.get("config")
        return config

    def __call__(self, **more: Any) -> pipeline.settings.Settings:
        """The settings; sections and values in `more` are added to those of the command line."""
        sections: dict[str, Any] = {}
        for option in self.options:
            value = self.values[option.name]
            for key in option.keys:
                section, _, name = key.partition(".")
                # An option for a list that was not given is an empty one.
                sections.setdefault(section, {})[name] = None if value == [] else value
        for name, value in more.items():
            is_section = isinstance(value, Mapping)
            sections[name] = {**sections.get(name, {}), **value} if is_section else value
        return pipeline.settings.load_settings(self.config, sections)


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
            command(load=Load(options, values), **given)

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
