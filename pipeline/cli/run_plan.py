"""Gathers what a plan is made of: a sample of the source, and a profile of a machine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.cli.console import err
from pipeline.cli.progress_bars import show_progress
from pipeline.cli.run_job import prepare_models
from pipeline.demo.bucket import write_bucket
from pipeline.planning.measure import add_imports, assume_bucket, measure
from pipeline.planning.plan import Plan, Wishes, build_plan, count_images
from pipeline.planning.prices import InstancePrice, Prices, read_prices
from pipeline.planning.profile import Profile, read_profile, save_profile
from pipeline.planning.sample import LISTED, Sample, take_sample
from pipeline.settings import Settings
from schemas.errors import UsageError
from workers.durable_files import check_output_file

_SCENES = 60
_SEED = 11
_OWN = "own"


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What the command line says beside settings and `Wishes`.

    `machine`: a profile's name or file, None: this one is measured for `seconds`, with `sampled`
    images read. `count`: list all of a bucket.
    """

    machine: str | None
    machines: int
    sampled: int
    seconds: float
    count: bool
    prices: Path | None
    usd_per_hour: float | None
    save_profile: Path | None


def make_plan(
    sources: Sequence[str], settings: Settings, wishes: Wishes, request: PlanRequest
) -> Plan:
    """The plan of an ingest of `sources`, or of images that are only told of.

    Raises UsageError, and what stores, models and an ingest raise.
    """
    prices = read_prices(request.prices)
    if request.save_profile is not None:
        _check_saving(request)
        check_output_file(request.save_profile, "the profile")
    profile = None if request.machine is None else read_profile(request.machine)
    sample = _sample(sources, settings, request) if sources else None
    count_images(wishes, sample)  # before anything takes long
    if profile is None:
        profile = _measure(settings, sample, request)
    if request.save_profile is not None:
        save_profile(profile, request.save_profile)
    profile, prices = _set_price(profile, prices, request.usd_per_hour)
    return build_plan(settings, request.machines, wishes, sample, profile, prices)


def _check_saving(request: PlanRequest) -> None:
    if request.machine is not None:
        raise UsageError(
            f"expected --save-profile where this machine is measured, got it with {request.machine}"
        )


def _sample(sources: Sequence[str], settings: Settings, request: PlanRequest) -> Sample:
    # A folder is listed in no time.
    is_remote = any(source.startswith("s3://") for source in sources)
    most = LISTED if is_remote and not request.count else None
    return take_sample(sources, settings.store, settings.decode, request.sampled, most)


def _measure(settings: Settings, sample: Sample | None, request: PlanRequest) -> Profile:
    prepare_models(settings)
    progress = show_progress(err())
    # So far, but for the sample, there was little but imports: none of it waits for anything.
    sampled_s = 0.0 if sample is None else sum(image.decode_s for image in sample.images)
    imported_s = max(0.0, time.process_time() - sampled_s)
    with progress:
        if sample is not None:
            measured = measure(settings, sample, request.seconds, progress.note)
            return add_imports(measured, imported_s)
        with tempfile.TemporaryDirectory(prefix="objseek-plan-") as folder:
            progress.note("composing scenes to measure with")
            write_bucket(Path(folder), _SCENES, _SEED)
            scenes = take_sample([folder], settings.store, settings.decode, request.sampled, None)
            measured = measure(settings, scenes, request.seconds, progress.note)
            return assume_bucket(add_imports(measured, imported_s))


def _set_price(
    profile: Profile, prices: Prices, usd_per_hour: float | None
) -> tuple[Profile, Prices]:
    if usd_per_hour is None:
        return profile, prices
    instances = prices.instances | {_OWN: InstancePrice(usd_per_hour=usd_per_hour)}
    return (
        profile.model_copy(update={"instance": _OWN}),
        prices.model_copy(update={"instances": instances}),
    )
