"""Indexes of every kind, one open for all tests of a file."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from support.index_cases import KINDS, one_index

from workers.indexes.point_index import PointIndex


@pytest.fixture(scope="module", params=KINDS)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PointIndex]:
    with one_index(request.param, tmp_path_factory.mktemp("shared")) as made:
        yield made


@pytest.fixture
def index(shared: PointIndex) -> Iterator[PointIndex]:
    """An empty index."""
    yield shared
    for image in {point.payload["image_id"] for point in shared.scroll()}:
        shared.delete_images([uuid.UUID(image)])
