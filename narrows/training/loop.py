"""One training loop in plain torch: AdamW, a cosine, a running mean of the weights, a log, checkpoints.

A run is a function of its settings: every step draws from generators seeded by (seed, step), so that a run
that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import csv
import math
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from narrows.errors import ModelError

_CHECKPOINT_S = 120.0
_AVERAGE = 0.995  # of the weights' running mean, a step

Loss = Callable[[int, np.random.Generator], tuple[Tensor, Mapping[str, float]]]


def seed_all(model: nn.Module, seed: int, step: int) -> np.random.Generator:
    """Seed torch and every generator that a module of `model` holds as `rng`; return one of NumPy."""
    torch.manual_seed(seed * 1_000_003 + step)
    for number, module in enumerate(model.modules()):
        generator = getattr(module, "rng", None)
        if isinstance(generator, torch.Generator):
            generator.manual_seed((seed * 1_000_003 + step) * 64 + number)
    return np.random.default_rng([seed, step])


def fit(
    model: nn.Module,
    groups: Sequence[Mapping[str, Any]],
    loss_of: Loss,
    *,
    steps: int,
    seed: int,
    folder: Path,
    resume: bool = False,
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    every: int = 200,
    warm_up: int = 100,
) -> nn.Module:
    """Train `model` for `steps` and return it with the running mean of its weights.

    `groups` are AdamW's parameter groups, `loss_of(step, rng)` gives the loss and what is to be logged.
    Writes `log.csv` (a row every `every` steps: means since the last, then what `validate` says of the mean
    weights) and, every two minutes, `checkpoint.pt` into `folder`; with `resume` goes on from the latter, and
    raises ModelError where that is damaged or of another model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, log = folder / "checkpoint.pt", folder / "log.csv"
    optimizer = torch.optim.AdamW([dict(group) for group in groups], weight_decay=0.0)
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    average = {name: value.clone() for name, value in model.state_dict().items()}
    first, cpu_s = 0, 0.0
    if resume and checkpoint.exists():
        average, first, cpu_s = _restored(checkpoint, model, optimizer)
    else:
        log.unlink(missing_ok=True)
    told_to = first
    started, saved = time.process_time() - cpu_s, time.monotonic()
    sums: dict[str, float] = {}
    model.train()
    for step in range(first, steps):
        rng = seed_all(model, seed, step)
        factor = min(1.0, (step + 1) / warm_up) * (0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        loss, told = loss_of(step, rng)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        # The mean catches up fast at first, when the weights are still far from where they go.
        share = min(_AVERAGE, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in model.state_dict().items():
                if value.is_floating_point():
                    average[name].lerp_(value, 1 - share)
                else:
                    average[name].copy_(value)
        for name, number in {"loss": float(loss.detach()), **told}.items():
            sums[name] = sums.get(name, 0.0) + number
        if (step + 1) % every == 0 or step + 1 == steps:
            count = step + 1 - told_to
            row: dict[str, float] = {"step": step + 1, "cpu_s": round(time.process_time() - started, 1)}
            row |= {name: round(total / count, 5) for name, total in sums.items()}
            if validate is not None:
                row |= _with(model, average, validate)
            _append(log, row)
            sums, told_to = {}, step + 1
        if time.monotonic() - saved > _CHECKPOINT_S or step + 1 == steps:
            _save(checkpoint, model, optimizer, average, step + 1, time.process_time() - started)
            saved = time.monotonic()
    model.load_state_dict(average)
    return model.eval()


def _with(
    model: nn.Module, average: dict[str, Tensor], validate: Callable[[nn.Module], Mapping[str, float]]
) -> dict[str, float]:
    """Return what `validate` says of the model with the mean weights, which then has its own again."""
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(average)
    model.eval()
    with torch.no_grad():
        found = {name: round(float(value), 5) for name, value in validate(model).items()}
    model.load_state_dict(kept)
    model.train()
    return found


def _restored(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], int, float]:
    """Load a checkpoint of this training, running nothing in it; return mean weights, step and CPU time."""
    try:
        state = torch.load(path, weights_only=True)
        average, first, cpu_s = dict(state["average"]), int(state["step"]), float(state["cpu_s"])
        if {name: value.shape for name, value in average.items()} != {
            name: value.shape for name, value in model.state_dict().items()
        }:
            raise ValueError("the weights have other names or shapes")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, LookupError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(f"not a checkpoint of this training: {reason}", str(path)) from None
    return average, first, cpu_s


def _append(path: Path, row: Mapping[str, float]) -> None:
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
    print("  ".join(f"{name} {value:g}" for name, value in row.items()), flush=True)


def _save(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
    step: int,
    cpu_s: float,
) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average,
        "step": step,
        "cpu_s": cpu_s,
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)
