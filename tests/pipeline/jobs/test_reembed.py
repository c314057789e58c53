"""Another embedder for an index: nothing segmented again, nothing lost, a switch at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import fakes
from support.damage import do, rows_of
from support.qdrant_server import qdrant_server
from support.spread_embedder import SpreadEmbedder
from support.transfer_world import at

from pipeline.index_home import (
    IndexHome,
    current_generation,
    drop_generation,
    list_generations,
    open_manifest,
    use_generation,
)
from pipeline.jobs.ingest import ingest
from pipeline.jobs.reembed import _Reembed, reembed
from pipeline.jobs.sync import sync
from pipeline.jobs.verify import verify
from pipeline.progress import Progress
from pipeline.runners.recipe import Recipe
from pipeline.settings import Settings
from pipeline.transfer.backup import backup, restore
from schemas.errors import IndexBusyError, IndexMissingError, UsageError, VectorIndexError
from schemas.manifest import ManifestRow, State
from schemas.options import DecodeOptions, Precision
from schemas.points import IndexQuery, Point
from schemas.search import Condition
from workers.indexes.edge.index import EdgeIndex
from workers.indexes.generations import FIRST
from workers.indexes.open import open_index

IMAGES = 11


def other(settings: Settings, fails_after: int = 10**9) -> Recipe:
    recipe = fakes.recipe(settings)
    return replace(recipe, embedder=lambda: SpreadEmbedder(fails_after))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    fakes.write_images(folder, IMAGES)
    (folder / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture(params=["folder", "server", "lance"])
def index(request: pytest.FixtureRequest, tmp_path: Path, images: Path) -> Iterator[Settings]:
    """An index of the images."""
    settings = fakes.settings(tmp_path / "index")
    if request.param == "lance":
        settings = at(settings, f"lance+file://{tmp_path / 'table'}")
    if request.param != "server":
        ingest([str(images)], settings, recipe=fakes.recipe(settings))
        yield settings
        return
    with qdrant_server() as server:
        place = {"location": f"{server.url}/photos", "state": str(tmp_path / "state")}
        settings = settings.model_copy(update={"index": settings.index.model_copy(update=place)})
        ingest([str(images)], settings, recipe=fakes.recipe(settings))
        yield settings


def masks_of(settings: Settings) -> dict[tuple[str, int], object]:
    """Every mask by its uri and ordinal."""
    with closing(open_index(settings.index, None)) as opened:
        return {
            (payload.uri, payload.ordinal): (payload.rle, payload.bbox)
            for payload in (point.parse_payload() for point in opened.scroll())
        }


def test_no_image_is_segmented_again(
    index: Settings, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(
        fakes.BrightSegmenter, "segment", lambda self, images: calls.append(len(images))
    )
    before = masks_of(index)
    summary = reembed(index, recipe=other(index))
    assert calls == []
    assert (summary.counts.done, summary.counts.failed, summary.switched) == (IMAGES, 0, True)
    new = IndexHome.current(index)
    assert new.index.location == summary.location != index.index.location
    assert masks_of(new) == before
    with closing(open_index(new.index, None)) as opened:
        assert opened.dim == SpreadEmbedder.dim
        assert [count.embedder for count in opened.info().embedders] == ["spread"]
    assert verify(index, [str(images)]).findings == []
    # What an ingest with that embedder would have written, and so it has nothing to do.
    monkeypatch.undo()
    counts = ingest([str(images)], index, recipe=other(index)).counts
    assert (counts.unchanged, counts.handled) == (IMAGES + 1, 0)


def test_it_makes_what_an_ingest_makes(index: Settings, images: Path, tmp_path: Path) -> None:
    reembed(index, recipe=other(index))
    fresh = fakes.settings(tmp_path / "fresh")
    ingest([str(images)], fresh, recipe=other(fresh))
    there, expected = fakes.points(IndexHome.current(index)), fakes.points(fresh)
    assert fakes.compared(there, expected)[:2] == (0, 0)
    for identity, (payload, vector) in expected.items():
        np.testing.assert_allclose(there[identity][1], vector, rtol=0, atol=1e-6)
        assert there[identity][0]["fingerprint"] == payload["fingerprint"]


def test_an_interrupted_one_goes_on(index: Settings) -> None:
    with pytest.raises(KeyboardInterrupt):
        reembed(index, recipe=other(index, fails_after=2))
    assert current_generation(index) == FIRST
    (name,) = [generation.name for generation in list_generations(index) if not generation.current]
    halfway = IndexHome.at(index, name)
    done = open_manifest(halfway.index, halfway.store).counts()[State.DONE]
    assert 0 < done < IMAGES
    summary = reembed(index, recipe=other(index))
    assert (summary.counts.done, summary.counts.unchanged) == (IMAGES - done, done + 1)
    assert verify(index).findings == []
    assert IndexHome.current(index) == halfway


def row_of(settings: Settings, name: str) -> ManifestRow:
    manifest = open_manifest(settings.index, settings.store)
    return next(row for row in manifest.latest() if row.uri.endswith(f"/{name}"))


def test_what_failed_keeps_the_generation_in_use(index: Settings, images: Path) -> None:
    (images / "003.png").unlink()
    fakes.write_image(images / "005.png", 70)
    row = row_of(index, "007.png")
    with closing(open_index(index.index, None)) as opened:
        same_image = Condition(field="image_id", op="=", value=row.image_id)
        opened.delete_points([point.id for point in opened.scroll([same_image])][:2])
    summary = reembed(index, recipe=other(index))
    # One is gone, one has changed, and one has lost a mask: only that keeps it from switching.
    assert (summary.counts.gone, summary.counts.failed) == (1, 2)
    assert (summary.failed, summary.switched) == (1, False)
    assert summary.why_not.startswith("1 image could not be embedded, so first stays in use")
    assert current_generation(index) == FIRST
    assert reembed(index, recipe=other(index), force=True).switched
    assert verify(index).findings == []
    ingested = sync([str(images)], index, recipe=other(index)).ingest
    assert ingested is not None
    assert (ingested.counts.done, ingested.counts.unchanged) == (2, IMAGES - 3 + 1)
    assert verify(index, [str(images)]).findings == []


@pytest.mark.trials
@pytest.mark.parametrize(
    "changes",
    [
        {"rle": {"size": [16, 24], "counts": "0"}},
        {"rle": {"size": [24, 16], "counts": "PP4"}},
        {"rle": "x"},
        {"rle": None},
        {"bbox": [90, 90, 95, 95]},
        {"area": 1},
        {"width": 0},
        {"uri": None},
    ],
)
def test_a_broken_mask_fails_its_image_alone(
    images: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    settings = fakes.settings(tmp_path / "index")
    ingest([str(images)], settings, recipe=fakes.recipe(settings))

    def spoil(index: EdgeIndex, name: str) -> None:
        row = rows_of(index, name)[1]
        payload = {**row.payload, **changes}
        kept = {field: value for field, value in payload.items() if value is not None}
        index.upsert([Point(row.id, kept, row.vector)])

    do(spoil, settings, "003.png")
    summary = reembed(settings, recipe=other(settings))
    assert (summary.counts.done, summary.failed, summary.switched) == (IMAGES - 1, 1, False)
    failed = fakes.rows(at(settings, summary.location))["003.png"]
    assert failed.state is State.FAILED
    assert "003.png): `objseek verify --repair` has the image done again" in failed.message
    verify(settings, repairing=True, max_delete=1)
    ingest([str(images)], settings, recipe=fakes.recipe(settings))
    assert reembed(settings, recipe=other(settings)).switched
    assert verify(settings, [str(images)]).findings == []


def test_what_comes_meanwhile_is_not_lost(
    index: Settings, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a server's index; a folder is held, but for the moments between its parts."""
    embedded = _Reembed._embed_what_is_left

    def then_ingest(self: _Reembed) -> Settings:
        new = embedded(self)
        if not (images / "late.png").exists():
            fakes.write_image(images / "late.png", 33)
            ingest([str(images)], index, recipe=fakes.recipe(index))
        return new

    monkeypatch.setattr(_Reembed, "_embed_what_is_left", then_ingest)
    assert reembed(index, recipe=other(index)).counts.done == IMAGES + 1
    assert verify(index, [str(images)]).findings == []


