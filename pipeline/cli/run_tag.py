"""Tags objects, here or by the service that has the index open, and lists tags."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import typer

from pipeline.cli.console import out, print_note
from pipeline.cli.service_fallback import run_or_delegate
from pipeline.cli.tables import print_rows
from pipeline.jobs.tag import find_objects, tag_objects
from pipeline.messages import quantify
from pipeline.search.filter_syntax import parse_conditions
from pipeline.search.query_examples import parse_object_id
from pipeline.search.searcher import Searcher
from pipeline.service.client import Client
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.points import FacetCount
from schemas.search import Condition
from schemas.tag_api import MOST_TAGGED, TagRequest
from schemas.tags import TAGS, TagChange
from workers.batching import batched

_STDIN = "-"
_MOST_LISTED = 1000
_SHOWN = 3
_OBJECTS = Condition(field="kind", op="=", value="object")


@dataclass(frozen=True, slots=True)
class ChosenObjects:
    """Objects by their ids, or all that meet `filters`."""

    ids: tuple[uuid.UUID, ...]
    filters: tuple[str, ...] = ()


@dataclass(slots=True)
class _Tally:
    """What became of objects: `found` of them are there, `changed` have other tags than before."""

    found: int = 0
    changed: int = 0
    missing: tuple[uuid.UUID, ...] = ()


def choose_objects(object_ids: Sequence[str], filters: Sequence[str]) -> ChosenObjects:
    """The objects that a user means. Raises UsageError for none, and for ids beside filters."""
    if object_ids and filters:
        raise UsageError("expected ids of objects or a --filter, got both")
    if filters:
        parse_conditions(filters)
        return ChosenObjects((), tuple(filters))
    lines = [
        line
        for each in object_ids
        for line in (sys.stdin.read().split() if each == _STDIN else [each])
    ]
    if not lines:
        raise UsageError("expected ids of objects to tag, or a --filter, got none")
    return ChosenObjects(tuple(map(parse_object_id, lines)))


def tag(
    settings: Settings,
    which: ChosenObjects,
    add: Sequence[str],
    remove: Sequence[str],
    *,
    as_json: bool,
) -> None:
    """Change the tags of objects, and say of how many. Raises ObjseekError."""
    change = TagChange.parse(add, remove)
    tally = run_or_delegate(
        settings.index.location,
        lambda: _tag_here(settings, which, change),
        lambda service: _tag_by_service(service, which, change),
    )
    if as_json:
        missing = [str(identity) for identity in tally.missing]
        typer.echo(json.dumps({"found": tally.found, "changed": tally.changed, "missing": missing}))
    else:
        out().print(f"{quantify(tally.found, 'object')}, {tally.changed:,} changed")
    if tally.missing:
        shown = ", ".join(map(str, tally.missing[:_SHOWN]))
        raise UsageError(
            f"expected ids of objects of the index, it has none of {len(tally.missing)} of them: "
            f"{shown}"
        )


def _tag_here(settings: Settings, which: ChosenObjects, change: TagChange) -> _Tally:
    tally = _Tally()
    with Searcher.open(settings) as searcher:
        ids = which.ids or tuple(find_objects(parse_conditions(which.filters), searcher))
        for batch in batched(ids, MOST_TAGGED):
            done = tag_objects(batch, change, searcher)
            tally.found += len(done.tags)
            tally.changed += len(done.changed)
            tally.missing += done.missing
    return tally


def _tag_by_service(service: Client, which: ChosenObjects, change: TagChange) -> _Tally:
    tally = _Tally()
    add, remove = change.add, change.remove
    requests = [
        TagRequest(object_ids=tuple(batch), add=add, remove=remove)
        for batch in batched(which.ids, MOST_TAGGED)
    ]
    if which.filters:
        requests = [TagRequest(filter=which.filters, add=add, remove=remove)]
    for request in requests:
        answer = service.tag(request)
        tally.found += answer.found
        tally.changed += answer.changed
        tally.missing += answer.missing
    return tally


def list_tags(
    settings: Settings, object_ids: Sequence[str], filters: Sequence[str], *, as_json: bool
) -> None:
    """Print the tags of objects that meet all filters, with how many have each."""
    if object_ids:
        raise UsageError("expected a tag to --add or to --remove, got none")
    parse_conditions(filters)
    found = run_or_delegate(
        settings.index.location,
        lambda: _count_here(settings, filters),
        lambda service: _count_by_service(service, filters),
    )
    if as_json:
        typer.echo(json.dumps({each.value: each.count for each in found}, ensure_ascii=False))
    elif found:
        print_rows(("objects", "tag"), [(f"{each.count:,}", each.value) for each in found], right=1)
    print_note(quantify(len(found), "tag"))


def _count_here(settings: Settings, filters: Sequence[str]) -> list[FacetCount]:
    with Searcher.open(settings) as searcher:
        conditions = (_OBJECTS, *searcher.complete(parse_conditions(filters)))
        return searcher.index.facet(TAGS, conditions, _MOST_LISTED)


def _count_by_service(service: Client, filters: Sequence[str]) -> list[FacetCount]:
    found = service.facets(filters, limit=_MOST_LISTED).tags
    return [FacetCount(each.value, each.count) for each in found]
