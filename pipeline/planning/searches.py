"""What a search of an index in a bucket asks of it, as it was measured."""

from __future__ import annotations

from pydantic import Field

from pipeline.planning.toml_files import Figures, parse, read_bundled


class Searches(Figures):
    """GETs of a search by a text; `warm`: in a process that has searched before."""

    source: str
    gets_warm: float = Field(ge=0)


def read_searches() -> Searches:
    """The figures that come with objseek."""
    return parse(Searches, read_bundled("searches"), "the figures of searches")
