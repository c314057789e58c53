"""A machine and prices in round numbers, to compute plans by hand."""

from __future__ import annotations

from pipeline.planning.prices import Prices
from pipeline.planning.profile import PointBytes, Profile, StageSeconds
from pipeline.planning.searches import Searches

PRICES = Prices.model_validate(
    {
        "source": "made up",
        "s3": {"storage_gb_month": 0.02, "gets_1000": 0.0004, "puts_1000": 0.005},
        "transfer_gb": {"same-region": 0, "other-region": 0.02, "internet": 0.09},
        "disk": {"gb_month": 0.1},
        "instances": {"box": {"usd_per_hour": 3.6}},
        "servers": [
            {"name": "small", "gib": 10, "usd_per_hour": 0.5},
            {"name": "large", "gib": 50, "usd_per_hour": 1.0},
        ],
    }
)
SEARCHES = Searches(source="made up", gets_warm=100)


def make_profile(cpu_s: float | None = 0.5) -> Profile:
    """A machine of 4 cores that was timed on images of 1 megapixel with 4 objects each."""
    return Profile(
        name="box",
        hardware="a box",
        models="a segmenter, an embedder",
        instance="box",
        cores=4,
        megapixels=1.0,
        image_bytes=1e6,
        objects=4,
        dim=512,
        cpu_s=cpu_s,
        seconds=StageSeconds(
            start=20,
            list_page=0.1,
            read=0.4,
            decode_mpx=0.05,
            segment=2,
            embed=0.02,
            finish=0.01,
            write=0.003,
        ),
        bytes=PointBytes(payload=1500, thumbnail=3000),
        sources={"all": "made up"},
    )
