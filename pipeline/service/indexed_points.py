"""Finds points of the index for routes, by their ids."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Annotated

from fastapi import Path

from pipeline.service.dependencies import Service
from pipeline.service.problems import ProblemError
from schemas.api import ObjectAnswer
from schemas.points import Point

Identity = Annotated[uuid.UUID, Path()]


async def find_object(service: Service, identity: uuid.UUID) -> ObjectAnswer:
    """The point of an id. Raises ProblemError if there is none."""
    point = await service.queue.run(lambda searcher: searcher.find(str(identity)))
    if point is None:
        raise no_object(identity)
    return answer_point(point)


def no_object(identity: uuid.UUID) -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, f"the index holds no object {identity}")


def answer_point(point: Point) -> ObjectAnswer:
    """Raises VectorIndexError for a payload that objseek did not write."""
    return ObjectAnswer(object_id=point.id, payload=point.parse_payload())
