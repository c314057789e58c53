"""Defines generations: indexes of one name side by side, of which one is searched and written to.

An index that was never embedded again has one generation, `FIRST`. Others are in its folder below
`generations/`, and its file `current` names the one in use; on a Qdrant server they are collections
of their own, and an alias names the one in use.
"""

from __future__ import annotations

from typing import Protocol

FIRST = "first"


class Generations(Protocol):
    """The generations of an index. Raises IndexUnavailableError if it cannot be reached."""

    def names(self) -> list[str]:
        """All existing generations: the first, then the others by name."""
        ...

    def current(self) -> str:
        """The generation in use, whether it exists or not."""
        ...

    def location(self, name: str) -> str:
        """Where the generation of this name is, or would be."""
        ...

    def use(self, name: str) -> None:
        """Search and write to this generation from now on: at once, durably."""
        ...

    def drop(self, name: str) -> None:
        """Remove a generation for good. Raises IndexBusyError while another process has it open."""
        ...