def test_an_ingest_that_was_overtaken_says_so(
    index: Settings, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reembed(index, recipe=other(index))
    (name,) = [generation.name for generation in list_generations(index) if generation.current]
    recipe, used = other(index), iter([FIRST, name])
    real = current_generation
    monkeypatch.setattr("pipeline.index_home.current_generation", lambda of: next(used, real(of)))
    with pytest.raises(VectorIndexError, match=r"another generation of .* came into use"):
        ingest([str(images)], index, recipe=fakes.recipe(index))
    monkeypatch.undo()
    assert ingest([str(images)], index, recipe=recipe).counts.unchanged == IMAGES + 1


def test_a_sync_stays_with_the_generation_that_it_began_with(index: Settings, images: Path) -> None:
    name = reembed(index, recipe=other(index)).generation
    use_generation(index, FIRST)
    homes = {each: IndexHome.at(index, each) for each in (FIRST, name)}
    fakes.write_image(images / "new.png", 50)
    next(images.glob("*00*.png")).unlink()

    class Switching(Progress):
        def note(self, text: str) -> None:
            if text.startswith("listing"):
                use_generation(index, name)

    with pytest.raises(VectorIndexError, match=r"another generation of .* came into use"):
        sync([str(images)], index, progress=Switching(), recipe=fakes.recipe(index))
    before, after = (homes[each].manifest.counts() for each in (name, FIRST))
    assert (before[State.DONE], before[State.GONE]) == (IMAGES, 0)
    # What is gone leaves after what has come, in the next sync.
    assert (after[State.DONE], after[State.GONE]) == (IMAGES + 1, 0)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


def test_a_generation_is_used_again_and_dropped(index: Settings, tmp_path: Path) -> None:
    name = reembed(index, recipe=other(index)).generation
    assert name == f"spread-{name[-8:]}"
    listed = {
        generation.name: (generation.current, generation.images)
        for generation in list_generations(index)
    }
    assert listed == {FIRST: (False, IMAGES), name: (True, IMAGES)}
    use_generation(index, FIRST)
    assert current_generation(index) == FIRST
    use_generation(index, name)
    with pytest.raises(UsageError, match=f"not in use, {name} is"):
        drop_generation(index, name)
    with pytest.raises(UsageError, match="expected one of the generations first, spread-"):
        use_generation(index, "nothing")
    place = tmp_path / ("table" if index.index.location.startswith("lance") else "index")
    before = size_of(place)
    drop_generation(index, FIRST)
    assert [generation.name for generation in list_generations(index)] == [name]
    if not index.index.location.startswith("http"):
        assert size_of(place) < 0.6 * before
        assert not (tmp_path / "index" / "points").exists()
    assert verify(index).findings == []
    # And again, with the first embedder.
    summary = reembed(index, recipe=fakes.recipe(index))
    assert (summary.before, summary.counts.done) == (name, IMAGES)
    drop_generation(index, name)
    assert verify(index).findings == []
    assert len(masks_of(IndexHome.current(index))) == 3 * IMAGES


def test_a_generation_that_is_open_is_not_dropped(images: Path, tmp_path: Path) -> None:
    index = fakes.settings(tmp_path / "index")
    ingest([str(images)], index, recipe=fakes.recipe(index))
    name = reembed(index, recipe=other(index)).generation
    with closing(open_index(index.index, None)), pytest.raises(IndexBusyError, match="in use"):
        drop_generation(index, FIRST)
    with closing(open_index(IndexHome.current(index).index, None)):
        use_generation(index, FIRST)
        with pytest.raises(IndexBusyError, match="in use"):
            drop_generation(index, name)
    assert len(masks_of(IndexHome.current(index))) == 3 * IMAGES


def test_what_was_made_with_several_settings(index: Settings, images: Path) -> None:
    fakes.write_image(images / "late.png", 33)
    changed = index.model_copy(update={"decode": DecodeOptions(max_side_px=9999)})
    ingest([str(images / "late.png")], changed, recipe=fakes.recipe(changed))
    assert reembed(index, recipe=other(index)).counts.done == IMAGES + 1
    assert verify(index, [str(images)]).findings == []


def test_a_backup_knows_what_has_made_it(index: Settings, tmp_path: Path) -> None:
    reembed(index, recipe=other(index))
    backup(index, str(tmp_path / "backup"))
    restored = fakes.settings(tmp_path / "restored")
    restore(restored, str(tmp_path / "backup"))
    assert verify(restored).findings == []
    assert reembed(restored, recipe=fakes.recipe(restored)).counts.done == IMAGES


def test_mistakes(index: Settings, tmp_path: Path) -> None:
    nowhere = fakes.settings(tmp_path / "nowhere")
    with pytest.raises(IndexMissingError, match="nothing was ingested there"):
        reembed(nowhere, recipe=other(nowhere))
    with pytest.raises(UsageError, match="first has the vectors of mean already"):
        reembed(index, recipe=fakes.recipe(index))
    reembed(index, recipe=other(index))
    with pytest.raises(UsageError, match=r"spread-\w+ has the vectors of spread already"):
        reembed(index, recipe=other(index))
    assert len(list_generations(index)) == 2


@pytest.mark.long
@pytest.mark.parametrize(
    "queries", [pytest.param(60, id="short"), pytest.param(1000, marks=pytest.mark.faults)]
)
def test_searches_of_a_server_see_one_generation_each(
    queries: int, images: Path, tmp_path: Path
) -> None:
    with qdrant_server() as server:
        index = fakes.settings(tmp_path / "index")
        place = {"location": f"{server.url}/photos", "state": str(tmp_path / "state")}
        index = index.model_copy(update={"index": index.index.model_copy(update=place)})
        ingest([str(images)], index, recipe=fakes.recipe(index))
        seen: list[str] = []
        ended = threading.Event()

        def search() -> None:
            while not ended.is_set() or len(seen) < queries:
                with closing(open_index(IndexHome.current(index).index, None)) as opened:
                    vector = np.ones(opened.dim, np.float32)
                    hits = opened.search(IndexQuery(vector, limit=3 * IMAGES))
                    assert len(hits) == 3 * IMAGES
                    (embedder,) = {hit.payload.embedder for hit in hits}
                    seen.append(embedder)

        with ThreadPoolExecutor(1) as pool:
            searching = pool.submit(search)
            reembed(index, recipe=other(index))
            ended.set()
            searching.result()
    assert len(seen) >= queries
    switched = seen.index("spread")
    assert 0 < switched < len(seen)
    assert set(seen[switched:]) == {"spread"}


def test_a_new_generation_is_begun_in_its_own_precision(index: Settings, images: Path) -> None:
    changed = index.model_copy(
        update={"embedder": index.embedder.model_copy(update={"precision": "bf16"})}
    )
    assert IndexHome.current(index).pipelines.precision() == Precision(
        segmenter="fp32", embedder="fp32"
    )
    with pytest.raises(KeyboardInterrupt):
        reembed(changed, recipe=other(changed, fails_after=2))
    with pytest.raises(UsageError, match="go on with --precision bf16"):
        reembed(index, recipe=other(index))
    assert reembed(changed, recipe=other(changed)).switched
    found = IndexHome.current(index).pipelines.precision()
    assert found == Precision(segmenter="fp32", embedder="bf16")
