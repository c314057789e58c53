"""The route that tags objects."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from fastapi import APIRouter

from pipeline.jobs.tag import TagSummary, find_objects, tag_objects
from pipeline.search.filter_syntax import parse_conditions
from pipeline.search.searcher import Searcher
from pipeline.service.dependencies import (
    ERRORS,
    IngesterDep,
    Service,
    ServiceDep,
    require_writable,
)
from schemas.errors import UsageError
from schemas.search import Condition
from schemas.tag_api import MOST_FILTERED, MOST_TAGGED, TagAnswer, TagRequest
from schemas.tags import TagChange
from workers.batching import batched

router = APIRouter(prefix="/v1", tags=["objects"], responses=ERRORS)


@router.post("/objects/tags")
async def change_tags(request: TagRequest, service: ServiceDep, caller: IngesterDep) -> TagAnswer:
    """Tag objects, and take tags from them: up to 1,000 by their ids, or those that meet a filter.

    Tags are filtered by (`tags=to print`) and counted (`/v1/facets`). They stay with an object when
    its image is ingested again unchanged, embedded anew or labelled. Needs a key of the scope
    ingest.
    """
    require_writable(service)
    change = TagChange.parse(request.add, request.remove)
    if request.filter:
        return await _change_filtered(parse_conditions(request.filter), change, service)
    done = await service.queue.run(
        lambda searcher: _tag(request.object_ids, change, service, searcher)
    )
    return TagAnswer(
        found=len(done.tags), changed=len(done.changed), tags=done.tags, missing=done.missing
    )


async def _change_filtered(
    conditions: Sequence[Condition], change: TagChange, service: Service
) -> TagAnswer:
    """A thousand at a time, so that searches come in between."""
    found = changed = 0
    ids = await service.queue.run(lambda searcher: _find(conditions, searcher))
    for batch in batched(ids, MOST_TAGGED):
        done = await service.queue.run(
            lambda searcher, batch=batch: _tag(batch, change, service, searcher)  # type: ignore[misc]
        )
        found += len(done.tags)
        changed += len(done.changed)
    return TagAnswer(found=found, changed=changed)


def _tag(
    ids: Sequence[uuid.UUID], change: TagChange, service: Service, searcher: Searcher
) -> TagSummary:
    done = tag_objects(ids, change, searcher)
    service.varieties.forget()  # they hold tags, and may have been chosen by them
    return done


def _find(conditions: Sequence[Condition], searcher: Searcher) -> list[uuid.UUID]:
    kind = Condition(field="kind", op="=", value="object")
    count = searcher.index.count((kind, *searcher.complete(conditions)))
    if count > MOST_FILTERED:
        raise UsageError(
            f"expected a filter that at most {MOST_FILTERED:,} objects meet, {count:,} do"
        )
    return list(find_objects(conditions, searcher))
