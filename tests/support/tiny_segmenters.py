"""Segmenters of every family in their smallest shapes, with random weights and real names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import save_file

SIDE = 64
COMMIT = "c" * 40
_VOCABULARY, _FIRST_WORD = 1100, 1040
_BERT_TOKENS = {
    0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?",
}  # fmt: skip
NAMES = ("cat", "dog", "mug", "sky", "grass")
LABELS = {
    "id2label": dict(enumerate(NAMES)),
    "label2id": {name: number for number, name in enumerate(NAMES)},
}
STUFF = [3, 4]
_SWIN = {
    "model_type": "swin", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2],
    "window_size": 4, "image_size": 32, "out_features": ["stage1", "stage2", "stage3", "stage4"],
}  # fmt: skip
_SMALL = {
    "hidden_dim": 32, "encoder_feedforward_dim": 16, "dim_feedforward": 16, "encoder_layers": 1,
    "decoder_layers": 2, "num_attention_heads": 2, "num_queries": 6,
}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """A tiny model: a name of the catalogue that it stands for, and what makes it."""

    name: str
    make: Callable[[], Any]
    preparation: dict[str, object]
    words: tuple[str, ...] = ()
    """Those that its tokenizer knows, if it has one."""


def _without_scipy(modelling: Any) -> Any:
    return mock.patch.object(modelling, "requires_backends")


def _eomt() -> Any:
    from transformers.models.eomt import modeling_eomt
    from transformers.models.eomt.configuration_eomt import EomtConfig

    config = EomtConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE, patch_size=16,
        num_queries=6, num_blocks=1, num_register_tokens=1, **LABELS,
    )  # fmt: skip
    with _without_scipy(modeling_eomt):
        return modeling_eomt.EomtForUniversalSegmentation(config)


def _mask2former() -> Any:
    from transformers.models.mask2former import modeling_mask2former
    from transformers.models.mask2former.configuration_mask2former import Mask2FormerConfig

    config = Mask2FormerConfig(
        backbone_config=_SWIN, feature_size=32, mask_feature_size=32, **_SMALL, **LABELS
    )
    with _without_scipy(modeling_mask2former):
        return modeling_mask2former.Mask2FormerForUniversalSegmentation(config)


def _oneformer() -> Any:
    from transformers.models.oneformer import modeling_oneformer
    from transformers.models.oneformer.configuration_oneformer import OneFormerConfig

    config = OneFormerConfig(
        backbone_config=_SWIN, conv_dim=32, mask_dim=32, text_encoder_width=8,
        text_encoder_num_layers=1, query_dec_layers=1, **_SMALL, **LABELS,
    )  # fmt: skip
    with _without_scipy(modeling_oneformer):
        return modeling_oneformer.OneFormerForUniversalSegmentation(config)


def _segformer() -> Any:
    from transformers.models.segformer.configuration_segformer import SegformerConfig
    from transformers.models.segformer.modeling_segformer import SegformerForSemanticSegmentation

    config = SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[4, 4, 8, 8], num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=8, **LABELS,
    )  # fmt: skip
    return SegformerForSemanticSegmentation(config)


def _rf_detr() -> Any:
    from transformers.models.rf_detr.configuration_rf_detr import RfDetrConfig
    from transformers.models.rf_detr.modeling_rf_detr import RfDetrForInstanceSegmentation

    backbone = {
        "model_type": "rf_detr_dinov2", "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": SIDE, "patch_size": 8, "num_windows": 1,
        "out_features": ["stage1", "stage2"],
    }  # fmt: skip
    config = RfDetrConfig(
        backbone_config=backbone, d_model=32, decoder_ffn_dim=16, decoder_layers=1,
        decoder_self_attention_heads=2, decoder_cross_attention_heads=2, num_queries=6,
        group_detr=1, intermediate_size=16, **LABELS,
    )  # fmt: skip
    return RfDetrForInstanceSegmentation(config)


def make_sam2_parts(width: int = 32) -> dict[str, Any]:
    """The parts of a `Sam2Config` of frames of 64 x 64, with so many channels."""
    backbone = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1,
        "image_size": [SIDE, SIDE], "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 1, 2, 4],
        "window_size_per_stage": [4, 4, 4, 4], "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [2, 2],
    }  # fmt: skip
    return {
        "vision_config": {
            "backbone_config": backbone, "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": width,
        },
        "prompt_encoder_config": {
            "hidden_size": width, "image_size": SIDE, "mask_input_channels": 4,
        },
        "mask_decoder_config": {
            "hidden_size": width, "mlp_dim": 32, "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    }  # fmt: skip


def _sam2() -> Any:
    from transformers.models.sam2.configuration_sam2 import Sam2Config
    from transformers.models.sam2.modeling_sam2 import Sam2Model

    model = Sam2Model(Sam2Config(**make_sam2_parts()))
    # What is 0 at the start of training would hide whether it is used.
    for name, weights in model.named_parameters():
        if weights.ndim > 1 and "vision_encoder" not in name:
            weights.data.normal_(0, 0.3)
        elif weights.ndim == 1 and "norm" not in name:
            weights.data.normal_(0, 0.1)
    return model


def _grounding_dino() -> Any:
    from transformers.models.mm_grounding_dino import modeling_mm_grounding_dino
    from transformers.models.mm_grounding_dino.configuration_mm_grounding_dino import (
        MMGroundingDinoConfig,
    )

    text = {
        "model_type": "bert", "vocab_size": _VOCABULARY, "hidden_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 16,
    }  # fmt: skip
    config = MMGroundingDinoConfig(
        backbone_config={**_SWIN, "out_features": ["stage2", "stage3", "stage4"]},
        text_config=text, d_model=32, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2, num_queries=12,
        decoder_bbox_embed_share=False, decoder_cls_embed_share=False,
    )  # fmt: skip
    model = modeling_mm_grounding_dino.MMGroundingDinoForObjectDetection(config)
    for embed in model.class_embed:
        embed.bias.data.zero_()
    for embed in model.bbox_embed:
        embed.layers[-1].weight.data.normal_(0, 1.0)
    return model


def _sam3() -> Any:
    from transformers.models.sam3.configuration_sam3 import Sam3Config
    from transformers.models.sam3.modeling_sam3 import Sam3Model

    small = {"hidden_size": 32, "num_attention_heads": 2}
    layers = {**small, "intermediate_size": 16, "num_layers": 1}
    backbone = {
        **small, "model_type": "sam3_vit_model", "intermediate_size": 16, "num_hidden_layers": 2,
        "image_size": 112, "patch_size": 14, "window_size": 4, "pretrain_image_size": 56,
        "global_attn_indexes": [1],
    }  # fmt: skip
    text = {
        **small, "vocab_size": 600, "intermediate_size": 16, "num_hidden_layers": 1,
        "max_position_embeddings": 32, "projection_dim": 16, "bos_token_id": 512,
        "eos_token_id": 513,
    }  # fmt: skip
    sides = [[32, 32], [16, 16], [8, 8]]
    model = Sam3Model(
        Sam3Config(
            vision_config={
                "backbone_config": backbone, "fpn_hidden_size": 32, "backbone_feature_sizes": sides,
            },
            text_config=text, geometry_encoder_config=layers, detr_encoder_config=layers,
            detr_decoder_config={**layers, "num_queries": 10}, mask_decoder_config=small,
        )
    )  # fmt: skip
    for weights in model.parameters():
        if weights.ndim > 1:
            weights.data.normal_(0, 1.4 * weights[0].numel() ** -0.5)
    return model


_SQUARE = {"size": {"height": SIDE, "width": SIDE}}
_SHORTEST = {"size": {"shortest_edge": SIDE, "longest_edge": 2 * SIDE}, "size_divisor": 32}
FAMILIES = (
    Family("segformer_b0_ade", _segformer, _SQUARE),
    Family(
        "eomt_coco_panoptic_s",
        _eomt,
        {"size": {"shortest_edge": SIDE, "longest_edge": SIDE}, "do_pad": True},
    ),
    Family(
        "eomt_ade_semantic_l",
        _eomt,
        {"size": {"shortest_edge": SIDE, "longest_edge": None}, "do_split_image": True},
    ),
    Family("mask2former_swin_t_coco_panoptic", _mask2former, _SHORTEST),
    Family("mask2former_swin_t_coco_instance", _mask2former, _SHORTEST),
    Family("oneformer_swin_l_coco", _oneformer, _SHORTEST),
    Family("rf_detr_seg_nano", _rf_detr, _SQUARE),
)
WORDS = ("a", "red", "mug", "cat", "dog", "plate", "small", "##s", ",")
DETECTOR = Family("mm_grounding_dino_tiny", _grounding_dino, _SHORTEST, WORDS)
"""Finds boxes for texts."""
SAM3 = Family("sam3", _sam3, {"size": {"height": 112, "width": 112}})
"""Its weights are never fetched; its tokenizer knows letters, see `write_letters`."""
SAM2 = Family("sam2.1_t", _sam2, {"size": {"height": SIDE, "width": SIDE}})
"""It knows no classes."""


def write_vocabulary(words: tuple[str, ...], folder: Path) -> None:
    """A tokenizer of BERT that knows these words; the tokens that its models rely on are there."""
    vocabulary = [f"[unused{number}]" for number in range(_VOCABULARY)]
    for number, token in _BERT_TOKENS.items():
        vocabulary[number] = token
    vocabulary[_FIRST_WORD : _FIRST_WORD + len(words)] = words
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")


def write_letters(folder: Path) -> None:
    """A tokenizer of CLIP to which a letter is a token."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = [
        *letters,
        *(f"{letter}</w>" for letter in letters),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[])
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))


