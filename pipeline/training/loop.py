"""Shares what trainings need: arguments, optimizer, schedule, steps, averages, checkpoints."""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from workers.durable_files import replace_file

BF16_HELP = "multiply in bfloat16: for a CPU with AVX512-BF16 or AMX"
_WARMUP_STEPS = 150
_DECAY_SHARE = 0.8
_MOMENTUM = 0.95
_SAVE_EVERY = 100


def make_parser(doc: str | None, *, steps: int, peak: float) -> argparse.ArgumentParser:
    """The arguments that trainings share, with these defaults; `doc` is the training's module's."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--peak", type=float, default=peak, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help=BF16_HELP)
    return parser


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Warm up, hold, then fall by a cosine over the last 80% (so that a run can be prolonged)."""
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
    """Load all weights from an exported file (safetensors), to train them further."""
    model.load_state_dict(load_file(weights))


class Muon(torch.optim.Optimizer):
    """Orthogonalized momentum (K. Jordan et al., "Muon", 2024), for linear weights and kernels.

    A kernel counts as the matrix from all its inputs to its outputs. Updates are scaled to the
    root mean square that AdamW's have (J. Liu et al., "Muon is scalable for LLM training", 2025),
    so that one learning rate serves both. Unlike `torch.optim.Muon`, it computes in bfloat16 only
    if asked: a CPU without such instructions multiplies that eight times slower.
    """

    def __init__(
        self, weights: Iterable[nn.Parameter], lr: float, weight_decay: float, bf16: bool
    ) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})
        self._bf16 = bf16

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"]
                momentum.lerp_(weight.grad, 1 - _MOMENTUM)
                with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
                    update = orthogonalize(weight.grad.lerp(momentum, _MOMENTUM).flatten(1))
                scale = 0.2 * math.sqrt(max(update.shape)) * group["lr"]
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(update.reshape(weight.shape), alpha=scale)


def orthogonalize(matrix: Tensor) -> Tensor:
    """Bring a matrix' singular values to about 1, by five Newton-Schulz steps of degree 5."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x: Tensor = matrix if wide else matrix.mT
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if wide else x.mT


class MuonAdamW:
    """Muon for the linear and convolution weights of `by_muon`, AdamW for all other weights."""

    def __init__(
        self, model: nn.Module, by_muon: Sequence[nn.Module], lr: float, weight_decay: float,
        bf16: bool = False,
    ) -> None:  # fmt: skip
        kinds = nn.Linear, nn.Conv2d
        modules = [module for part in by_muon for module in part.modules()]
        weights = [cast(nn.Parameter, m.weight) for m in modules if isinstance(m, kinds)]
        ours = {id(weight) for weight in weights}
        others = [p for p in model.parameters() if id(p) not in ours]
        self._parts = (
            torch.optim.AdamW(others, lr, weight_decay=weight_decay),
            Muon(weights, lr, weight_decay, bf16),
        )

    def step(self, lr: float) -> None:
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = lr
            part.step()

    def zero_grad(self) -> None:
        for part in self._parts:
            part.zero_grad()

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)


def save_checkpoint(
    path: Path, model: nn.Module, optimizer: MuonAdamW, ema: Ema[Model], step: int
) -> None:
    """Write everything that resuming needs, whole or not at all."""
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "ema": ema.model.state_dict(),
        "step": step,
    }
    with replace_file(path) as file:
        torch.save(state, file)


def resume(path: Path, model: nn.Module, optimizer: MuonAdamW, ema: Ema[Model]) -> int:
    """Load what `save_checkpoint` wrote. Returns the step to go on with, 0 without a file."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    ema.model.load_state_dict(state["ema"])
    step: int = state["step"]
    print(f"resumed at step {step}", flush=True)
    return step


@dataclass(frozen=True, slots=True, eq=False)
class Training(Generic[Model]):
    """What a training changes, and the file that keeps it. Gradients longer than `clip` are cut."""

    model: Model
    optimizer: MuonAdamW
    ema: Ema[Model]
    checkpoint: Path
    peak: float
    clip: float


def run_steps(
    training: Training[Model],
    steps: range,
    report_every: int,
    compute: Callable[[], tuple[Tensor, Mapping[str, Tensor]]],
) -> None:
    """Take these steps, of a run that is as long as their end, and keep what they made.

    `compute` draws a batch and gives its loss, and figures: their means since the last line are
    printed by their names.
    """
    model, optimizer, ema = training.model, training.optimizer, training.ema
    told: defaultdict[str, list[float]] = defaultdict(list)
    began = time.perf_counter()
    for step in steps:
        loss, figures = compute()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), training.clip)
        optimizer.step(learning_rate(step, steps.stop, training.peak))
        ema.update(model)
        for name, figure in figures.items():
            told[name].append(figure.item())
        told["s/step"].append(time.perf_counter() - began)
        began = time.perf_counter()
        if (step + 1) % report_every == 0:
            _print_means(step + 1, told)
            told.clear()
        if (step + 1) % _SAVE_EVERY == 0 or step + 1 == steps.stop:
            save_checkpoint(training.checkpoint, model, optimizer, ema, step + 1)


def _print_means(step: int, told: Mapping[str, Sequence[float]]) -> None:
    means = {name: statistics.fmean(values) for name, values in told.items()}
    seconds = means.pop("s/step")
    figures = " ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    print(f"{step} {figures} {seconds:.2f} s/step", flush=True)
