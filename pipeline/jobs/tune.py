"""Fits a scorer of points to a segmenter, on a sample of a source's images."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from pipeline.ingestion.listing import ignore_skipped, list_images
from pipeline.progress import Progress, format_clock
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.images import DecodedImage, ImageRef, UInt8Image
from workers.batching import batched
from workers.models.kept_files import make_name
from workers.read_images import read_images
from workers.registry import build_segmenter
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.point_scorer import PointScorer
from workers.segmenters.scorer_fit import AskedPoints, ask_points, fit_scorer
from workers.segmenters.scorer_trials import Trial, Trials, try_scorer
from workers.segmenters.tuned_scorers import SCORERS, ScorerFile, ScorerOrigin

FEWEST_IMAGES = 5
_LISTED = 10_000  # the images that a sample is drawn from
_ONE_HELD_OUT_OF = 5
_READ_AT_ONCE = 4
_SECONDS_A_NOTE = 5.0
_SEED = 1
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """`name`: what the scorer is kept as, None: named after the segmenter and the source.

    `images` are asked, a fifth of them held out to try it on. At most `max_lost` of the masks that
    the whole grid finds there may be lost (see `Trials.choose`).
    """

    name: str | None = None
    images: int = 100
    max_lost: float = 0.05


@dataclass(frozen=True, slots=True)
class TunedScorer:
    """A scorer that is kept, and what was seen while it was fitted.

    `fitted_images` and `unreadable` images; `yielding_share` of the `points` that it was fitted to
    gave a mask. `trials` are those of images that it was not fitted to, `chosen` the one whose
    bound it has.
    """

    name: str
    path: Path
    sha256: str
    origin: ScorerOrigin
    fitted_images: int
    unreadable: int
    points: int
    yielding_share: float
    trials: Trials
    chosen: Trial
    seconds: float


def tune_scorer(
    source: str, settings: Settings, options: TuneOptions, progress: Progress | None = None
) -> TunedScorer:
    """Ask the whole grid on images of a source, fit a scorer to the answers, try it and keep it.

    No labels are needed: the decoder's own answers tell where it finds something. Images are drawn
    from the first 10,000 that are listed, the same on every run. Raises UsageError where there are
    too few images or masks, or a scorer of that name is kept already, and what stores and models
    raise.
    """
    name = options.name or name_scorer(settings.segmenter.name, source)
    path = SCORERS.free_path(name, settings.cache_dir)
    progress = progress or Progress()
    with progress:
        progress.note("listing images")
        sample = _Sample(source, settings, options.images)
        progress.note("loading the segmenter")
        return _Tuning(name, path, settings, sample, progress).run(options.max_lost)


def name_scorer(segmenter: str, source: str) -> str:
    """What a scorer is called unless it is given a name: `sam_vit_b-photos`."""
    parts = [part for part in source.split("/") if part.strip(".") and not _GLOB.search(part)]
    return make_name(segmenter, make_name(parts[-1] if parts else "") or "source")


class _Sample:
    """Images of a source in random order: `to_fit` to fit to, others `held_out` to try it on.

    Those that cannot be read are counted, and others take their places as long as there are any.
    """

    def __init__(self, source: str, settings: Settings, images: int) -> None:
        listed = list(
            islice(list_images([source], settings.store.without_videos(), ignore_skipped), _LISTED)
        )
        if len(listed) < FEWEST_IMAGES:
            raise UsageError(
                f"expected {FEWEST_IMAGES} images or more under {source}, to fit to some and to "
                f"try the scorer on others, got {len(listed)}"
            )
        random.Random(_SEED).shuffle(listed)
        self.source, self.total = source, min(images, len(listed))
        self.unreadable = 0
        self._settings, self._listed = settings, listed
        self._held_out: list[ImageRef] = []

    def read_to_fit(self) -> Iterator[UInt8Image]:
        """Every fifth of all that are read is set aside."""
        for number, image in enumerate(islice(self._read(self._listed), self.total)):
            if number % _ONE_HELD_OUT_OF == _ONE_HELD_OUT_OF - 1:
                self._held_out.append(image.ref)
            else:
                yield image.pixels

    def read_held_out(self) -> Iterator[UInt8Image]:
        """Those that were set aside: not kept meanwhile, as they may be large."""
        return (image.pixels for image in self._read(self._held_out))

    @property
    def held_out(self) -> int:
        return len(self._held_out)

    def _read(self, listed: Sequence[ImageRef]) -> Iterator[DecodedImage]:
        store, decode = self._settings.store, self._settings.decode
        for refs in batched(listed, _READ_AT_ONCE):
            for image in read_images(refs, store, decode, _READ_AT_ONCE):
                if isinstance(image, DecodedImage):
                    yield image
                else:
                    self.unreadable += 1


class _Tuning:
    def __init__(
        self, name: str, path: Path, settings: Settings, sample: _Sample, progress: Progress
    ) -> None:
        plain = {"prompts": "grid", "scorer": None, "refine": None}
        options = settings.segmenter.model_copy(update=plain)
        segmenter = build_segmenter(options, settings.cache_dir)
        if not isinstance(segmenter, GridSegmenter):
            raise UsageError(f"expected a segmenter that is asked at points, got {options.name!r}")
        self._name, self._path, self._sample = name, path, sample
        self._segmenter, self._progress = segmenter, progress
        self._began = self._told = time.monotonic()

    def run(self, max_lost: float) -> TunedScorer:
        images, asked = self._ask()
        features = torch.from_numpy(np.concatenate([part.features for part in asked])).float()
        yielding = torch.from_numpy(np.concatenate([part.yielding for part in asked])).float()
        if not yielding.any():
            raise UsageError(
                f"the whole grid found no mask in {images} images under {self._sample.source}: "
                "nothing can be learnt from them"
            )
        self._progress.note(f"fitting to the answers at {len(yielding):,} points")
        scorer = fit_scorer(features, yielding, self._segmenter.parameters)
        trials = self._try(scorer)
        chosen = trials.choose(max_lost)
        file = self._keep(scorer, chosen)
        return TunedScorer(
            name=self._name,
            path=self._path,
            sha256=file.sha256,
            origin=file.read_origin(),
            fitted_images=images,
            unreadable=self._sample.unreadable,
            points=len(yielding),
            yielding_share=float(yielding.mean()),
            trials=trials,
            chosen=chosen,
            seconds=time.monotonic() - self._began,
        )

    def _ask(self) -> tuple[int, list[AskedPoints]]:
        """How many images were asked, and their answers. Raises UsageError if none is held out."""
        segmenter, sample, began = self._segmenter, self._sample, time.monotonic()
        asked: list[AskedPoints] = []
        images = 0
        for images, image in enumerate(sample.read_to_fit(), start=1):
            crops = segmenter.crops_of(image)
            asked += [ask_points(segmenter, crop, segmenter.grid_of(crop)) for crop in crops]
            left = sample.total - sample.total // _ONE_HELD_OUT_OF
            self._tell("asking the whole grid", images, left, began)
        if not sample.held_out:
            raise UsageError(
                f"expected {FEWEST_IMAGES} images or more under {sample.source} that can be read, "
                f"got {images}, and {sample.unreadable} that cannot be"
            )
        return images, asked

    def _try(self, scorer: PointScorer) -> Trials:
        sample, began = self._sample, time.monotonic()
        trials = Trials(0, 0, 0, ())
        for trials in try_scorer(self._segmenter, scorer, sample.read_held_out()):
            self._tell("trying it on images held out", trials.images, sample.held_out, began)
        if not trials.grid_masks:
            raise UsageError(
                f"the whole grid found no mask in the {trials.images} images held out of "
                f"{sample.source}: take more with --images"
            )
        return trials

    def _tell(self, what: str, done: int, count: int, began: float) -> None:
        now = time.monotonic()
        if now - self._told < _SECONDS_A_NOTE and done < count:
            return
        self._told = now
        left = format_clock((now - began) / done * (count - done))
        self._progress.note(f"{what}: {done:,} of {count:,} images, {left} left")

    def _keep(self, scorer: PointScorer, chosen: Trial) -> ScorerFile:
        scorer.least_score.fill_(chosen.least_score or 0.0)
        origin = ScorerOrigin(self._segmenter.name, self._segmenter.weights_sha256)
        file = ScorerFile(self._name, save(scorer.state_dict(), origin.to_metadata()))
        SCORERS.write(self._path, file.content)
        return file
