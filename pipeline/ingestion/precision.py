"""Settles the type that models compute in: once a run, for all its workers and all later runs."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.settings import Settings
from schemas.options import DeviceName, FixedPrecisionName, Precision, PrecisionName, RunnerOptions


def settle_precision(
    settings: Settings, begun: Precision | None, warn: Callable[[str], None]
) -> Precision:
    """What both models compute in: what the index was `begun` in, else as the settings say.

    `warn` is told where the settings ask for another than the index goes on in. Raises UsageError
    for a device that is asked for and is not there.
    """
    segmenter, embedder, runner = settings.segmenter, settings.embedder, settings.runner
    if begun is None:
        return Precision(
            segmenter=_choose(segmenter.precision, segmenter.device, runner),
            embedder=_choose(embedder.precision, embedder.device, runner),
        )
    for verb, used, wanted in (
        ("segmented", begun.segmenter, segmenter.precision),
        ("embedded", begun.embedder, embedder.precision),
    ):
        if wanted not in ("auto", used):
            warn(f"this index goes on being {verb} in {used}, as it was begun, and not in {wanted}")
    return begun


def _choose(wanted: PrecisionName, device: DeviceName, runner: RunnerOptions) -> FixedPrecisionName:
    """What is wanted; for "auto" what is usual on the device that workers are going to have.

    Of Ray's workers that is declared, never probed: one without a GPU of its own sees none.
    """
    if wanted != "auto":
        return wanted
    # What nothing is computed with need not be imported.
    from workers.models.precision import usual_precision
    from workers.registry import resolve_device

    if device == "auto" and runner.name == "ray":
        device = "cuda" if runner.gpus_per_worker > 0 else "cpu"
    return usual_precision(resolve_device("auto") if device == "auto" else device)
