"""SAM 2's video model in its smallest shape, with random weights, as the hub has it."""

from __future__ import annotations

from typing import Any

from support.tiny_segmenters import SIDE, Family, make_sam2_parts

MASK_MEMORIES, POINTERS = 3, 5
_MEMORY_CHANNELS = 64  # its attention takes no others


def make_video_model() -> Any:
    """A `Sam2VideoModel` of frames of 64 x 64, which remembers 3 and points to 5 of them."""
    from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoConfig
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoModel

    width = 2 * _MEMORY_CHANNELS
    config = Sam2VideoConfig(
        **make_sam2_parts(width), image_size=SIDE, num_maskmem=MASK_MEMORIES,
        max_object_pointers_in_encoder=POINTERS, memory_attention_hidden_size=width,
        memory_attention_num_layers=1, memory_attention_feed_forward_hidden_size=16,
        memory_attention_rope_feat_sizes=[4, 4], memory_encoder_hidden_size=width,
        memory_encoder_output_channels=_MEMORY_CHANNELS, mask_downsampler_embed_dim=width,
        memory_fuser_num_layers=1, memory_fuser_embed_dim=width, memory_fuser_intermediate_dim=32,
        memory_fuser_kernel_size=3, memory_fuser_padding=1,
    )  # fmt: skip
    model = Sam2VideoModel(config)
    # What is 0 at the start of training would hide whether it is used.
    for name, weights in model.named_parameters():
        if "vision_encoder" not in name and "norm" not in name:
            weights.data.normal_(0, 0.3 if weights.ndim > 1 else 0.1)
    return model.eval()


SAM2_VIDEO = Family("sam2.1_t", make_video_model, {"size": {"height": SIDE, "width": SIDE}})
"""Its folder is one of the image model too, which is a part."""
