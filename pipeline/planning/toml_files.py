"""Reads TOML files of figures into models: one that comes with objseek by name, others by path."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.messages import validation_sentence
from schemas.errors import UsageError

_PACKAGE = "pipeline.planning"
_FOLDER = "profiles"
_SUFFIX = ".toml"
_Model = TypeVar("_Model", bound=BaseModel)


class Figures(BaseModel):
    """A table of figures: all finite, and none that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def read_bundled(name: str) -> dict[str, Any]:
    """The tables of a file that comes with objseek. Raises FileNotFoundError."""
    return tomllib.loads(_folder().joinpath(name + _SUFFIX).read_text(encoding="utf-8"))


def bundled_names() -> list[str]:
    """The names of the files that come with objseek."""
    names = (path.name for path in _folder().iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))


def read_file(path: Path, what: str) -> dict[str, Any]:
    """The tables of a user's file. Raises UsageError that says `what` it should have been."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"expected {what}, got {path}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise UsageError(f"expected {what}, got {path}, which is not TOML: {exc}") from exc


def parse(model: type[_Model], values: dict[str, Any], where: str) -> _Model:
    """The values as `model` has them. Raises UsageError that names the first wrong one."""
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        raise UsageError(f"{where}: {validation_sentence(exc)}") from exc


def _folder() -> Any:
    return resources.files(_PACKAGE).joinpath(_FOLDER)
