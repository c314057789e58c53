"""Settings: defaults, then the TOML file, then OBJSEEK_… variables, then the command line."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from schemas.errors import UsageError
from schemas.fusion import SearchOptions
from schemas.observe_options import ObserveOptions
from schemas.options import (
    DecodeOptions,
    EmbedderOptions,
    IndexOptions,
    LabelOptions,
    Precision,
    RunnerOptions,
    SegmenterOptions,
    StoreOptions,
    VideoOptions,
)
from schemas.serve_options import ServeOptions

_PREFIX = "OBJSEEK_"
# Variables that are no settings: which settings file, what tests use.
_OTHER_VARIABLES = ("OBJSEEK_CONFIG",)
_TEST_PREFIX = "OBJSEEK_TEST_"


class Settings(BaseSettings):
    """Everything that an ingest or a search can be asked for.

    `cache_dir` is the folder for fetched weights, None: the user's cache; `limit` ends an ingest
    after so many images. `boxes` is a COCO or Parquet file of boxes around objects, with which
    images are segmented (see `read_boxes`). `text_prompts` is a file of texts, one a line: only
    objects that show one of them come into the index.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )
    store: StoreOptions = StoreOptions()
    decode: DecodeOptions = DecodeOptions()
    video: VideoOptions = VideoOptions()
    segmenter: SegmenterOptions = SegmenterOptions()
    embedder: EmbedderOptions = EmbedderOptions()
    labels: LabelOptions = LabelOptions()
    index: IndexOptions = IndexOptions()
    search: SearchOptions = SearchOptions()
    runner: RunnerOptions = RunnerOptions()
    serve: ServeOptions = ServeOptions()
    observe: ObserveOptions = ObserveOptions()
    cache_dir: Path | None = None
    limit: int | None = Field(default=None, ge=1)
    boxes: Path | None = None
    text_prompts: Path | None = None

    def with_precision(self, precision: Precision) -> Self:
        """These settings with what both models compute in said."""
        segmenter = self.segmenter.model_copy(update={"precision": precision.segmenter})
        embedder = self.embedder.model_copy(update={"precision": precision.embedder})
        return self.model_copy(update={"segmenter": segmenter, "embedder": embedder})

    @field_validator("cache_dir", "boxes", "text_prompts", mode="before")
    @classmethod
    def _expand_home(cls, path: object) -> object:
        # A variable that is set to nothing names none.
        return Path(path).expanduser() if isinstance(path, str) and path else path or None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings


def load_settings(config: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """The settings of a run; `overrides` (the command line) is nested as the settings are.

    An override of None counts as not given. Raises UsageError that names the first unknown key or
    wrong value, and where it stands.
    """
    known = set(_paths(Settings))
    _check_variables(os.environ, known)
    try:
        variables = EnvSettingsSource(Settings)()
    except SettingsError as exc:
        raise UsageError(f"expected JSON in {_unparsable(exc)}, got: {exc.__cause__}") from exc
    layers = {
        "the command line": _drop_unset(overrides),
        f"the {_PREFIX}… variables": variables,
        f"the settings file {config}": {} if config is None else _read_toml(config, known),
    }
    merged: dict[str, Any] = {}
    for layer in reversed(layers.values()):
        merged = _merge(merged, layer)
    try:
        return Settings(**merged)
    except ValidationError as exc:
        raise UsageError(_sentence(exc, layers)) from exc


def _unparsable(error: SettingsError) -> str:
    """The variables that may be the one meant: pydantic-settings names the section alone."""
    section = re.findall(r'"(\w+)"', str(error))
    start = _PREFIX + (section[0].upper() if section else "")
    named = sorted(name for name in os.environ if name.upper().startswith(start))
    return " or ".join(named) or f"an {_PREFIX}… variable"


def _paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every section and setting by its dotted name."""
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _paths(field.annotation, f"{prefix}{name}.")


def _check_variables(environ: Iterable[str], known: set[str]) -> None:
    allowed = {_PREFIX + path.replace(".", "__").upper() for path in known}
    allowed.update(_OTHER_VARIABLES)
    for name in sorted(environ):
        # As pydantic-settings reads them: in any case.
        upper = name.upper()
        if not upper.startswith(_PREFIX) or upper.startswith(_TEST_PREFIX) or upper in allowed:
            continue
        raise UsageError(f"no setting belongs to the variable {name}{_near(upper, allowed)}")


def _read_toml(path: Path, known: set[str]) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"the settings file {path} cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise UsageError(f"the settings file {path} is not TOML: {exc}") from exc
    for name in _keys(values):
        if name not in known:
            raise UsageError(f"unknown setting {name} in {path}{_near(name, known)}")
    return values


def _keys(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")


def _near(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8)
    return f": did you mean {near[0]}?" if near else ""


def _drop_unset(overrides: Mapping[str, Any]) -> dict[str, Any]:
    values = {
        name: _drop_unset(value) if isinstance(value, Mapping) else value
        for name, value in overrides.items()
    }
    return {name: value for name, value in values.items() if value is not None and value != {}}


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        lower = merged.get(name)
        both = isinstance(value, Mapping) and isinstance(lower, Mapping)
        merged[name] = _merge(lower, value) if both and lower is not None else value
    return merged


def _sentence(error: ValidationError, layers: Mapping[str, Mapping[str, Any]]) -> str:
    first = error.errors(include_url=False)[0]
    location = first["loc"]
    where = next((name for name, layer in layers.items() if _holds(layer, location)), "")
    dotted = ".".join(map(str, location))
    # A key for a server must not be repeated on a screen.
    got = "" if dotted == "index.api_key" else f", got {first['input']!r}"
    if first["type"] == "extra_forbidden":
        return f"unknown setting {dotted} in {where}{_near(dotted, set(_paths(Settings)))}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":  # the message tells the values
        return f"setting {dotted}: {message}"
    return f"setting {dotted}: {message[0].lower()}{message[1:]}{got} in {where}"


def _holds(layer: Any, location: tuple[int | str, ...]) -> bool:
    for part in location:
        if isinstance(layer, Mapping) and part in layer:
            layer = layer[part]
        else:
            # Below a value that is no table there are only the parts of that value.
            return layer is not None and not isinstance(layer, Mapping)
    return True
