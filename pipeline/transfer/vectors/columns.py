"""Says which columns of somebody else's rows mean what: guessed by name and type, or as given."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from schemas.errors import UsageError
from schemas.named_vectors import MAX_NAME_CHARS, check_name

# By name, the likeliest first; in lower case.
_NAMES = {
    "vector": (
        "vector", "embedding", "embeddings", "image_embedding", "img_emb", "emb", "image_emb",
        "clip", "clip_embedding", "image_vector", "features", "feature",
    ),
    "uri": (
        "uri", "image_uri", "url", "image_url", "image_path", "img_path", "path", "file_path",
        "filepath", "file_name", "filename", "image",
    ),
    "id": ("id", "object_id", "annotation_id", "uuid"),
    "bbox": ("bbox", "bbox_xyxy", "bbox_xywh", "box", "xyxy"),
    "mask": ("mask", "rle", "segmentation"),
    "text": ("text", "caption", "txt", "description"),
    "sparse": ("sparse", "sparse_vector", "sparse_embedding"),
    "width": ("width", "image_width"),
    "height": ("height", "image_height"),
    "version": ("version", "etag"),
}  # fmt: skip
FIELDS = tuple(_NAMES)
NAMED = "vector."
"""Before the name of a further vector, as `vector.title`."""
# A column of numbers with one of these in its name is a further vector, and so is one whose lists
# are all of one length, unless that is so small that it may be a place or a time.
_OF_VECTORS = ("vec", "emb", "clip", "dino", "feature")
_LEAST_NUMBERS = 8
_NEEDED = {"vector": "a list of numbers for each row", "uri": "where the image of each row is"}
_ONLY_LIST = "the only list of numbers"
_REPEATED = "several columns have this name"


@dataclass(frozen=True, slots=True)
class Choice:
    """The columns that give a field, and why these."""

    field: str
    columns: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class ColumnMapping:
    """What each column is. `own` are the names under which others are kept, `left_out` the rest.

    `own` by column; `left_out` with the reason.
    """

    choices: tuple[Choice, ...]
    own: Mapping[str, str]
    left_out: Mapping[str, str]

    @cached_property
    def named(self) -> Mapping[str, str]:
        """The columns of named vectors, by their names."""
        fields = ((each.field.removeprefix(NAMED), each) for each in self.choices)
        return {name: each.columns[0] for name, each in fields if name != each.field}

    def without_named(self, name: str, why: str) -> ColumnMapping:
        """The same, but for the vectors of this name, which are left out."""
        kept = tuple(each for each in self.choices if each.field != NAMED + name)
        return ColumnMapping(kept, self.own, {**self.left_out, self.named[name]: why})

    def columns_of(self, field: str) -> tuple[str, ...]:
        """The columns that give a field; none if nothing does."""
        return next((each.columns for each in self.choices if each.field == field), ())

    @cached_property
    def single(self) -> Mapping[str, str]:
        """The one column that gives a field, by field; none for a field that nothing gives."""
        return {each.field: each.columns[0] for each in self.choices}

    @property
    def read(self) -> tuple[str, ...]:
        """All columns that are needed."""
        chosen = [name for each in self.choices for name in each.columns]
        return tuple(dict.fromkeys([*chosen, *self.own]))


def parse_columns(text: str) -> dict[str, tuple[str, ...]]:
    """The columns of `vector=emb,vector.title=t,sparse=idx+weights`, by field; `text=`: none.

    Raises UsageError that names what is wrong.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    for part in filter(None, text.split(",")):
        field, mark, columns = part.partition("=")
        field = field.strip()
        if not (field in _NAMES or field.startswith(NAMED)) or not mark:
            raise UsageError(
                f"expected FIELD=COLUMN in --columns, with one of {', '.join(FIELDS)}, "
                f"{NAMED}NAME, got {part!r}"
            )
        if field.startswith(NAMED):
            _check_name(field)
        names = [columns] if field != "sparse" else columns.split("+")
        chosen[field] = tuple(name.strip() for name in names if name.strip())
    return chosen


def _check_name(field: str) -> None:
    try:
        check_name(field.removeprefix(NAMED))
    except ValueError as exc:
        raise UsageError(f"{field} in --columns: {exc}") from exc


def choose_columns(schema: pa.Schema, given: Mapping[str, Sequence[str]]) -> ColumnMapping:
    """What the columns of a schema are: as `given`, else as their names and types say.

    Raises UsageError where vectors or uris cannot be found, or a column that is given is not there.
    """
    repeated = {name for name, count in Counter(schema.names).items() if count > 1}
    _check_given(schema, given, repeated)
    taken = {name for names in given.values() for name in names} | repeated
    choices = []
    for field in FIELDS:
        if field in given:
            choice = Choice(field, tuple(given[field]), "--columns")
        else:
            choice = _guess(field, schema, taken)
        taken.update(choice.columns)
        if choice.columns:
            choices.append(choice)
        elif field in _NEEDED:
            raise _missing(field, schema)
    named = [
        Choice(field, tuple(columns), "--columns")
        for field, columns in given.items()
        if field.startswith(NAMED) and columns
    ]
    named += _guess_named(schema, taken, given)
    taken.update(name for each in named for name in each.columns)
    # What the user's rows are called stays to be seen, and filtered by.
    identities = [name for each in choices if each.field in ("id", "text") for name in each.columns]
    own, left_out = _choose_own(schema, taken - set(identities))
    left_out |= dict.fromkeys(sorted(repeated), _REPEATED)
    return ColumnMapping((*choices, *named), own, left_out)


