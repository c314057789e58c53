"""How fast a machine is at each stage, and how large what it writes: measured, or read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from pipeline.planning.toml_files import (
    Figures,
    bundled_names,
    parse,
    read_bundled,
    read_file,
)
from schemas.errors import UsageError
from workers.durable_files import write_output

_MACHINE_NOTES = ("prices", "searches")
"""Files beside the profiles that are none."""


class StageSeconds(Figures):
    """Seconds of one worker, reader or writer while the others are at work too.

    `start` is until work on the first image begins; `list_page` a thousand keys; `read` one image
    with nothing else in flight; `decode_mpx` a megapixel; `segment` an image whatever its size, and
    `segment_mpx` what each megapixel adds; `embed` the model's, `finish` crops, labels, thumbnails
    and checks, `write` index and manifest, each of a point.
    """

    start: float = Field(ge=0)
    list_page: float = Field(ge=0)
    read: float = Field(ge=0)
    decode_mpx: float = Field(ge=0)
    segment: float = Field(ge=0)
    segment_mpx: float = Field(default=0, ge=0)
    embed: float = Field(ge=0)
    finish: float = Field(ge=0)
    write: float = Field(ge=0)


class PointBytes(Figures):
    """Of a point: its payload as JSON without its thumbnail, and that as text."""

    payload: float = Field(ge=0)
    thumbnail: float = Field(ge=0)


class Profile(Figures):
    """One machine with one set of models.

    `workers` were at work at once, on images of `megapixels` with `objects` each; `cpu_s` is what
    all of a machine's cores together have spent on an image, None where that is not known.
    `instance` names its price, empty: nobody knows one. `gpus` of the machine; `sources` says of
    each figure of `seconds` and `bytes` where it is from, or of all of them as `all`.
    """

    name: str = Field(min_length=1)
    hardware: str = Field(min_length=1)
    models: str = Field(min_length=1)
    instance: str = ""
    cores: int = Field(ge=1)
    gpus: int = Field(default=0, ge=0)
    workers: int = Field(default=1, ge=1)
    megapixels: float = Field(gt=0)
    image_bytes: float = Field(gt=0)
    objects: float = Field(ge=0)
    dim: int = Field(ge=1)
    cpu_s: float | None = Field(default=None, ge=0)
    seconds: StageSeconds
    bytes: PointBytes
    sources: dict[str, str]

    @property
    def _given(self) -> set[str]:
        return self.seconds.model_fields_set | self.bytes.model_fields_set

    @model_validator(mode="after")
    def _says_where_all_is_from(self) -> Profile:
        figures = [*StageSeconds.model_fields, *PointBytes.model_fields]
        figures = [name for name in figures if name in self._given]
        unsourced = [name for name in figures if name not in self.sources]
        if unsourced and "all" not in self.sources:
            raise ValueError(f"expected the source of each figure, got none of {unsourced[0]}")
        return self


def profile_names() -> list[str]:
    """The profiles that come with objseek."""
    return [name for name in bundled_names() if name not in _MACHINE_NOTES]


def read_profile(name: str) -> Profile:
    """A profile by its name, or by the path of its `.toml` file. Raises UsageError."""
    if name.endswith(".toml"):
        return parse(Profile, read_file(Path(name), "a profile"), f"the profile {name}")
    if name not in profile_names():
        raise UsageError(
            f"expected {', '.join(profile_names())} or the .toml file of a profile, got {name!r}: "
            "on such a machine `objseek plan SOURCE --save-profile FILE.toml` makes one"
        )
    return parse(Profile, read_bundled(name), f"the profile {name}")


def save_profile(profile: Profile, path: Path) -> None:
    """Write a profile as TOML that `read_profile` reads. Raises UsageError."""
    values = profile.model_dump(exclude_none=True)
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    lines = [_line(key, value) for key, value in values.items() if key not in tables]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(_line(key, value) for key, value in table.items())]
    with write_output(path, "the profile") as file:
        file.write("\n".join([*lines, ""]).encode())


def _line(key: str, value: Any) -> str:
    # A number, or a text: as JSON both are TOML as well.
    shown = round(value, 9) if isinstance(value, float) else value
    return f"{key} = {json.dumps(shown, ensure_ascii=False)}"
