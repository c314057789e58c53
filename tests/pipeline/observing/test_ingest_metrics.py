"""Metrics of ingests: exact counts of what passed, whichever runner did the work."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
from support import fakes
from support.metric_samples import Samples, added_samples, registry_samples
from support.qdrant_server import QdrantServer

from pipeline.jobs.ingest import ingest
from pipeline.jobs.reembed import reembed
from pipeline.jobs.shards import ingest_shards
from pipeline.manifest.manifest import Manifest
from pipeline.observing.forwarding import ForwardingObserver, JobQueues
from pipeline.observing.ingest_metrics import IngestMetrics, process_metrics
from pipeline.observing.observer import WrittenImage
from pipeline.observing.work_reports import GpuMemory, StageSpan, WorkReport
from pipeline.settings import Settings
from schemas.errors import ManifestError, StoreUnavailableError
from schemas.images import ImageRef
from workers.backoff import Backoff

METRICS = process_metrics().registry
STAGES = ("read", "segment", "embed", "label", "check", "thumbnail")
WORKERS = [
    pytest.param("local", 1),
    pytest.param("local", 2),
    pytest.param("ray", 1, marks=pytest.mark.long),
]


def counts(samples: Samples) -> Samples:
    """Those that are exact: no times, and no queues, which have come and gone."""
    left_out = ("_bucket", "_sum", "_count", "_chunks", "_workers", "_unwritten")
    return {key: value for key, value in samples.items() if not any(x in key for x in left_out)}


def test_zeros_are_there_before_the_first() -> None:
    """Else the first of its kind is in no rate: Prometheus sees no increase."""
    samples = registry_samples(IngestMetrics().registry)
    classes: list[type[BaseException]] = [BaseException]
    for each in classes:  # which grows meanwhile
        classes += each.__subclasses__()
    rejecting = {each.__name__ for each in classes if getattr(each, "rejects_input", False)}
    assert {f'objseek_ingest_rejects_total{{reason="{name}"}}' for name in rejecting} == {
        key for key in samples if "rejects" in key
    }
    for what in ("store", "credentials", "index", "chunk"):
        assert samples[f'objseek_ingest_retries_total{{what="{what}"}}'] == 0


def check_nothing_is_on_its_way() -> None:
    now = registry_samples(METRICS)
    assert now["objseek_ingest_workers"] == 0
    assert now["objseek_ingest_unwritten_images"] == 0
    chunks = {key: now[key] for key in now if key.startswith("objseek_ingest_chunks{")}
    assert list(chunks.values()) == [0, 0, 0]


@pytest.mark.parametrize(("runner", "workers"), WORKERS)
def test_every_image_of_a_run_is_counted_once(runner: str, workers: int, tmp_path: Path) -> None:
    paths = fakes.write_images(tmp_path / "images", 10)
    bad = tmp_path / "images" / "bad.png"
    bad.write_bytes(b"no image")
    poisoned = fakes.write_image(tmp_path / "images" / "poisoned.png", 3, fakes.POISON)
    settings = fakes.settings(
        tmp_path / "index", "ray" if runner == "ray" else "local", workers=workers
    )
    with added_samples(METRICS) as added:
        ingest([str(tmp_path / "images")], settings, recipe=fakes.recipe(settings, "error"))
    size = sum(path.stat().st_size for path in [*paths, bad, poisoned])
    assert counts(added) == {
        "objseek_ingest_listed_images_total": 12,
        'objseek_ingest_images_total{outcome="done"}': 10,
        'objseek_ingest_images_total{outcome="rejected"}': 1,
        'objseek_ingest_images_total{outcome="failed"}': 1,
        "objseek_ingest_objects_total": 20,
        "objseek_ingest_bytes_total": size,
        'objseek_ingest_rejects_total{reason="BadImageError"}': 1,
        'objseek_ingest_failures_total{reason="RuntimeError",stage="segment"}': 1,
    }
    for stage in STAGES:
        assert added[f'objseek_ingest_stage_seconds_sum{{stage="{stage}"}}'] > 0, stage
    chunks = added['objseek_ingest_stage_seconds_count{stage="read"}']
    assert chunks >= 3
    assert added['objseek_ingest_stage_seconds_count{stage="write"}'] >= 1
    check_nothing_is_on_its_way()

    with added_samples(METRICS) as added:
        ingest([str(tmp_path / "images")], settings, recipe=fakes.recipe(settings))
    done_before = 'objseek_ingest_images_total{outcome="unchanged"}'
    assert added["objseek_ingest_listed_images_total"] == 12
    assert added[done_before] == 11


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_ends_early_leaves_nothing_in_the_queues(workers: int, tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 10)
    settings = fakes.settings(tmp_path / "index", workers=workers)

    def fail(refs: object) -> NoReturn:
        raise ZeroDivisionError

    recipe = replace(fakes.recipe(settings), reader=fail)
    with pytest.raises(ZeroDivisionError):
        ingest([str(tmp_path / "images")], settings, recipe=recipe)
    check_nothing_is_on_its_way()


def test_a_write_that_fails_leaves_no_image_waiting_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.write_images(tmp_path / "images", 4)
    settings = fakes.settings(tmp_path / "index")

    def fail(self: Manifest, rows: object) -> NoReturn:
        raise ManifestError("the disk is full")

    monkeypatch.setattr(Manifest, "append", fail)
    with pytest.raises(ManifestError):
        ingest([str(tmp_path / "images")], settings, recipe=fakes.recipe(settings))
    check_nothing_is_on_its_way()


def test_a_job_that_was_killed_has_nothing_in_the_queues_of_all() -> None:
    metrics = IngestMetrics()
    queues = JobQueues(metrics)
    for job, working in (("first", 2), ("second", 3)):
        observer = ForwardingObserver(partial(queues.take, job))
        observer.note_queues(reading=1, waiting=0, working=working, workers=4)
        observer.note_unwritten(10)
    queues.drop("first")
    samples = registry_samples(metrics.registry)
    assert samples['objseek_ingest_chunks{state="working"}'] == 3
    assert samples["objseek_ingest_workers"] == 4
    assert samples["objseek_ingest_unwritten_images"] == 10
    queues.drop("second")
    assert registry_samples(metrics.registry)['objseek_ingest_chunks{state="reading"}'] == 0


def test_a_reembedding_is_counted_too(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 5)
    settings = fakes.settings(tmp_path / "index")
    ingest([str(tmp_path / "images")], settings, recipe=fakes.recipe(settings))
    other = fakes.settings(tmp_path / "index", margin=0.4)
    with added_samples(METRICS) as added:
        reembed(other, recipe=fakes.recipe(other))
    assert added['objseek_ingest_images_total{outcome="done"}'] == 5
    assert added['objseek_ingest_stage_seconds_count{stage="embed"}'] == 2


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")
def test_shards_are_counted_by_whoever_waits_for_them(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 24)
    server = QdrantServer()
    made = fakes.settings(tmp_path)
    index = made.index.model_copy(
        update={"location": f"{server.url}/photos", "state": str(tmp_path / "state")}
    )
    settings = made.model_copy(update={"index": index})
    try:
        with added_samples(METRICS) as added:
            ingest_shards([str(tmp_path / "images")], settings, 2, recipe=fakes.recipe(settings))
    finally:
        server.close()
    assert added['objseek_ingest_images_total{outcome="done"}'] == 24
    assert added["objseek_ingest_listed_images_total"] == 24
    assert added['objseek_ingest_stage_seconds_sum{stage="segment"}'] > 0
    check_nothing_is_on_its_way()


def test_what_a_request_is_tried_again_for_is_counted() -> None:
    answers = iter([StoreUnavailableError("away"), StoreUnavailableError("away")])

    def act() -> str:
        for error in answers:
            raise error
        return "done"

    with added_samples(METRICS) as added:
        assert Backoff(60.0, first_s=0.0, kind="store").retry(act, "s3://b/k") == "done"
    assert added == {'objseek_ingest_retries_total{what="store"}': 2}


def test_what_other_processes_report_is_counted() -> None:
    metrics = IngestMetrics()
    report = WorkReport((StageSpan("read", 0.0, 0.5),), {"store": 3})
    later = WorkReport((StageSpan("embed", 1.0, 2.0),), {"store": 1}, GpuMemory("GPU-1", 3, 8))
    metrics.note_worked([], report.plus(later))
    samples = registry_samples(metrics.registry)
    assert samples['objseek_ingest_retries_total{what="store"}'] == 4
    assert samples['objseek_ingest_stage_seconds_sum{stage="read"}'] == 0.5
    assert samples['objseek_ingest_stage_seconds_sum{stage="embed"}'] == 2.0
    assert samples['objseek_ingest_gpu_memory_bytes{gpu="GPU-1",kind="used"}'] == 3
    assert samples['objseek_ingest_gpu_memory_bytes{gpu="GPU-1",kind="total"}'] == 8


def test_images_that_are_gone_are_no_failures() -> None:
    metrics = IngestMetrics()
    ref = ImageRef("s3", "b", "k", "v", 7)
    gone = WrittenImage(ref, "gone", 0, "read", "ObjectGoneError")
    metrics.note_written([gone], StageSpan("write", 0.0, 0.1))
    samples = registry_samples(metrics.registry)
    assert samples['objseek_ingest_images_total{outcome="gone"}'] == 1
    assert not [key for key in samples if "failures" in key]
    assert [samples[key] for key in samples if "rejects" in key] == [0, 0]


def test_settings_of_observing_do_not_change_what_is_indexed(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 3)
    settings = fakes.settings(tmp_path / "index")
    ingest([str(tmp_path / "images")], settings, recipe=fakes.recipe(settings))
    observed = Settings(**settings.model_dump(exclude={"observe"}), observe={"metrics_port": 0})
    summary = ingest([str(tmp_path / "images")], observed, recipe=fakes.recipe(observed))
    assert summary.counts.unchanged == 3
