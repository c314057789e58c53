"""A SegFormer with a second head, which only training needs: what concept an instance shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import SegformerForSemanticSegmentation

from pipeline.demo.groups import GROUPS
from pipeline.training.group_windows import GroupBatch
from pipeline.training.segformer_shape import make_config

MODEL = "model."
"""Begins the names of the weights that stay."""
_STRIDES = (16, 32)
_LEAST_PX = 80  # of an instance whose concept is asked
_SCALE = 20.0
_CONCEPT_WEIGHT, _VECTOR_WEIGHT = 0.7, 1.0
_BACKGROUND_WEIGHT = 0.6


class Learner(nn.Module):
    """`concepts`: a vector of length 1 for each, float32 (concepts, width), to start from.

    Five groups teach little of what things look like; a thousand concepts teach it, and the vectors
    of another model how alike they are. `group_of`: the group of each, from 1, int64 (concepts,).
    """

    group_of: Tensor

    def __init__(self, concepts: Tensor, group_of: Tensor) -> None:
        super().__init__()
        self.weights = weigh_groups(group_of)
        config = make_config()
        # Windows have few keys: plain attention's backward pass takes a tenth of the fused one's.
        config._attn_implementation = "eager"
        self.model = SegformerForSemanticSegmentation(config)
        start_randomly(self.model)
        self.to_vector = nn.Linear(sum(config.hidden_sizes[-2:]), concepts.shape[1])
        self.concepts = nn.Parameter(concepts.clone())
        self.register_buffer("group_of", functional.pad(group_of, (0, 1)))  # the last: of none

    def forward(self, batch: GroupBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Logits float (n, classes, h / 4, w / 4); vectors float32 (k, width) of k instances of a
        batch, and which they are, bool (n, m)."""
        features = self.model.segformer(batch.pixels, output_hidden_states=True).hidden_states
        logits = self.model.decode_head(features)
        count = batch.concepts.shape[1]
        masks = functional.one_hot(batch.instances, count).permute(0, 3, 1, 2)
        asked = (masks.sum((2, 3)) >= _LEAST_PX) & (batch.concepts >= 0)
        pooled = [
            pool_features(level.float(), functional.avg_pool2d(masks.float(), stride))[asked]
            for level, stride in zip(features[-2:], _STRIDES, strict=True)
        ]
        return logits, self.to_vector(torch.cat(pooled, dim=1)), asked

    @classmethod
    def load(cls, checkpoints: Sequence[Path]) -> Learner:
        """With the averaged weights of another training, or the mean of those of several."""
        states = [torch.load(path, weights_only=True)["ema"] for path in checkpoints]
        state = {
            name: torch.stack([other[name] for other in states]).mean(0)
            if value.is_floating_point()
            else value
            for name, value in states[0].items()
        }
        learner = cls(state["concepts"], state["group_of"][:-1])
        learner.load_state_dict(state)
        return learner

    def find_groups(self, batch: GroupBatch) -> Tensor:
        """The group of every pixel, 0 for the background: int64 (n, h, w)."""
        of_instance = self.group_of[batch.concepts]
        return of_instance.gather(1, batch.instances.flatten(1)).view(batch.instances.shape)


@torch.no_grad()
def start_randomly(model: SegformerForSemanticSegmentation) -> None:
    """Random weights by which every branch passes something on.

    transformers draws all of them with a deviation of 0.02, as its models are loaded, not trained:
    of that little comes through kernels of 9 weights.
    """
    for name, module in model.segformer.named_modules():
        if isinstance(module, nn.Linear):
            ends_branch = name.endswith((".o_proj", ".fc2"))
            nn.init.xavier_normal_(module.weight, 0.5 if ends_branch else 1.0)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")


def pool_features(features: Tensor, shares: Tensor) -> Tensor:
    """The mean of features, (n, c, h, w), by shares, (n, m, h, w): (n, m, c)."""
    sums = torch.einsum("nchw,nmhw->nmc", features, shares)
    return sums / shares.sum((2, 3)).clamp(min=1e-6)[..., None]


def weigh_groups(group_of: Tensor) -> Tensor:
    """How much a pixel of each group counts, of the background first: float32 (classes,).

    `group_of`: the group of each concept, from 1. Rare groups count more, by the root.
    """
    counts = torch.bincount(group_of, minlength=1 + len(GROUPS))[1:].float()
    weights = (counts.mean() / counts.clamp(min=1)).sqrt()
    return functional.pad(weights, (1, 0), value=_BACKGROUND_WEIGHT)


def compute_loss(logits: Tensor, groups: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy and dice of every other pixel each way, and the share of those that are right.

    logits float (n, classes, h, w), groups int64 (n, height, width), larger than the logits;
    weights float (classes,) of pixels in the entropy.
    """
    groups = groups[:, ::2, ::2]
    large = functional.interpolate(logits.float(), groups.shape[1:], mode="bilinear")
    entropy = functional.cross_entropy(large, groups, weights)
    shares = large.softmax(1)
    true = functional.one_hot(groups, large.shape[1]).permute(0, 3, 1, 2).float()
    both = (shares * true).sum((0, 2, 3))
    sizes = shares.sum((0, 2, 3)) + true.sum((0, 2, 3))
    dice = 1 - (2 * both + 1) / (sizes + 1)
    return entropy + dice.mean(), (large.argmax(1) == groups).float().mean()


def compute_losses(
    learner: Learner, batch: GroupBatch, bf16: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a batch, and figures; `bf16` multiplies in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits, vectors, asked = learner(batch)
    groups = learner.find_groups(batch)
    of_pixels, right = compute_loss(logits, groups, learner.weights)
    vectors = functional.normalize(vectors.float(), dim=-1)
    concepts = batch.concepts[asked]
    scores = _SCALE * vectors @ functional.normalize(learner.concepts, dim=-1).T
    of_concepts = functional.cross_entropy(scores, concepts)
    loss = of_pixels + _CONCEPT_WEIGHT * of_concepts
    figures = {
        "pixels": of_pixels,
        "right": right,
        "background": (groups == 0).float().mean(),
        "concept": of_concepts,
        "named": (scores.argmax(1) == concepts).float().mean(),
    }
    if batch.vectors is not None:
        likeness = (vectors * batch.vectors[asked]).sum(1).mean()
        loss = loss + _VECTOR_WEIGHT * (1 - likeness)
        figures["likeness"] = likeness
    return loss, figures
