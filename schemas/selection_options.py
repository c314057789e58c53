"""Says what of a source is listed, and how."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field


class SelectionOptions(BaseModel):
    """Patterns are `fnmatch` patterns against the whole key or path.

    `videos` are listed too, where PyAV is installed; with `animations` GIF and WebP files are taken
    as videos, those that do not move as videos of one frame.

    `list_threads` pages of a bucket with folders are requested at a time; 1: one after the other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    videos: bool = True
    animations: bool = False
    list_threads: int = Field(default=8, ge=1, le=64)

    @property
    def has_videos(self) -> bool:
        """Whether anything that is listed may be read as a video."""
        return self.videos or self.animations

    def without_videos(self) -> Self:
        """The same for whoever looks at images alone."""
        return self.model_copy(update={"videos": False, "animations": False})
