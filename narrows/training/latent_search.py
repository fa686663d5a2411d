"""Per-sample search through any decoder: the latent of one item, sought by gradient, and what it can hold.

An encoder answers at once and not best. With a decoder that stays as it is, the latent itself is trained, as
texts are crammed into vectors (Kuratov et al. 2025, arXiv 2502.13063). How much comes back is the decoder's
capacity. `narrows.tokenizers.search` is the same for the shipped tokenizers, in their integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from narrows.bottlenecks.bottleneck import Bottleneck, straight_through
from narrows.bottlenecks.rounded import Rounded


@dataclass(frozen=True)
class Sought:
    """The best point met, and what it cost at the start and in the end."""

    best: Tensor
    before: float
    after: float


def seek(
    loss_of: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    steps: int = 500,
    learning_rate: float = 1e-2,
    patience: int = 200,
    enough: float = -math.inf,
) -> Sought:
    """Return the latent at which `loss_of` is least among those met from `start` on, by AdamW.

    Stops after `steps`, at a loss of `enough` or less, where `patience` steps brought nothing, and where loss
    or gradient is not finite any more. Raises ValueError where the loss at `start` is not finite.

    >>> found = seek(lambda z: (z - 3).square().sum(), torch.zeros(2), steps=300, learning_rate=0.1)
    >>> found.before, found.after < 1e-3
    (18.0, True)
    """
    point = start.detach().clone().requires_grad_()
    optimizer = torch.optim.AdamW([point], learning_rate, betas=(0.9, 0.9), weight_decay=0.0)
    best, least, before, waited = start.detach(), math.inf, math.inf, 0
    for step in range(steps + 1):
        loss = loss_of(point)
        value = float(loss.detach())
        if step == 0:
            before = _finite(value)
        waited = 0 if value < least else waited + 1
        if value < least:
            best, least = point.detach().clone(), value
        if step == steps or value <= enough or waited >= patience or not math.isfinite(value):
            break
        (point.grad,) = torch.autograd.grad(loss, [point])
        if not torch.isfinite(point.grad).all():
            break
        optimizer.step()
    return Sought(best, before, least)


def seek_symbols(
    code: Bottleneck,
    distortion_of: Callable[[Tensor], Tensor],
    z: Tensor,
    *,
    price: float = 0.0,
    steps: int = 200,
    learning_rate: float = 0.1,
) -> Sought:
    """Return the symbols met from those of `z` on at which distortion + price x bits is least.

    `distortion_of` takes what `code` gives the decoder, z_hat; `code` is in eval mode and stays as it is, and
    bits are those of its tables. The step is `learning_rate` times the latent's root mean square. Where
    symbols are steps of a grid (`Scalar`, `WAE`, `Gaussian`) bits have a gradient too. Never worse than
    `quantize`: a gradient that is not finite ends the search. Raises ValueError in training mode, and where
    the cost of the first symbols is not finite.

    >>> from narrows.bottlenecks import Scalar
    >>> code, z = Scalar(2), torch.tensor([[0.4, 0.4]])
    >>> _ = code.relax(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)))
    >>> found = seek_symbols(code.eval(), lambda v: (v.sum() - 0.8).square(), z)
    >>> found.after < found.before
    True
    """
    if code.training:
        raise ValueError("the code is in training: its tables would change during the search")
    model = code.entropy_model()

    def bits_of(symbols: Tensor) -> float:
        values = code.coded(symbols).cpu().numpy()
        return model.tables.cost_bits(values, np.broadcast_to(model.index(values), values.shape))

    def cost_of(symbols: Tensor) -> float:
        with torch.no_grad():
            distortion = float(distortion_of(code.dequantize(symbols)))
        return distortion + (price * bits_of(symbols) if price else 0.0)

    symbols = code.quantize(z)
    best, before = symbols, _finite(cost_of(symbols))
    least = before
    # From the values themselves, so that a latent that lies at the edge of its cell is not pushed over it.
    point = z.detach().clone().requires_grad_()
    size = float(point.detach().square().mean().sqrt())
    optimizer = torch.optim.AdamW(
        [point], learning_rate * max(size, 1e-6), betas=(0.9, 0.9), weight_decay=0.0
    )
    for _ in range(steps):
        hard = code.dequantize(symbols).to(point.dtype)
        loss = distortion_of(straight_through(hard, point[:, : hard.shape[1]]))
        if price and isinstance(code, Rounded):
            loss = loss + price * _grid_bits(code, point[:, : code.channels])
        (point.grad,) = torch.autograd.grad(loss, [point])
        if not torch.isfinite(point.grad).all():
            break
        optimizer.step()
        moved = code.quantize(point.detach())
        if torch.equal(moved, symbols):
            continue
        symbols = moved
        cost = cost_of(symbols)
        if cost < least:
            best, least = symbols, cost
    return Sought(best, before, least)


def _finite(value: float) -> float:
    """Return the loss at the start of a search; ValueError where there is nothing to go down from."""
    if not math.isfinite(value):
        raise ValueError(f"the loss at the start is {value}")
    return value


def _grid_bits(code: Rounded, z: Tensor) -> Tensor:
    """Return the bits of a latent that lies between symbols: linear between theirs."""
    shape = (1, -1, *[1] * (z.ndim - 2))
    place = z / code.step - code.center.reshape(shape).to(z.dtype)
    low = place.detach().floor().long()
    here, there = code.prior.element_bits(low), code.prior.element_bits(low + 1)
    return (here + (place - low) * (there - here)).sum()


def information_gain_bits(nats_without: float, nats_with: float) -> float:
    """Return the bits that a latent tells of an item: what the item costs without it, less with it.

    At most the bits that the latent itself has: a vector of n float16 numbers, 16 n.

    >>> round(information_gain_bits(100 * math.log(2), 0.0), 6)
    100.0
    """
    return (nats_without - nats_with) / math.log(2)


def longest_recalled(accuracy: Mapping[int, float], *, at_least: float = 0.99) -> int:
    """Return the greatest length whose share of symbols given back is above `at_least`; 0 if none is.

    >>> longest_recalled({16: 1.0, 32: 0.995, 64: 0.93})
    32
    """
    return max((length for length, share in accuracy.items() if share > at_least), default=0)
