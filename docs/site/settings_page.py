"""Writes the reference of settings: of each its name, variable, values, default."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from docs.site.markdown import write_code, write_docstring, write_table
from pipeline.settings import Settings

_INTRODUCTION = """# Settings

Every setting is a key of a TOML file (`--config FILE`, its section in brackets, as in
`[segmenter]`) and an environment variable; many are options of commands as well. The command line
wins over variables, variables over the file. `None` is the default that the text names.
"""
_WORDS = {
    str: "text", int: "whole number", float: "number", bool: "`true`, `false`", Path: "path",
    SecretStr: "text, kept secret",
}  # fmt: skip
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def write_settings() -> str:
    """The page: a section of it for each section of settings, in their order."""
    return "\n".join([_INTRODUCTION, *_write_sections(Settings, "")])


def _write_sections(model: type[BaseModel], prefix: str) -> Iterator[str]:
    fields = model.model_fields.items()
    plain = [(name, field) for name, field in fields if not _is_section(field)]
    sections = [(name, field) for name, field in fields if _is_section(field)]
    heading = prefix.removesuffix(".") or "Without a section"
    yield f"\n## {heading}\n"
    yield from (write_docstring(text) + "\n" for text in _docstrings(model))
    if plain:
        rows = [_write_row(model, prefix, name, field) for name, field in plain]
        yield write_table(("setting", "values", "default", "variable"), rows)
    for name, field in sections:
        yield from _write_sections(
            typing.cast(type[BaseModel], field.annotation), f"{prefix}{name}."
        )


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _docstrings(model: type[BaseModel]) -> Iterator[str]:
    """Those of the model and of what it inherits settings from."""
    for each in model.__mro__:
        if each.__module__.startswith(("schemas.", "pipeline.")) and each.__dict__.get("__doc__"):
            yield str(each.__doc__)


def _write_row(
    model: type[BaseModel], prefix: str, name: str, field: FieldInfo
) -> tuple[str, str, str, str]:
    dotted = prefix + name
    variable = "OBJSEEK_" + dotted.replace(".", "__").upper()
    # A model may have a default of its own for what it is made with nothing.
    default = field.default if field.default is not PydanticUndefined else getattr(model(), name)
    bounds = ", ".join(
        f"{sign} {getattr(bound, word):g}"
        for bound in field.metadata
        for word, sign in _BOUNDS.items()
        if hasattr(bound, word)
    )
    values = ", ".join(filter(None, (describe_values(field.annotation), bounds)))
    return f"`{dotted}`", values, write_code(_write_default(default)), f"`{variable}`"


def _write_default(value: object) -> object:
    return f'"{value}"' if isinstance(value, str) else value


def describe_values(annotation: Any) -> str:
    """What values a type has, in words."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return describe_values(parts[0])
    if origin is Literal:
        return ", ".join(f'`"{part}"`' if isinstance(part, str) else f"`{part}`" for part in parts)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(describe_values(part) for part in parts if part is not types.NoneType)
    if origin is tuple and Ellipsis not in parts:
        return f"{len(parts)} of: {describe_values(parts[0])}"
    if origin in (tuple, list, frozenset):
        return f"list of: {describe_values(parts[0])}"
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))
