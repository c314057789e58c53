"""Lists what goes wrong in the simulated runs of `bench.simulate`, and what is known of it."""

from __future__ import annotations

from dataclasses import replace

from pipeline.planning.prices import read_prices
from pipeline.planning.profile import read_profile
from pipeline.planning.simulation.scenario import Scenario
from pipeline.planning.simulation.simulate import Planned
from pipeline.planning.workload import Layout, Workload

PLANNED = Planned(
    Workload(images=10**9, image_bytes=0.8e6, megapixels=2.0, objects=10.0),
    read_profile("h100"),
    Layout("ray", machines=64, workers=1, readers=2, batch_size=256, jobs=64),
    read_prices(None),
)
SPOT_PRICE = 0.4
"""Of the price on demand; an assumption, as spot prices change by the hour."""
_HOST_LOSSES = 419 / (54 * 24 * 2048)
_TAIL = Scenario(
    "stragglers", spread=1.0, rejected=0.01,
    source="assumed: seconds an image lognormal of sigma 1, 1% of files cannot be decoded",
)  # fmt: skip
_BAD = replace(
    _TAIL, name="bad images and crashes", killing=1e-6, crashes=0.01,
    source="assumed: one image in a million ends its worker, a worker crashes every 100 hours",
)  # fmt: skip
_HOSTS = replace(
    _BAD, name="machines lost", losses=_HOST_LOSSES,
    source="419 interruptions in 54 days on 2,048 hosts of eight H100s, as reported of training "
    "Llama 3; ten minutes to another, assumed",
)  # fmt: skip
SPOT = replace(
    _HOSTS, name="spot machines", reclaims=0.05, price=SPOT_PRICE,
    source=f"assumed: each taken every 20 hours, another after five minutes, {SPOT_PRICE:.0%} of "
    "the price",
)  # fmt: skip
SCENARIOS = (
    Scenario("as planned", source="nothing goes wrong"),
    _TAIL,
    _BAD,
    _HOSTS,
    SPOT,
    replace(
        _TAIL, name="a store that throttles", gets_per_s=300.0,
        source="assumed: 300 GETs a second are left of a prefix (S3 gives 5,500), 400 are wanted",
    ),
    replace(
        _TAIL, name="a slow index", points_per_s=3000.0,
        source="assumed: 3,000 points a second of all jobs together, 4,400 are wanted",
    ),
    replace(
        SPOT, name="spot and a slow index", points_per_s=3000.0,
        source="both of the above",
    ),
)  # fmt: skip
RECLAIMS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5)
"""Of a spot machine and hour, in the plots."""
