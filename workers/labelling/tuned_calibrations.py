"""Reads and writes calibrations that were fitted to an embedder on labelled images."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from schemas.errors import EmbedderMismatchError, ModelError
from schemas.options import EmbedderOptions
from workers.labelling.calibration import Calibration
from workers.models.kept_files import KeptFiles

CALIBRATIONS = KeptFiles("calibration", "calibrations", ".json")


@dataclass(frozen=True, slots=True)
class CalibrationOrigin:
    """The embedder that a calibration was fitted to.

    `embedding` is the `Pipeline.embedding` of the vectors: it covers the embedder's weights and
    which views of an object they are of. None where the index did not know it, as one that was
    imported: then the name alone is compared.
    """

    embedder: str
    embedding: str | None


@dataclass(frozen=True, slots=True)
class TunedCalibration:
    """A calibration that `objseek tune --truth` has fitted; `name` is what it was called by."""

    name: str
    origin: CalibrationOrigin
    calibration: Calibration

    def to_json(self) -> bytes:
        """Its file: the same for the same numbers."""
        kept = {"fitted_to": asdict(self.origin), "calibration": asdict(self.calibration)}
        return (json.dumps(kept, indent=1) + "\n").encode()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_json()).hexdigest()

    def check_embedder(self, embedder: str) -> None:
        """Raise EmbedderMismatchError unless it is of this embedder, whatever the weights."""
        if self.origin.embedder != embedder:
            raise EmbedderMismatchError(
                f"expected a calibration of {embedder}, got {self.name!r}, which is one of "
                f"{self.origin.embedder}"
            )

    def check_embedding(self, embedding: str) -> None:
        """Raise EmbedderMismatchError unless it was fitted to just such vectors."""
        if self.origin.embedding not in (None, embedding):
            raise EmbedderMismatchError(
                f"expected a calibration of {self.origin.embedder} with the weights and views of "
                f"these vectors ({embedding}), got {self.name!r}, which was fitted to others "
                f"({self.origin.embedding}): `objseek tune --truth` fits one to these"
            )


@dataclass(frozen=True, slots=True)
class _Kept:
    fitted_to: CalibrationOrigin
    calibration: Calibration


_FILE = TypeAdapter(_Kept)


def read_calibration(named: str, cache_dir: Path | None = None) -> TunedCalibration:
    """The calibration of a name or path.

    Raises ModelError if there is none, or it is damaged; UsageError for what can be neither.
    """
    content = CALIBRATIONS.read(named, cache_dir)
    try:
        kept = _FILE.validate_json(content)
    except ValidationError as exc:
        raise _not_kept(named) from exc
    if not all(map(math.isfinite, _numbers(asdict(kept.calibration)))):
        raise _not_kept(named)
    return TunedCalibration(named, kept.fitted_to, kept.calibration)


def read_chosen(options: EmbedderOptions, cache_dir: Path | None) -> TunedCalibration | None:
    """What `options.calibration` names, None if it names none.

    Raises what `read_calibration` does, and EmbedderMismatchError for that of another embedder.
    """
    if options.calibration is None:
        return None
    tuned = read_calibration(options.calibration, cache_dir)
    tuned.check_embedder(options.name)
    return tuned


def _numbers(values: Any) -> Iterator[float]:
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, list | tuple):
        for value in values:
            yield from _numbers(value)
    elif values is not None:
        yield float(values)


def _not_kept(named: str) -> ModelError:
    return ModelError(
        f"expected a calibration that `objseek tune --truth` has kept, got {named!r}, which is none"
    )
