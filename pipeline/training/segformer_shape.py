"""Says what `segformer_demo` is made of: transformers' SegFormer, smaller than B0."""

from __future__ import annotations

from transformers import SegformerConfig

from pipeline.demo.groups import GROUPS

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
PREPARATION = {
    "size": {"shortest_edge": 288, "longest_edge": 1024},
    "image_mean": list(MEAN),
    "image_std": list(STD),
}
"""In the words of the hub's `preprocessor_config.json`."""


def make_config() -> SegformerConfig:
    """The background is class 0, which has no name, so that it makes no objects.

    Narrow where there are many pixels, wide where things are told apart: a third faster than B0's
    shape at the same number of weights.
    """
    names = dict(enumerate(("N/A", *GROUPS)))
    return SegformerConfig(
        hidden_sizes=[32, 64, 160, 256],
        depths=[1, 1, 3, 2],
        num_attention_heads=[1, 2, 5, 8],
        mlp_ratios=[2, 3, 4, 4],
        decoder_hidden_size=64,
        drop_path_rate=0.0,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout_prob=0.0,
        id2label=names,
        label2id={name: number for number, name in names.items()},
    )
