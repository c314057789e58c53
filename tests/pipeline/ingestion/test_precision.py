"""In which type an index is computed: settled once, kept with it, and gone on in."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import fakes

from pipeline.cli.status_report import gather_report, print_fields
from pipeline.index_home import IndexHome
from pipeline.ingestion.listing import ignore_skipped, list_chunks
from pipeline.ingestion.precision import settle_precision
from pipeline.ingestion.session import IngestSession
from pipeline.jobs.ingest import ingest
from pipeline.progress import Progress
from pipeline.runners.recipe import Recipe, build_always
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.options import EmbedderOptions, Precision, RunnerOptions, SegmenterOptions

FP32, BF16 = (Precision(segmenter=name, embedder=name) for name in ("fp32", "bf16"))


def settings_of(device: str, runner: RunnerOptions, precision: str = "auto") -> Settings:
    return Settings(
        segmenter=SegmenterOptions(device=device, precision=precision),
        embedder=EmbedderOptions(device=device, precision=precision),
        runner=runner,
    )


@pytest.mark.parametrize(
    ("device", "runner", "precision", "expected"),
    [
        ("auto", RunnerOptions(), "auto", FP32),
        ("auto", RunnerOptions(gpus_per_worker=0.5), "auto", BF16),
        ("cuda", RunnerOptions(), "auto", BF16),
        ("cpu", RunnerOptions(gpus_per_worker=1), "auto", FP32),
        ("cpu", RunnerOptions(), "bf16", BF16),
        ("cpu", RunnerOptions(name="local"), "auto", FP32),
        ("cuda", RunnerOptions(gpus_per_worker=1), "fp32", FP32),
    ],
)
def test_it_follows_from_what_is_declared(
    device: str, runner: RunnerOptions, precision: str, expected: Precision
) -> None:
    warnings: list[str] = []
    settings = settings_of(device, runner, precision)
    assert settle_precision(settings, None, warnings.append) == expected
    settled = settings.with_precision(expected)
    assert (settled.segmenter.precision, settled.embedder.precision) == (
        expected.segmenter,
        expected.embedder,
    )
    assert not warnings


def test_an_index_goes_on_in_what_it_was_begun_in_and_says_so(tmp_path: Path) -> None:
    images = tmp_path / "images"
    settled_as: list[tuple[str, str]] = []

    def run(precision: str, images_there: int) -> Progress:
        fakes.write_images(images, images_there)
        given = fakes.settings(tmp_path / "index")
        chosen = settings_of("cpu", given.runner, precision)
        settings = given.model_copy(
            update={"segmenter": chosen.segmenter, "embedder": chosen.embedder}
        )

        def build(settled: Settings) -> Recipe:
            settled_as.append((settled.segmenter.precision, settled.embedder.precision))
            return fakes.recipe(settings)

        progress = Progress()
        home = IndexHome.current(settings)
        listing = list_chunks([str(images)], settings.store, 4, None, ignore_skipped)
        with IngestSession(settings, build) as session:
            session.run(listing, home, progress)
        assert home.pipelines.precision() == BF16
        return progress

    assert run("bf16", 2).details.warnings == []
    assert run("auto", 4).details.warnings == []
    assert run("fp32", 6).details.warnings == [
        "this index goes on being segmented in bf16, as it was begun, and not in fp32",
        "this index goes on being embedded in bf16, as it was begun, and not in fp32",
    ]
    assert settled_as == [("bf16", "bf16")] * 3


def test_search_and_status_know_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fakes.write_images(tmp_path / "images", 2)
    settings = fakes.settings(tmp_path / "index")
    home = IndexHome.current(settings)
    ingest([str(tmp_path / "images")], settings, recipe=fakes.recipe(settings))
    assert home.pipelines.precision() == FP32
    assert gather_report(settings, (), 1).fields["precision"] == FP32.model_dump()
    home.pipelines.keep_precision(Precision(segmenter="fp32", embedder="bf16"))
    fields = gather_report(settings, (), 1).fields
    print_fields(fields)
    assert "precision:   fp32 (segmenter), bf16 (embedder)" in capsys.readouterr().out
    with Searcher.open(settings) as searcher:
        assert searcher.settings.embedder.precision == "bf16"


def test_models_are_loaded_anew_for_a_generation_in_another(tmp_path: Path) -> None:
    settings, loads = fakes.settings(tmp_path / "index"), tmp_path / "loads"
    home = IndexHome.current(settings)
    build = build_always(fakes.recipe(settings, loads=loads))
    with IngestSession(settings, build) as session:
        for images, begun in ((2, FP32), (4, FP32), (6, BF16)):
            if images > 2:
                home.pipelines.keep_precision(begun)
            fakes.write_images(tmp_path / "images", images)
            chunks = list_chunks(
                [str(tmp_path / "images")], settings.store, 4, None, ignore_skipped
            )
            session.run(chunks, home, Progress())
            assert home.pipelines.precision() == begun
    assert loads.read_text().count("\n") == 2
