"""Says what of a source is listed, and how."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from schemas.listed_part import KeyRange, Shard


class SelectionOptions(BaseModel):
    """Patterns are `fnmatch` patterns against the whole key or path.

    `videos` are listed too, where PyAV is installed; with `animations` GIF and WebP files are taken
    as videos, those that do not move as videos of one frame.

    A job may take a part: `shard`, such as `3/8`, is the third of eight parts of any source, about
    as large as the others and the same for ever; `key_range`, such as `a..m`, are the whole keys
    (of files: absolute paths) from the first text on and before the second, by their bytes.

    `list_threads` pages of a bucket with folders are requested at a time; 1: one after the other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    videos: bool = True
    animations: bool = False
    shard: str | None = None
    key_range: str | None = None
    list_threads: int = Field(default=8, ge=1, le=64)

    @property
    def has_videos(self) -> bool:
        """Whether anything that is listed may be read as a video."""
        return self.videos or self.animations

    @property
    def chosen_shard(self) -> Shard | None:
        """The shard, parsed."""
        return None if self.shard is None else Shard.parse(self.shard)

    @property
    def chosen_keys(self) -> KeyRange | None:
        """The range of keys, parsed."""
        return None if self.key_range is None else KeyRange.parse(self.key_range)

    def without_videos(self) -> Self:
        """The same for whoever looks at images alone."""
        return self.model_copy(update={"videos": False, "animations": False})

    @field_validator("shard")
    @classmethod
    def _shard_is_one(cls, given: str | None) -> str | None:
        return None if given is None else str(Shard.parse(given))

    @field_validator("key_range")
    @classmethod
    def _range_is_one(cls, given: str | None) -> str | None:
        if given is not None:
            KeyRange.parse(given)
        return given
