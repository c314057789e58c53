"""A store that fails by the hundred: nothing is missing, and nothing is asked too often."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import fakes
from support.fault_proxy import FAULTS, FaultProxy, serving
from support.s3_server import moto_server
from support.waiting import PATIENCE_S

from pipeline.jobs.ingest import ingest
from pipeline.settings import Settings
from schemas.errors import StoreUnavailableError
from schemas.manifest import ManifestRow, State
from schemas.options import StoreOptions

pytestmark = pytest.mark.long

SEED = 7
SHARE = 0.4
IMAGES_A_FAULT = 2


@pytest.mark.parametrize(
    "faults", [40, pytest.param(1000, marks=pytest.mark.faults)], ids=["short", "whole"]
)
def test_faults_of_the_store_lose_nothing(
    faults: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = faults * IMAGES_A_FAULT
    paths = fakes.write_images(tmp_path / "images", images)
    clean, faulty = tmp_path / "clean", tmp_path / "faulty"
    with moto_server() as moto:
        bucket = moto.make_bucket({path.name: path.read_bytes() for path in paths})
        sound = FaultProxy(moto.endpoint_url)
        with serving(sound) as endpoint:
            assert ingest_all(bucket, settings(clean, endpoint)) == (images, 0, 0)
        proxy, refused = FaultProxy(moto.endpoint_url, faults, SHARE, SEED), 0
        with serving(proxy) as endpoint:
            # A store that does not answer at all is told at once: it may be mistyped.
            while not (started := ingest_if_listed(bucket, settings(faulty, endpoint))):
                refused += 1
        done, failed, _ = started
        failed_rows = [row for row in rows(faulty) if row.state is State.FAILED and row.message]
        with serving(FaultProxy(moto.endpoint_url)) as endpoint:
            again = ingest_all(bucket, settings(faulty, endpoint))
        moto.close()
    there, expected = fakes.points(fakes.settings(faulty)), fakes.points(fakes.settings(clean))
    with capsys.disabled():
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(proxy.faults.items()))
        print(
            f"\n{proxy.faults.total()} faults, seed {SEED} ({kinds}): of {images} images {done} "
            f"done at once and {failed} failed and done by the next run, "
            f"{len(expected.keys() - there.keys())} points lost, {refused} runs ended at the first "
            f"page of the listing; {proxy.requests} requests, "
            f"{sound.requests} without faults"
        )
    assert proxy.faults.total() == faults
    assert set(proxy.faults) == set(FAULTS)
    assert (done + failed, len(failed_rows), again) == (images, failed, (failed, 0, done))
    assert there == expected
    assert proxy.requests <= sound.requests + 2 * faults


def settings(index: Path, endpoint: str) -> Settings:
    store = StoreOptions(
        endpoint_url=endpoint, connect_timeout_s=5, read_timeout_s=5, retry_budget_s=PATIENCE_S
    )
    return fakes.settings(index).model_copy(update={"store": store})


def ingest_all(bucket: str, settings: Settings) -> tuple[int, int, int]:
    """How many images are done, failed and unchanged: all that there are."""
    counts = ingest([f"s3://{bucket}/"], settings, recipe=fakes.recipe(settings)).counts
    assert counts.listed == counts.done + counts.failed + counts.unchanged
    return counts.done, counts.failed, counts.unchanged


def ingest_if_listed(bucket: str, settings: Settings) -> tuple[int, int, int] | None:
    try:
        return ingest_all(bucket, settings)
    except StoreUnavailableError:
        assert not Path(settings.index.location, "manifest").exists()
        return None


def rows(index: Path) -> list[ManifestRow]:
    return list(fakes.rows(fakes.settings(index)).values())
