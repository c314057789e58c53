"""Indexes of one name side by side, of which one is searched and written to: its generations.

An index that was never embedded again has one, `FIRST`. Others lie in its folder below
`generations/`, and its file `current` names the one in use; on a Qdrant server they are collections
of their own, and an alias says which.
"""

from __future__ import annotations

from typing import Protocol

FIRST = "first"


class Generations(Protocol):
    """Raises IndexUnavailableError where folder or server cannot be asked."""

    def names(self) -> list[str]:
        """All that are there, in the order of their names but for the first."""
        ...

    def current(self) -> str:
        """The one in use, whether it is there or not."""
        ...

    def location(self, name: str) -> str:
        """Where an index of this name is, or would be."""
        ...

    def use(self, name: str) -> None:
        """Have this one searched and written to from now on: at once, durably."""
        ...

    def drop(self, name: str) -> None:
        """Remove its points for good. Raises IndexBusyError while another process has it open."""
        ...
