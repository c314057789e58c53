"""Defines the request and response of the search service that tag objects."""

from __future__ import annotations

import uuid
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.search import MAX_CONDITIONS, Text
from schemas.tags import MOST_TAGS

MOST_TAGGED = 1000
"""Objects of a request."""
MOST_FILTERED = 100_000
"""Objects that a service tags by a filter."""
_IDS = Field(default=(), max_length=MOST_TAGGED)
_FILTER = Field(default=(), max_length=MAX_CONDITIONS)
_TAGS = Field(default=(), max_length=MOST_TAGS)


class TagRequest(BaseModel):
    """Tags that objects are to have from now on, and tags that are to be taken from them.

    A tag has 1 to 64 characters; upper and lower case count. `filter` has conditions such as
    `labels=dog` in place of ids: all objects that meet them are meant.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"object_ids": ["5b2d6c1e-7f0e-5b52-9d8a-0f6a3b0c2e11"], "add": ["to print"]}
            ]
        },
    )
    object_ids: tuple[uuid.UUID, ...] = _IDS
    filter: tuple[Text, ...] = _FILTER
    add: tuple[Text, ...] = _TAGS
    remove: tuple[Text, ...] = _TAGS

    @model_validator(mode="after")
    def _check_objects(self) -> Self:
        if bool(self.object_ids) == bool(self.filter):
            raise ValueError("expected object_ids or a filter, got both or neither")
        return self


class TagAnswer(BaseModel):
    """How many objects were found, and how many have other tags than before.

    `tags` are what each has now, by id, of those that were named by ids; there are no objects of
    the ids that are `missing`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    found: int
    changed: int
    tags: dict[uuid.UUID, tuple[str, ...]] = {}
    missing: tuple[uuid.UUID, ...] = ()
