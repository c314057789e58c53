"""Describes a model that can be named: what it finds, its licence, where its weights are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ModelKind = Literal["segmenter", "embedder", "detector"]
ModelSource = Literal["bundled", "official", "open_clip", "hub", "user", "none"]
SegmenterTask = Literal["everything", "instance", "semantic", "panoptic", "boxes", "texts"]

_SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model that can be named.

    `source` says where its weights come from: bundled with objseek, fetched from the official
    `url`, fetched from `hub_repo` of the Hugging Face hub at `revision` (a commit, or a branch
    whose commit is kept at the first fetch), fetched by open_clip itself from `hub_repo`, got from
    there by the user who has been granted them, or there are none. `sha256` is the published one,
    in hexadecimal, or as many of its first digits as are published. `size_bytes` is exact where it
    is whole, else rounded.

    `module` is the file of a segmenter in `workers.segmenters`, `task` what it finds unless
    another is asked for. `restriction` says what weights may be used for that are not free for all
    uses, and by which licence: they are fetched only for those who accept their licence.
    """

    name: str
    kind: ModelKind
    source: ModelSource
    licence: str
    about: str
    file_name: str = ""
    size_bytes: int | None = None
    url: str = ""
    sha256: str = ""
    hub_repo: str = ""
    revision: str = "main"
    module: str = ""
    task: SegmenterTask = "everything"
    restriction: str = ""

    @property
    def exact_size_bytes(self) -> int | None:
        """The size that a download must have, None where it is not known exactly."""
        return self.size_bytes if len(self.sha256) == _SHA256_DIGITS else None
