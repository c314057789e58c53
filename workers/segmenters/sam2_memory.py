"""What SAM 2's video model remembers of an object: no more than it will look at again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.models.sam2_video.modeling_sam2_video import (
    Sam2VideoInferenceCache,
    Sam2VideoInferenceSession,
)

_OBJECT = 0
_POINTER, _FEATURES, _POSITION = "object_pointer", "maskmem_features", "maskmem_pos_enc"


class ObjectMemory:
    """An object in the frames of a shot, which come one after the other, numbered from 0.

    Kept are: what the model made of the frame in which the object was first shown to it; of the
    last `num_maskmem - 1` frames its memory of pixels; and of the last
    `max_object_pointers_in_encoder - 1` its pointers. No frame, and no mask.

    transformers' sessions keep all of all frames. One for each object, as none can be taken out of
    them; `cache` has the features of the current frame, for all objects.
    """

    def __init__(self, model: Any, cache: Sam2VideoInferenceCache) -> None:
        self._model = model
        self._session = Sam2VideoInferenceSession(
            inference_device=model.device,
            inference_state_device=model.device,
            video_storage_device=model.device,
            dtype=torch.float32,
        )
        self._session.cache = cache
        self._session.obj_id_to_idx(_OBJECT)

    def show(self, place: int, frame: Tensor, mask: Tensor) -> None:
        """Show the object in the current frame: mask float32 (1, 1, side, side), 0 or 1.

        If it has been followed to there, its memory of that frame is made of this mask instead.
        """
        self._session.add_mask_inputs(_OBJECT, place, mask)
        self._session.obj_with_new_inputs = [_OBJECT]
        self._run(place, frame)

    def follow(self, place: int, frame: Tensor) -> tuple[Tensor, float]:
        """Its logits in the next frame, float32 (1, 1, h, w), and how likely it is to be seen."""
        output = self._run(place, frame)
        score = torch.sigmoid(output.object_score_logits.flatten()[0])
        return output.pred_masks, float(score)

    def count_frames(self) -> int:
        """Of how many frames anything is kept."""
        outputs = self._session.output_dict_per_obj[_OBJECT].values()
        return len(self._session.processed_frames) + sum(len(of_frames) for of_frames in outputs)

    def _run(self, place: int, frame: Tensor) -> Any:
        # A frame that is given is one of a stream, of which it need not know the length.
        output = self._model(self._session, frame_idx=place, frame=frame)
        self._prune(place)
        return output

    def _prune(self, place: int) -> None:
        """Let go of what no later frame than that at `place` looks at."""
        config, session = self._model.config, self._session
        session.processed_frames.clear()
        session.mask_inputs_per_obj[_OBJECT].clear()
        followed = session.frames_tracked_per_obj[_OBJECT]
        session.frames_tracked_per_obj[_OBJECT] = {
            at: how for at, how in followed.items() if at == place
        }
        shown, carried = session.output_dict_per_obj[_OBJECT].values()
        # Those of any frame of this size are the same.
        position = next(iter(shown.values()))[_POSITION]
        since_features = place + 2 - config.num_maskmem
        since_pointers = place + 2 - config.max_object_pointers_in_encoder
        for at in list(carried):
            if at < min(since_features, since_pointers):
                del carried[at]
            else:
                carried[at] = _keep(carried[at], position, with_features=at >= since_features)
        for at, output in shown.items():
            shown[at] = _keep(output, position, with_features=True)


def _keep(output: dict[str, Any], position: Tensor, *, with_features: bool) -> dict[str, Any]:
    kept = {_POINTER: output[_POINTER]}
    if with_features:
        kept |= {_FEATURES: output[_FEATURES], _POSITION: position}
    return kept
