"""Goes on with tracks by the masks that a video model has carried to a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from schemas.overlaps import mask_iou, unite_rles
from workers.videos.association import assign_pairs
from workers.videos.duplicates import SHARED
from workers.videos.open_frame import OpenFrame
from workers.videos.open_track import OpenTrack
from workers.videos.propagator import CarriedMask

_LEAST_IOU = 0.5

CarriedMasks = Mapping[int, CarriedMask]
"""By the numbers of their tracks."""


def follow_carried(frame: OpenFrame, tracks: Sequence[OpenTrack], carried: CarriedMasks) -> None:
    """Give tracks the objects whose masks are those that were carried, by an IoU of 0.5 or more."""
    known = [track for track in tracks if track.number in carried]
    if not known or not frame.objects:
        return
    iou = mask_iou(
        [carried[track.number].mask.rle for track in known],
        [seen.mask.rle for seen in frame.objects],
    )
    for row, place in assign_pairs(iou, _LEAST_IOU):
        frame.give(place, known[row])


def keep_missed(frame: OpenFrame, tracks: Sequence[OpenTrack], carried: CarriedMasks) -> None:
    """Let tracks that wait go on in their carried masks, where no object was found.

    Those of which half is shown by what was found, or by a likelier one, do not: the segmenter has
    the last word.
    """
    missed = [track for track in frame.find_waiting(tracks) if track.number in carried]
    if not missed:
        return
    size_hw = carried[missed[0].number].mask.rle.size_hw
    shown = unite_rles([seen.mask.rle for seen in frame.objects], size_hw)
    for track in sorted(missed, key=lambda track: -carried[track.number].score):
        mask = carried[track.number].mask
        pixels = mask.rle.decode()
        if np.count_nonzero(pixels & shown) <= SHARED * mask.area_px:
            track.go_on_carried(frame.time_s, mask)
            shown |= pixels
