"""An index that an earlier objseek made: it opens, searches, verifies, and needs no work again.

`support/older_index` was made before the packages were laid out anew: three of the demo's scenes
(seed 2611), preset fast, of which every point of the grid was asked, in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from support.older_index import SOURCE, older_index

from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.search.searcher import search
from pipeline.settings import Settings, load_settings
from schemas.manifest import State
from schemas.search import SearchQuery
from workers.indexes.open import open_index

FINGERPRINT = "36bf96ad3ba2f8aa"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("older")
    with older_index(folder) as place:
        yield load_settings(
            None,
            {
                "index": {"location": str(folder / "index")},
                "store": {"endpoint_url": place.endpoint_url},
                "segmenter": {"preset": "fast", "prompts": "grid", "precision": "fp32"},
                "embedder": {"precision": "fp32"},
                "runner": {"name": "local"},
            },
        )


def test_it_verifies_also_against_its_source(settings: Settings) -> None:
    report = verify(settings, [SOURCE])
    assert (report.images[State.DONE], report.points, list(report.findings)) == (3, 12, [])


def test_it_is_searched(settings: Settings) -> None:
    page = search(SearchQuery(text="a red apple", limit=50), settings)
    assert len(page.hits) > 0
    assert {hit.payload.uri.removeprefix(SOURCE) for hit in page.hits} <= {
        f"000{number}.jpg" for number in (1, 2, 3)
    }


def test_an_ingest_over_it_has_nothing_to_do(settings: Settings) -> None:
    """Which holds as long as every text in the pipeline's fingerprint is what it was."""
    with closing(open_index(settings.index, None)) as index:
        before = sorted(point.id for point in index.scan())
    summary = ingest([SOURCE], settings)
    assert (summary.counts.unchanged, summary.counts.handled) == (3, 0)
    with closing(open_index(settings.index, None)) as index:
        points = list(index.scan())
    assert sorted(point.id for point in points) == before
    assert {point.payload["fingerprint"] for point in points} == {FINGERPRINT}
    assert all(point.vector is not None and np.isfinite(point.vector).all() for point in points)
