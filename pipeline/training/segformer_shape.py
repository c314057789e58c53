"""Says what `segformer_demo` is made of: transformers' SegFormer, smaller than B0."""

from __future__ import annotations

from transformers import SegformerConfig

from pipeline.demo.groups import GROUPS

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
PREPARATION = {
    "size": {"shortest_edge": 384, "longest_edge": 1024},
    "image_mean": list(MEAN),
    "image_std": list(STD),
}
"""In the words of the hub's `preprocessor_config.json`."""


def make_config() -> SegformerConfig:
    """The background is class 0, which has no name, so that it makes no objects."""
    names = dict(enumerate(("N/A", *GROUPS)))
    return SegformerConfig(
        hidden_sizes=[32, 64, 128, 192],
        depths=[2, 2, 2, 2],
        num_attention_heads=[1, 2, 4, 6],
        mlp_ratios=[4, 4, 4, 4],
        decoder_hidden_size=96,
        drop_path_rate=0.05,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout_prob=0.0,
        id2label=names,
        label2id={name: number for number, name in names.items()},
    )
