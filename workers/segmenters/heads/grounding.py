"""Reads the boxes of texts out of what a grounding detector says of every query and token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.segmenters.heads.trace_logits import keep_sure


@dataclass(frozen=True, slots=True, eq=False)
class TextBoxes:
    """n boxes of an image, float32 (n, 4), xyxy in its pixels; each of one text, by its number.

    `texts` is int64 (n,), `scores` float32 (n,).
    """

    boxes: Tensor
    texts: Tensor
    scores: Tensor

    @staticmethod
    def together(parts: Sequence[TextBoxes]) -> TextBoxes:
        """All boxes of several, the surest first."""
        columns = ([part.boxes, part.texts, part.scores] for part in parts)
        boxes, texts, scores = (torch.cat(column) for column in zip(*columns, strict=True))
        order = torch.sort(scores, descending=True, stable=True).indices
        return TextBoxes(boxes[order], texts[order], scores[order])


def read_text_boxes(
    logits: Tensor,
    boxes_cxcywh: Tensor,
    spans: Sequence[tuple[int, int]],
    size_hw: tuple[int, int],
    least: float,
) -> TextBoxes:
    """The boxes of queries that are as sure as `least` of a text, which is their likeliest.

    logits float32 (queries, tokens); boxes_cxcywh float32 (queries, 4), shares of the image's
    width and height. `spans` are the first and the end token of each text. A text's score is the
    mean probability of its tokens, as that of a category is in mmdetection, where these models
    were trained and measured (convert_grounding_to_cls_scores). What reaches beyond the image is
    cut off. Every query stands for itself: no box suppresses another.
    """
    probabilities = logits.float().sigmoid()
    of_texts = torch.stack([probabilities[:, first:end].mean(dim=1) for first, end in spans], dim=1)
    scores, texts = of_texts.max(dim=1)
    kept = keep_sure(scores, least)
    boxes = _to_pixels(boxes_cxcywh[kept].float(), size_hw)
    inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    return TextBoxes(boxes[inside], texts[kept][inside], scores[kept][inside])


def _to_pixels(boxes_cxcywh: Tensor, size_hw: tuple[int, int]) -> Tensor:
    height, width = size_hw
    middle, half = boxes_cxcywh[:, :2], boxes_cxcywh[:, 2:] / 2
    corners = torch.cat([middle - half, middle + half], dim=1)
    sides = corners.new_tensor([width, height, width, height])
    pixels = corners * sides
    return torch.minimum(pixels.clamp(min=0), sides)