def _guess_named(
    schema: pa.Schema, taken: Collection[str], given: Mapping[str, Sequence[str]]
) -> list[Choice]:
    """Further vectors, by their columns' names, but for names that are `given`."""
    found: dict[str, Choice] = {}
    for column in schema:
        field = NAMED + _to_name(column.name)
        if column.name in taken or field in (NAMED, *given, *found):
            continue
        if _is_plainly_vector(column):
            why = f"a further vector, {column.type}"
            found[field] = Choice(field, (column.name,), why)
    return list(found.values())


def _is_plainly_vector(column: pa.Field) -> bool:
    if not _is_number_list(column.type):
        return False
    if pa.types.is_fixed_size_list(column.type):
        return bool(column.type.list_size >= _LEAST_NUMBERS)
    return any(part in column.name.lower() for part in _OF_VECTORS)


def _to_name(column: str) -> str:
    return re.sub(r"\W", "_", column)[:MAX_NAME_CHARS]


def _check_given(
    schema: pa.Schema, given: Mapping[str, Sequence[str]], repeated: Collection[str]
) -> None:
    for field, names in given.items():
        for name in names:
            if name not in schema.names:
                raise UsageError(
                    f"expected a column for {field} among {', '.join(schema.names)}, got {name!r}"
                )
            if name in repeated:
                raise UsageError(
                    f"expected one column for {field} that is called {name!r}, got several"
                )
            if field.partition(".")[0] == "vector" and not _is_number_list(schema.field(name).type):
                raise UsageError(
                    f"expected lists of numbers in the column {name!r}, "
                    f"got {schema.field(name).type}"
                )


def _missing(field: str, schema: pa.Schema) -> UsageError:
    columns = ", ".join(f"{each.name} ({each.type})" for each in schema)
    return UsageError(
        f"expected a column that is {_NEEDED[field]}, none of {columns} is plainly that: "
        f"name it with --columns {field}=COLUMN"
    )


def _guess(field: str, schema: pa.Schema, taken: set[str]) -> Choice:
    free = {name.lower(): name for name in reversed(schema.names) if name not in taken}
    for name in _NAMES[field]:
        if name in free and _fits(field, schema.field(free[name]).type):
            return Choice(field, (free[name],), f"its name, {schema.field(free[name]).type}")
    if field == "vector":
        others = {name for names in _NAMES.values() for name in names}
        lists = [
            name
            for lower, name in free.items()
            if lower not in others and _fits(field, schema.field(name).type)
        ]
        if len(lists) == 1:
            return Choice(field, (lists[0],), f"{_ONLY_LIST}, {schema.field(lists[0]).type}")
    return Choice(field, (), "")


def _fits(field: str, kind: pa.DataType) -> bool:
    if field == "vector":
        return _is_number_list(kind)
    if field in ("uri", "text", "version"):
        return _is_text(kind)
    if field in ("width", "height"):
        return bool(pa.types.is_integer(kind))
    if field == "bbox":
        return _is_number_list(kind, whole=True) or bool(pa.types.is_struct(kind))
    if field == "sparse":
        return bool(pa.types.is_struct(kind)) or _is_text(kind)
    if field == "mask":
        return bool(pa.types.is_struct(kind)) or _is_text(kind) or _is_list(kind)
    return pa.types.is_integer(kind) or _is_text(kind)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_number_list(kind: pa.DataType, *, whole: bool = False) -> bool:
    if not _is_list(kind):
        return False
    item = kind.value_type
    return bool(pa.types.is_floating(item) or (whole and pa.types.is_integer(item)))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _choose_own(schema: pa.Schema, taken: set[str]) -> tuple[dict[str, str], dict[str, str]]:
    own: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for column in schema:
        if column.name in taken:
            continue
        name = _to_name(column.name)
        if _is_number_list(column.type):
            left_out[column.name] = f"a further vector ({column.type})"
        elif not _can_be_own(column.type):
            left_out[column.name] = f"no text, number or truth ({column.type})"
        elif not name or name in own.values():
            left_out[column.name] = "another column has the same name but for its signs"
        else:
            own[column.name] = name
    return own, left_out


def _can_be_own(kind: pa.DataType) -> bool:
    types = pa.types
    if _is_list(kind):
        return bool(_is_text(kind.value_type))
    return bool(
        _is_text(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_decimal(kind)
        or types.is_timestamp(kind)
        or types.is_date(kind)
    )
