"""Fits the part of `maskrcnn_demo`'s box head that tells groups apart, on true boxes alone.

The network that looks at boxes stays as it is, so its vectors are kept, and the head sees each of
them many times within seconds.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from workers.models.maskrcnn_demo_architecture import pool_pixels

_EPOCHS, _BATCH = 30, 128
_RATE, _WEIGHT_DECAY, _SMOOTHING = 1e-3, 0.1, 0.1
_JITTER = 0.08  # a box's sides are off by this share of its size


def fit_kinds(model: GeneralizedRCNN, vectors: Tensor, labels: Tensor) -> float:
    """Fit it in place to `look_at_boxes`, and return the share of boxes that it then knows."""
    head, classes = model.roi_heads.box_head, model.roi_heads.box_predictor.cls_score
    width = head.kind.out_features
    last = nn.Linear(width, classes.out_features - 1)
    learnt = [*head.kind.parameters(), *last.parameters()]
    optimizer = torch.optim.AdamW(learnt, _RATE, weight_decay=_WEIGHT_DECAY)
    for _ in range(_EPOCHS):
        for rows in torch.split(torch.randperm(len(labels)), _BATCH):
            logits = last(functional.relu(head.kind(head.dropout(vectors[rows]))))
            loss = functional.cross_entropy(logits, labels[rows] - 1, label_smoothing=_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    with torch.no_grad():
        classes.weight[1:, -width:] = last.weight
        known = last(functional.relu(head.kind(vectors))).argmax(1) == labels - 1
    return float(known.float().mean())


@torch.no_grad()
def look_at_boxes(
    model: GeneralizedRCNN, frames: Iterable[tuple[Tensor, Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """What the network says of boxes a little off the true ones: (n, 512), and labels (n,).

    `frames`: pixels float32 (3, s, s), normalised, boxes (n, 4), xyxy, and labels (n,) from 1.
    """
    vectors, labels = [], []
    for pixels, boxes, kinds in frames:
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        jittered = boxes + _JITTER * sides * torch.randn(len(sides), 4)
        crops = pool_pixels(pixels[None], [jittered])
        vectors.append(model.roi_heads.box_head.look(crops).float())
        labels.append(kinds)
    return torch.cat(vectors), torch.cat(labels)
