"""Declares --state and --only for commands that choose images by state, and takes older spellings.

Once --state chose images there, and the place of the record, --state everywhere else, was
--state-place.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from pipeline.cli.console import print_note
from pipeline.cli.options import INGEST_OPTIONS, STATE
from schemas.errors import UsageError


class UnfinishedState(StrEnum):
    """The states of images that are not in the index."""

    REJECTED = "rejected"
    FAILED = "failed"
    GONE = "gone"


_STATES = {state.value for state in UnfinishedState}
ONLY_HELP = "Only images in this state. May be given several times."
StatePlaces = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="PLACE",
        help="Where the record of each image is kept: a folder or s3://bucket/prefix.",
        show_default="with the index",
    ),
]
OldStatePlace = Annotated[str | None, typer.Option("--state-place", hidden=True)]
OPTIONS_WITHOUT_STATE = tuple(option for option in INGEST_OPTIONS if option is not STATE)


def sort_states(
    only: Sequence[UnfinishedState] | None, given: Sequence[str] | None, old_place: str | None
) -> tuple[list[UnfinishedState], str | None]:
    """The states that were chosen, and where the record is, if that was said.

    What was given in an older spelling is taken, and a line says how it is spelt now. Raises
    UsageError for two places.
    """
    states, places = list(only or ()), []
    for value in given or ():
        if value in _STATES:
            states.append(UnfinishedState(value))
        else:
            places.append(value)
    older = [f"--state {value}" for value in given or () if value in _STATES]
    newer = [spelling.replace("--state", "--only") for spelling in older]
    if old_place is not None:
        places.append(old_place)
        older.append("--state-place")
        newer.append("--state")
    if older:
        print_note(f"note: {' '.join(older)} is spelt {' '.join(newer)} now")
    if len(places) > 1:
        raise UsageError(f"expected one place with --state, got {' and '.join(places)}")
    return states, places[0] if places else None
