"""Keeps scorers of points that were fitted to a model, and finds them by name or path."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass
from pathlib import Path

from schemas.errors import ModelError
from workers.models.kept_files import KeptFiles

SCORERS = KeptFiles("scorer", "scorers", ".safetensors")
# One entry: safetensors writes several in any order, and a file of another SHA-256 each time.
_ENTRY = "fitted_to"
_LENGTH = struct.Struct("<Q")  # of the header that a safetensors file begins with


@dataclass(frozen=True, slots=True)
class ScorerOrigin:
    """The model that a scorer was fitted to: its name, and the SHA-256 of its weights."""

    segmenter: str
    weights_sha256: str

    def to_metadata(self) -> dict[str, str]:
        """What is kept of it in a scorer's file."""
        return {_ENTRY: json.dumps(asdict(self))}


@dataclass(frozen=True, slots=True)
class ScorerFile:
    """A scorer as its file has it: so it travels to workers on machines without that file.

    `name` is what it was called by.
    """

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def read_origin(self) -> ScorerOrigin:
        """The model that it was fitted to. Raises ModelError if it does not say."""
        try:
            (length,) = _LENGTH.unpack_from(self.content)
            header = json.loads(self.content[_LENGTH.size : _LENGTH.size + length])
            fitted_to = json.loads(header["__metadata__"][_ENTRY])
            return ScorerOrigin(fitted_to["segmenter"], fitted_to["weights_sha256"])
        except (struct.error, ValueError, KeyError, TypeError) as exc:
            raise ModelError(
                f"expected a scorer that `objseek tune` has kept, got {self.name!r}, "
                "which does not say of which model it is"
            ) from exc

    def check_segmenter(self, segmenter: str) -> None:
        """Raise ModelError unless it is a scorer of `segmenter`, whatever the weights."""
        if (found := self.read_origin().segmenter) != segmenter:
            raise ModelError(
                f"expected a scorer of {segmenter}, got {self.name!r}, which is one of {found}"
            )

    def check_origin(self, model: ScorerOrigin) -> None:
        """Raise ModelError unless it was fitted to just this model."""
        self.check_segmenter(model.segmenter)
        if (found := self.read_origin().weights_sha256) != model.weights_sha256:
            raise ModelError(
                f"expected a scorer of {model.segmenter} with the weights "
                f"{model.weights_sha256[:12]}…, got {self.name!r}, which was fitted to the weights "
                f"{found[:12]}…: `objseek tune` fits one to these"
            )


def list_scorers(cache_dir: Path | None = None) -> list[str]:
    """The names of those that are kept, sorted."""
    return SCORERS.list_names(cache_dir)


def read_scorer(scorer: str, cache_dir: Path | None = None) -> ScorerFile:
    """The scorer of a name or path. Raises ModelError if there is none, UsageError for no name."""
    return ScorerFile(scorer, SCORERS.read(scorer, cache_dir))
