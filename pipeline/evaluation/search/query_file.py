"""Reads and writes files of queries with what is right for each, a JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipeline.evaluation.search.query_result import QueryKind
from pipeline.search.filter_syntax import parse_conditions
from pipeline.search.query_examples import parse_object_id
from schemas.coco_reader import show
from schemas.errors import DatasetError, ObjseekError, UsageError
from schemas.search import MAX_CONDITIONS, MAX_TEXT_CHARS, Box, Condition, Text
from workers.durable_files import write_output

_ASKED = ("text", "image", "object")
_EXPECTED = {
    "name": "a text",
    "text": f"a text of at most {MAX_TEXT_CHARS:,} characters",
    "image": "a uri or a path",
    "box_xyxy": "four whole numbers x0, y0, x1, y1",
    "object": "the id of an indexed object",
    "filter": f"a list of at most {MAX_CONDITIONS} conditions such as area_frac>0.05",
    "right": "an object with lists of objects or labels, or {}",
    "objects": "a list of ids of indexed objects",
    "labels": "a list of labels",
}
_Name = Annotated[str, Field(min_length=1)]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RightAnswers(_Line):
    """What is right for a query: indexed objects by their ids, and objects of the truth by labels.

    Without any of them, what is asked for is not there.
    """

    objects: tuple[str, ...] = ()
    labels: tuple[_Name, ...] = ()

    @field_validator("objects")
    @classmethod
    def _check_ids(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        """In the form that an index has them, each once."""
        return tuple(dict.fromkeys(map(_parse_id, ids)))


class JudgedQuery(_Line):
    """A text, a box in an image (a uri or path), or an indexed object; and what is right for it.

    `filter` are conditions as `objseek search --filter` takes them. `name` is what results call it.
    """

    name: _Name | None = None
    text: Text | None = None
    image: _Name | None = None
    box_xyxy: Box | None = None
    object: str | None = None
    filter: tuple[str, ...] = Field(default=(), max_length=MAX_CONDITIONS)
    right: RightAnswers

    @field_validator("object")
    @classmethod
    def _check_id(cls, identity: str | None) -> str | None:
        return None if identity is None else _parse_id(identity)

    @field_validator("filter")
    @classmethod
    def _check_filter(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        try:
            parse_conditions(texts)
        except UsageError as exc:
            raise ValueError(str(exc)) from exc
        return texts

    @model_validator(mode="after")
    def _check_query(self) -> Self:
        given = [field for field in _ASKED if getattr(self, field) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"expected one of {', '.join(_ASKED)}, got {got}")
        if (self.image is None) != (self.box_xyxy is None):
            missing = "image" if self.image is None else "box_xyxy"
            raise ValueError(f"expected image and box_xyxy together, got no {missing}")
        if self.text is not None and not self.text.strip():
            raise ValueError("expected a text to search for, got a blank one")
        if self.box_xyxy is not None:
            x0, y0, x1, y1 = self.box_xyxy
            if not (0 <= x0 < x1 and 0 <= y0 < y1):
                raise ValueError(f"expected box_xyxy as x0, y0, x1, y1, got {x0},{y0},{x1},{y1}")
        return self

    @property
    def kind(self) -> QueryKind:
        if self.text is not None:
            return QueryKind.TEXT
        return QueryKind.OBJECT if self.image is None else QueryKind.IMAGE

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The filter, parsed."""
        return parse_conditions(self.filter)


@dataclass(frozen=True, slots=True)
class QueryLine:
    """A query, and where it stands."""

    path: Path
    number: int
    query: JudgedQuery

    def error(self, reason: ObjseekError | str) -> DatasetError:
        """What is wrong with it, and where."""
        return DatasetError(f"{self.path}, line {self.number}: {reason}")

    @property
    def name(self) -> str:
        """What it is called, else what it asks for."""
        query = self.query
        if query.name or query.text:
            return str(query.name or query.text)
        if query.object is not None:
            return f"object {query.object}"
        return f"{query.image} at {','.join(map(str, query.box_xyxy or ()))}"


def _parse_id(text: str) -> str:
    """In the form that an index has it. Raises ValueError for what is no id."""
    try:
        return str(parse_object_id(text))
    except UsageError as exc:
        raise ValueError(str(exc)) from exc


def read_queries(path: Path) -> list[QueryLine]:
    """The queries of a file, blank lines left out.

    Raises DatasetError that names the file, the line and what was expected there.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as exc:
        raise DatasetError(
            f"expected a file of queries at {path}, it cannot be read: {exc.strerror}"
        ) from exc
    except UnicodeDecodeError as exc:
        raise DatasetError(f"expected queries in UTF-8, {path} is not: {exc.reason}") from exc
    lines = enumerate(text.split("\n"), start=1)
    queries = [_read_line(path, number, line) for number, line in lines if line.strip()]
    if not queries:
        raise DatasetError(f"expected a query a line in {path}, it has none")
    return queries


def _read_line(path: Path, number: int, line: str) -> QueryLine:
    where = f"{path}, line {number}"
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise DatasetError(f"{where}: expected a JSON object, got {show(line.strip())}") from exc
    try:
        return QueryLine(path, number, JudgedQuery.model_validate(content))
    except ValidationError as exc:
        raise DatasetError(f"{where}: {_describe(exc)}") from exc


def _describe(exc: ValidationError) -> str:
    """What is wrong first with a line."""
    error = exc.errors(include_url=False)[0]
    fields = [part for part in error["loc"] if isinstance(part, str)]
    if error["type"] == "value_error":
        return ": ".join([*fields[-1:], error["msg"].removeprefix("Value error, ")])
    if error["type"] == "extra_forbidden":
        known = RightAnswers if len(fields) > 1 else JudgedQuery
        return f"expected one of {', '.join(known.model_fields)}, got {'.'.join(fields)}"
    if not fields:
        return f"expected a JSON object, got {show(error['input'])}"
    if error["type"] == "missing" and fields == ["right"]:
        return f"expected right, {_EXPECTED['right']}, there is none"
    return f"expected {fields[-1]} to be {_EXPECTED[fields[-1]]}, got {show(error['input'])}"


def write_queries(path: Path, queries: Iterable[JudgedQuery]) -> None:
    """Write a file of queries, all of it or nothing. Raises UsageError where it cannot be."""
    with write_output(path, "the queries") as file:
        for query in queries:
            fields: dict[str, Any] = query.model_dump(exclude_defaults=True)
            line = json.dumps(fields, ensure_ascii=False)
            file.write(f"{line}\n".encode("utf-8", "backslashreplace"))