def write_folder(family: Family, folder: Path) -> Path:
    """The model's files as the hub has them."""
    torch.manual_seed(7)
    model = family.make()
    # Random heads are sure of nothing: what they say is made to differ from place to place.
    for name, weights in model.named_parameters():
        if name.endswith(("class_predictor.weight", "class_embed.weight", "classifier.weight")):
            weights.data.normal_(0, 1.0)
    folder.mkdir(parents=True)
    config = model.config.to_dict() | {"stuff_ids": STUFF}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(family.preparation))
    # As the hub has them, parts that are shared are there once.
    kept = {value.data_ptr(): key for key, value in reversed(model.state_dict().items())}
    tensors = {key: model.state_dict()[key].contiguous().clone() for key in kept.values()}
    save_file(tensors, folder / "model.safetensors")
    if family.words:
        write_vocabulary(family.words, folder)
    return folder


class HubHandler(BaseHTTPRequestHandler):
    """Serves folders as the hub does, by repository; large files name their SHA-256."""

    repositories: dict[str, Path]
    asked: list[str]
    wrong: bool = False

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        repository, _, rest = self.path.strip("/").partition("/resolve/")
        revision, _, file_name = rest.partition("/")
        if file_name:  # the hub's client asks once a process for more than files
            self.asked.append(f"{self.command} {file_name} {revision}")
        path = self.repositories.get(repository, Path("/none")) / file_name
        if not path.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = path.read_bytes()
        is_large = file_name.startswith(("model", "pytorch_model"))
        etag = hashlib.sha256(body).hexdigest() if is_large else hashlib.sha1(body).hexdigest()
        self.send_response(200)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if is_large:
            linked = "0" * 64 if self.wrong else etag
            self.send_header("X-Linked-ETag", f'"{linked}"')
            self.send_header("X-Linked-Size", str(len(body)))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass
