"""SAM 2's video model with a pruned memory: what transformers' own session says, in less room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from support.drawn_tracks import draw_square
from support.tiny_sam2_video import MASK_MEMORIES, POINTERS, make_video_model
from support.tiny_segmenters import SIDE
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from workers.segmenters.sam2_memory import ObjectMemory
from workers.segmenters.sam2_prompter import make_frame
from workers.segmenters.sam2_propagator import Sam2Propagator, Sam2Shot

SIZE_HW = (48, 80)
Shown = Mapping[int, ObjectMask]


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(7)
    return make_video_model().requires_grad_(False)


def draw_images(count: int) -> list[UInt8Image]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8) for _ in range(count)]


def square(x: int, y: int, side: int) -> ObjectMask:
    mask: ObjectMask = draw_square(x, y, side, SIZE_HW)
    return mask


def carry_all(
    shot: Sam2Shot, shown: Sequence[Shown], numbers: Sequence[int]
) -> list[dict[int, ObjectMask]]:
    """What is in each frame after the first; `shown` of all frames but the last."""
    return [
        {
            number: carried.mask
            for number, carried in shot.carry(
                {number: masks.get(number) for number in numbers}
            ).items()
        }
        for masks in shown
    ]


def ask_model(
    model: Any, images: Sequence[UInt8Image], shown: Sequence[Shown]
) -> list[dict[int, torch.Tensor]]:
    """The same by a session of transformers that keeps all of all frames: logits by object."""
    frames = [make_frame(image, SIDE, torch.device("cpu")) for image in images]
    session, answers = Sam2VideoInferenceSession(dtype=torch.float32), []
    for place, masks in enumerate(shown):
        for number, mask in masks.items():
            pixels = torch.from_numpy(mask.rle.decode()).float()[None, None]
            large = torch.nn.functional.interpolate(
                pixels, (SIDE, SIDE), mode="bilinear", antialias=True
            )
            index = session.obj_id_to_idx(number)
            session.add_mask_inputs(index, place, (large >= 0.5).float())
            session.obj_with_new_inputs.append(number)
        if masks:
            model(session, frame_idx=place, frame=frames[place])
        output = model(session, frame_idx=place + 1, frame=frames[place + 1])
        answers.append(dict(zip(output.object_ids, output.pred_masks.split(1), strict=True)))
    return answers


def test_masks_are_those_of_a_session_that_forgets_nothing(model: Any) -> None:
    images = draw_images(14)
    shown: list[Shown] = [{} for _ in images[1:]]
    shown[0] = {0: square(5, 5, 20), 1: square(30, 10, 30)}
    shown[4] = {1: square(32, 8, 30)}
    shown[5] = {0: square(9, 9, 24), 1: square(40, 8, 30)}
    ours = carry_all(Sam2Propagator(model).open_shot(images), shown, (0, 1))
    theirs = ask_model(model, images, shown)
    seen = 0
    for found, logits in zip(ours, theirs, strict=True):
        for number, low in logits.items():
            large = torch.nn.functional.interpolate(low, SIZE_HW, mode="bilinear")[0, 0] > 0
            assert (number in found) == bool(large.any())
            if number in found:
                seen += 1
                # Sums of other batches end in other digits.
                assert (found[number].rle.decode() != large.numpy()).mean() < 0.01
    assert seen > len(images)


def count_bytes(memory: ObjectMemory) -> int:
    """Of all tensors that it keeps, each as large as what it is a view of."""
    session = memory._session
    outputs = (
        output for frames in session.output_dict_per_obj[0].values() for output in frames.values()
    )
    kept = [value for output in outputs for value in output.values() if value is not None]
    kept += [*session.processed_frames.values(), *session.mask_inputs_per_obj[0].values()]
    storages = {value.untyped_storage().data_ptr(): value.untyped_storage() for value in kept}
    return sum(storage.nbytes() for storage in storages.values())


def test_memory_does_not_grow_with_the_shot(model: Any) -> None:
    shot = Sam2Propagator(model).open_shot(draw_images(41))
    counts, sizes = [], []
    for place in range(40):
        # It is found again in every third frame.
        shot.carry({0: None if place % 3 else square(5 + place, 5, 20)})
        counts.append(shot.memories[0].count_frames())
        sizes.append(count_bytes(shot.memories[0]))
    # The first frame, and those that are pointed to.
    assert counts == [min(place + 2, POINTERS) for place in range(40)]
    assert MASK_MEMORIES < POINTERS
    assert len(set(sizes[POINTERS:])) == 1
    # No mask and no frame is kept: one alone, of 64 x 64 numbers, would be as large as this.
    assert sizes[-1] < (MASK_MEMORIES + 1) * 4 * SIDE**2
    assert len(shot.memories[0]._session.frames_tracked_per_obj[0]) == 1


def test_of_what_is_gone_nothing_is_kept(model: Any) -> None:
    images = draw_images(5)
    shot = Sam2Propagator(model).open_shot(images)
    shot.carry({0: square(5, 5, 20), 1: square(30, 10, 30)})
    shot.carry({1: None})
    assert list(shot.memories) == [1]
    assert shot.carry({}) == {}
    assert shot.memories == {}
    again = shot.carry({2: square(5, 5, 20)})
    alone = Sam2Propagator(model).open_shot(images[3:]).carry({0: square(5, 5, 20)})
    assert list(again.values()) == list(alone.values())
    with pytest.raises(IndexError):
        shot.carry({2: None})
