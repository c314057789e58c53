"""What both training loops share: the schedule, the running average, the checkpoint."""

from __future__ import annotations

import copy
import math
import os
from pathlib import Path
from typing import Generic, TypeVar

import torch
from safetensors.torch import load_file
from torch import nn

_WARMUP_STEPS = 150
_DECAY_SHARE = 0.35


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Warm up, hold, then fall by a cosine over the last 35% (so that a run can be prolonged)."""
    decay = _DECAY_SHARE * steps
    rate = peak * min(1.0, (step + 1) / _WARMUP_STEPS)
    progress = (step - (steps - decay)) / decay
    if progress > 0:
        rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
    return rate


Model = TypeVar("Model", bound=nn.Module)


class Ema(Generic[Model]):
    """Exponential moving average of a model's weights; buffers are copied."""

    def __init__(self, model: Model, decay: float) -> None:
        self.model, self.decay, self.updates = copy.deepcopy(model), decay, 0
        self.model.requires_grad_(False)

    @torch.no_grad()
    def update(self, model: Model) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        source = model.state_dict()
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                value.lerp_(source[name].to(value.dtype), 1 - decay)
            else:
                value.copy_(source[name])


def start_from(model: nn.Module, weights: Path) -> None:
    """Take all weights from an exported file (safetensors), to train them further."""
    model.load_state_dict(load_file(weights))


def save_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema[Model], step: int
) -> None:
    """Write everything that resuming needs, whole or not at all."""
    partial = path.with_suffix(".partial")
    torch.save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "ema": ema.model.state_dict(),
            "step": step,
        },
        partial,
    )
    os.replace(partial, path)
