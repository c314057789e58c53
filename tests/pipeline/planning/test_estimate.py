"""Time, money and storage of a plan, computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.plans import PRICES, SEARCHES, make_profile

from pipeline.planning import pace
from pipeline.planning.estimate import Estimate, count_commit_puts, estimate
from pipeline.planning.workload import IndexPlan, Layout, Workload

# An image takes a worker 2 + 10 x 0.02 + 10 x 0.01 = 2.3 s, a reader 0.4 / 8 + 0.1 = 0.15 s, the
# writer 10 x 0.003 = 0.03 s.
WORK = Workload(images=10_000, image_bytes=2e6, megapixels=2.0, objects=9)
RAY = Layout("ray", machines=1, workers=4, readers=2)
FOLDER = IndexPlan("folder", 512)


def bill(
    work: Workload = WORK, layout: Layout = RAY, index: IndexPlan = FOLDER, cpu_s: float = 0.5
) -> Estimate:
    return estimate(work, make_profile(cpu_s=cpu_s), layout, index, PRICES, SEARCHES)


def rates(layout: Layout, cpu_s: float | None = None) -> dict[str, float]:
    stages = pace.list_stages(WORK, make_profile(cpu_s=cpu_s), layout)
    return {stage.name: stage.images_per_s for stage in stages}


def test_rates_of_a_run_on_ray() -> None:
    assert rates(RAY) == pytest.approx(
        {"listing": 10_000, "readers": 2 / 0.15, "workers": 4 / 2.3, "writer": 1 / 0.03}
    )
    assert rates(replace(RAY, machines=3, jobs=3)) == pytest.approx(
        {"listing": 30_000, "readers": 6 / 0.15, "workers": 12 / 2.3, "writer": 3 / 0.03}
    )


def test_threads_read_what_they_work_on_and_a_single_one_writes_it() -> None:
    one, two = Layout("local", workers=1), Layout("local", workers=2)
    assert rates(one)["workers"] == pytest.approx(1 / (2.3 + 0.15 + 0.03))
    assert rates(two)["workers"] == pytest.approx(2 / (2.3 + 0.15))
    assert "readers" not in rates(two)


def test_a_chunk_has_no_more_reads_in_flight_than_images() -> None:
    assert rates(replace(RAY, batch_size=2))["readers"] == pytest.approx(2 / (0.2 + 0.1))


def test_cores_bound_what_workers_can_do() -> None:
    # As much more as stages take longer: as measured, an image of 4 objects took 0.05 + 2.15 +
    # 0.015 = 2.215 s, now 0.1 + 2.3 + 0.03 = 2.43 s.
    cpu_s = 1.5 * 2.43 / 2.215
    assert rates(RAY, cpu_s=1.5)["cores"] == pytest.approx(4 / (cpu_s + pace.RAY_CPU_S))
    assert rates(Layout("local", workers=4), cpu_s=1.5)["cores"] == pytest.approx(4 / cpu_s)
    assert rates(replace(RAY, workers=9))["workers"] == pytest.approx(4 / 2.3)


def test_a_gpu_is_full_with_the_workers_it_was_timed_with() -> None:
    profile = make_profile(cpu_s=None).model_copy(update={"gpus": 1, "workers": 2})
    assert pace.count_workers(profile, replace(RAY, machines=5)) == 10
    assert pace.count_workers(profile, replace(RAY, workers=1)) == 1


def test_time_by_the_slowest_stage_and_what_more_would_change() -> None:
    found = bill()
    assert found.bottleneck.name == "workers"
    start = 20 + pace.RAY_START_S
    assert found.seconds == pytest.approx(start + 10_000 * 2.3 / 4)
    # The machine has 4 cores for its 4 workers.
    assert {each.what: each.seconds for each in found.marginals} == pytest.approx(
        {
            "worker on each machine": found.seconds,
            "reader on each machine": found.seconds,
            "machine": start + 10_000 * 2.3 / 8,
        }
    )
    fewer = bill(layout=replace(RAY, workers=2))
    assert fewer.marginals[0].seconds == pytest.approx(start + 10_000 * 2.3 / 3)


def test_money_and_sizes_of_each_part() -> None:
    found = bill(replace(WORK, transfer="internet"))
    parts = {part.name: part for part in found.parts}
    assert parts["listing"].usd == pytest.approx(10 * 0.005 / 1000)
    assert parts["listing"].seconds == pytest.approx(1.0)
    assert parts["reading"].usd == pytest.approx(10_000 * 0.0004 / 1000)
    assert parts["reading"].seconds == pytest.approx(10_000 * 0.05 / 2)
    assert parts["decoding"].seconds == pytest.approx(10_000 * 0.1 / 2)
    assert parts["transfer"].usd == pytest.approx(20 * 0.09)
    assert parts["segmenting"].seconds == pytest.approx(10_000 * 2 / 4)
    assert parts["embedding"].seconds == pytest.approx(10_000 * 0.2 / 4)
    assert parts["writing"].seconds == pytest.approx(10_000 * 0.03)
    machine = found.seconds / 3600 * 3.6
    assert parts["machine"].usd == pytest.approx(machine)
    assert found.usd == pytest.approx(machine + 0.00005 + 0.004 + 1.8)


@pytest.mark.parametrize(
    ("kind", "sizes", "month"),
    [
        ("folder", (204.8e6, 25.6e6, 150e6, 300e6, 0.84e6), 0.68124 * 0.1),
        ("lance", (204.8e6, 25.6e6, 150e6, 354.8e6, 300e6, 0.84e6), 1.03604 * 0.02),
        ("server", (204.8e6, 150e6, 300e6, 0.84e6), 0.65564 * 0.1 + 730 * 0.5),
    ],
)
def test_what_is_kept(kind: str, sizes: tuple[float, ...], month: float) -> None:
    found = bill(index=IndexPlan(kind, 512))  # type: ignore[arg-type]
    kept = [part for part in found.parts if part.usd_month is not None]
    assert [part.size_bytes for part in kept[: len(sizes)]] == pytest.approx(sizes)
    assert found.stored_bytes == pytest.approx(sum(sizes))
    assert found.usd_month == pytest.approx(month)


def test_memory_and_searches_by_the_kind_of_index() -> None:
    assert bill().memory_bytes == pytest.approx(25.6e6)
    assert bill().usd_million_searches is None
    lance = bill(index=IndexPlan("lance", 512))
    assert lance.memory_bytes is None
    assert lance.usd_million_searches == pytest.approx(100 * 1000 * 0.0004)
    server = bill(index=IndexPlan("server", 512))
    assert server.memory_bytes == pytest.approx(204.8e6 * 1.5)
    assert server.server == "1 x small, always on"


def test_commits_of_a_table_are_counted() -> None:
    # 10 commits by images; 10,000 x 30 points are 19 by points.
    assert count_commit_puts(WORK) == 30
    assert count_commit_puts(replace(WORK, objects=29)) == 57
    parts = {part.name: part for part in bill(index=IndexPlan("lance", 512)).parts}
    assert parts["writing"].usd == pytest.approx(30 * 0.005 / 1000)


def test_files_of_a_folder_cost_no_requests() -> None:
    parts = {part.name: part for part in bill(replace(WORK, from_s3=False)).parts}
    assert [parts[name].usd for name in ("listing", "reading", "transfer")] == [0, 0, 0]


def test_without_a_price_of_the_machine_there_is_no_sum() -> None:
    profile = make_profile().model_copy(update={"instance": "unheard of"})
    found = estimate(WORK, profile, RAY, FOLDER, PRICES, SEARCHES)
    assert found.usd is None
    assert next(part for part in found.parts if part.name == "machine").usd is None


def test_the_fewest_servers_for_nearly_the_least_money() -> None:
    assert [(count, server.name) for count, server in map(PRICES.servers_for, (9, 11, 99))] == [
        (1, "small"),
        (1, "large"),
        (2, "large"),
    ]
