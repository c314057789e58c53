"""Keeps scorers of points that were fitted to a model, and finds them by name or path."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from dataclasses import asdict, dataclass
from pathlib import Path

from schemas.errors import ModelError, UsageError
from workers.models.weights import cache_folder

_FOLDER, _SUFFIX = "scorers", ".safetensors"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
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


def scorers_folder(cache_dir: Path | None = None) -> Path:
    """The folder of scorers that are kept by name: within that of fetched weights."""
    return cache_folder(cache_dir) / _FOLDER


def list_scorers(cache_dir: Path | None = None) -> list[str]:
    """The names of those that are kept, sorted."""
    return sorted(path.stem for path in scorers_folder(cache_dir).glob(f"*{_SUFFIX}"))


def kept_path(name: str, cache_dir: Path | None = None) -> Path:
    """The file that keeps, or would keep, a scorer of this name. Raises UsageError for no name."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"expected a name of letters, digits, dots, dashes and underscores, got {name!r}"
        )
    return scorers_folder(cache_dir) / (name + _SUFFIX)


def find_scorer(scorer: str, cache_dir: Path | None = None) -> Path:
    """The file of a name or path; what has a slash or ends in .safetensors is a path.

    It may be absent. Raises UsageError for what can be neither.
    """
    if "/" in scorer or scorer.endswith(_SUFFIX):
        return Path(scorer).expanduser()
    return kept_path(scorer, cache_dir)


def read_scorer(scorer: str, cache_dir: Path | None = None) -> ScorerFile:
    """The scorer of a name or path. Raises ModelError if there is none, UsageError for no name."""
    path = find_scorer(scorer, cache_dir)
    try:
        return ScorerFile(scorer, path.read_bytes())
    except FileNotFoundError as exc:
        known = ", ".join(list_scorers(cache_dir)) or "none"
        raise ModelError(
            f"there is no scorer {scorer!r} ({path}): `objseek tune` fits one, kept are {known}"
        ) from exc
    except OSError as exc:
        raise ModelError(f"the scorer {path} cannot be read: {exc.strerror or exc}") from exc
