"""A session of ingests: the models are loaded once, and the index is free in between."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import fakes

from pipeline.index_home import IndexHome
from pipeline.ingestion.listing import ignore_skipped, list_chunks
from pipeline.ingestion.session import IngestSession
from pipeline.progress import Progress
from pipeline.runners.recipe import build_always
from pipeline.settings import Settings
from schemas.counts import IngestCounts
from workers.indexes.open import open_index


def run(session: IngestSession, images: Path, settings: Settings) -> IngestCounts:
    listing = list_chunks([str(images)], settings.store, 4, None, ignore_skipped)
    progress = Progress()
    session.run(listing, IndexHome.current(settings), progress)
    return progress.counts


@pytest.mark.parametrize("runner", ["local", pytest.param("ray", marks=pytest.mark.long)])
def test_models_are_loaded_once_for_all_batches(runner: str, tmp_path: Path) -> None:
    images, loads = tmp_path / "images", tmp_path / "loads"
    images.mkdir()
    settings = fakes.settings(tmp_path / "index", "ray" if runner == "ray" else "local")
    with IngestSession(settings, build_always(fakes.recipe(settings, loads=loads))) as session:
        assert run(session, images, settings).listed == 0
        assert not loads.exists()
        for batch in range(3):
            for number in range(3):
                fakes.write_image(images / f"{batch}{number}.png", 3 * batch + number)
            counts = run(session, images, settings)
            assert (counts.done, counts.unchanged) == (3, 3 * batch)
            open_index(settings.index, None).close()
        assert run(session, images, settings).unchanged == 9
    assert loads.read_text().count("\n") == 1
    assert len(fakes.points(settings)) == 27


def test_models_are_let_go_where_a_run_fails(tmp_path: Path) -> None:
    images, loads = tmp_path / "images", tmp_path / "loads"
    fakes.write_images(images, 6)
    fakes.write_image(images / "zz.png", 3, fakes.POISON)
    settings = fakes.settings(tmp_path / "index")
    with IngestSession(
        settings, build_always(fakes.recipe(settings, "bug", loads=loads))
    ) as session:
        with pytest.raises(TypeError, match="a bug in the segmenter"):
            run(session, images, settings)
        (images / "zz.png").unlink()
        counts = run(session, images, settings)
    assert (counts.done, counts.unchanged) == (2, 4)
    assert loads.read_text().count("\n") == 2
