"""Holds the frames of a video against the truth: who is there, and how much masks overlap."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.evaluation.matching import is_seen
from schemas.masks import CocoRle
from schemas.overlaps import Overlaps, mask_iou
from workers.videos.association import assign_pairs

MATCH_IOU = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class FrameComparison:
    """The true objects and the tracks of a frame, with their similarities.

    `similarity` float64 (true, tracks), 0 to 1.
    """

    true_ids: Sequence[Hashable]
    track_ids: Sequence[Hashable]
    similarity: Overlaps

    def __post_init__(self) -> None:
        expected = (len(self.true_ids), len(self.track_ids))
        if self.similarity.shape != expected:
            raise ValueError(f"expected similarities {expected}, got {self.similarity.shape}")


@dataclass(frozen=True, slots=True)
class TrueMask:
    """A true object in a frame; `visible_fraction` of it are in `rle`."""

    rle: CocoRle
    visible_fraction: float

    @property
    def counts(self) -> bool:
        """Whether it has to be found: visible enough and large enough, as in images."""
        x0, y0, x1, y1 = self.rle.bbox_xyxy
        return is_seen(self.visible_fraction, max(x1 - x0, y1 - y0), self.rle.size_hw)


def compare_frame(
    true: Mapping[Hashable, TrueMask], found: Mapping[Hashable, CocoRle]
) -> FrameComparison:
    """A frame's objects that count, and what was found but for what is neither right nor wrong.

    That is what has no partner among objects that count, and an IoU of 0.5 with one that does not.
    """
    wanted = {object_id: mask for object_id, mask in true.items() if mask.counts}
    vague = [mask.rle for mask in true.values() if not mask.counts]
    rles = list(found.values())
    similarity = mask_iou([mask.rle for mask in wanted.values()], rles)
    partners = {column for _, column in assign_pairs(similarity, MATCH_IOU)} if rles else set()
    unclear = mask_iou(rles, vague).max(axis=1, initial=0.0) >= MATCH_IOU
    kept = [column for column in range(len(rles)) if column in partners or not unclear[column]]
    ids = list(found)
    return FrameComparison(list(wanted), [ids[column] for column in kept], similarity[:, kept])
