"""A Qdrant server that is killed in the middle of writes, again and again, during ingests."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from support import fakes
from support.qdrant_server import Moment, Outage, QdrantServer, Write, qdrant_server

from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.settings import Settings
from schemas.counts import IngestCounts
from schemas.errors import IndexUnavailableError
from schemas.options import IndexOptions
from workers.indexes.point_index import PointIndex

SEED = 17
IMAGES = 24
OUTAGES_A_RUN = 5
LONGEST_OUTAGE_S = 0.3


@pytest.fixture(autouse=True)
def _small_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are written in small lots, and what has just been written is judged."""
    monkeypatch.setattr(PointIndex, "images_at_once", 8)
    monkeypatch.setattr("pipeline.jobs.verify._ON_ITS_WAY", timedelta(0))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def settings_for(server: QdrantServer, collection: str, retry_budget_s: float = 60) -> Settings:
    index = IndexOptions(
        location=f"{server.url}/{collection}", retry_budget_s=retry_budget_s, upsert_batch=5
    )
    return fakes.settings(Path("unused")).model_copy(update={"index": index})


def run(source: Path, settings: Settings) -> IngestCounts:
    return ingest([str(source)], settings, recipe=fakes.recipe(settings)).counts


@pytest.mark.long
@pytest.mark.parametrize(
    "restarts", [8, pytest.param(100, marks=pytest.mark.faults)], ids=["short", "whole"]
)
def test_a_server_that_restarts_loses_and_doubles_nothing(
    restarts: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance, source = random.Random(SEED), tmp_path / "images"
    paths = fakes.write_images(source, IMAGES)
    kinds = [(write, moment) for write in Write for moment in Moment]
    planned: Counter[Write] = Counter()
    runs = number = 0
    with qdrant_server() as server:
        settings = settings_for(server, "restarted")
        while server.stops < restarts:
            assert runs < restarts
            while server.planned < min(OUTAGES_A_RUN, restarts - server.stops):
                write, moment = kinds[number % len(kinds)]
                away_s, skip = chance.uniform(0, LONGEST_OUTAGE_S), chance.randrange(3)
                server.plan(Outage(write, moment, away_s, skip))
                planned[write] += 1
                number += 1
            counts = run(source, settings)
            assert (counts.failed, counts.handled + counts.unchanged) == (0, IMAGES)
            runs += 1
            for path in chance.sample(paths, IMAGES * 2 // 3):
                fakes.write_image(path, 1000 + runs * IMAGES + int(path.stem))
        run(source, settings)
        clean = settings_for(server, "clean")
        run(source, clean)
        expected = fakes.points(clean)
        missing, extra, differ = fakes.compared(fakes.points(settings), expected)
        findings = verify(settings, [str(source)]).findings
    with capsys.disabled():
        print(
            f"\n{server.stops} restarts of a server, {planned[Write.UPSERT]} in an upsert and "
            f"{planned[Write.DELETE]} in a delete, in {runs} ingests that all went through, seed "
            f"{SEED}: {missing} of {len(expected)} points missing, {extra} extra, {differ} differ"
        )
    assert (server.stops, missing, extra, differ) == (restarts, 0, 0, 0)
    assert findings == []


@pytest.mark.parametrize("moment", Moment)
def test_an_outage_beyond_the_budget_ends_the_run_and_the_next_completes_it(
    moment: Moment, tmp_path: Path
) -> None:
    source = tmp_path / "images"
    fakes.write_images(source, IMAGES)
    with qdrant_server() as server:
        settings = settings_for(server, "restarted", retry_budget_s=0.3)
        # The first four images have 12 points: the first three writes are theirs, and the next
        # three those of four more, unless these come at once with others.
        server.plan(Outage(Write.UPSERT, moment, None, skip=7))
        with pytest.raises(IndexUnavailableError) as caught:
            run(source, settings)
        message = f"the Qdrant server at {server.url} does not answer: "
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)
        with pytest.raises(IndexUnavailableError, match=f"^{message}"):
            run(source, settings)
        server.start()
        counts = run(source, settings)
        assert counts.unchanged in (4, 8)
        assert counts.done == IMAGES - counts.unchanged
        clean = settings_for(server, "clean")
        run(source, clean)
        expected = fakes.points(clean)
        assert len(expected) == 3 * IMAGES
        assert fakes.compared(fakes.points(settings), expected) == (0, 0, 0)
        assert verify(settings, [str(source)]).findings == []
