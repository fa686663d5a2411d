"""Rate and distortion in one number."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from narrows.bottlenecks.lfq import soft_bit_entropy


def lagrangian(distortion: Tensor, rate_bits: Tensor, lam: float) -> Tensor:
    """Return D + lambda R. State both units: here bits a sample of the signal, and mean squared error.

    >>> float(lagrangian(torch.tensor(0.5), torch.tensor(2.0), 0.25))
    1.0
    """
    return distortion + lam * rate_bits


def gaussian_optimum(lam: float) -> tuple[float, float]:
    """Return the rate in bits and the distortion at which D + lambda R is least for a source D = 2**-2R.

    >>> [round(value, 4) for value in gaussian_optimum(0.1)]
    [1.8966, 0.0721]
    """
    distortion = lam / (2 * log(2))
    return -log(distortion) / (2 * log(2)), distortion


def soft_bit_information(p: Tensor, gamma: float = 1.0) -> Tensor:
    """Return mean sum h(p) - gamma sum h(mean p) in bits, of soft bits [items, bits]: sharp bits, even use.

    At gamma = 1 it is minus the information the bits hold if they are independent.

    >>> p = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> float(soft_bit_information(p))  # two sharp bits, evenly used
    -2.0
    """
    sharp = soft_bit_entropy(p).sum(1).mean()
    return (sharp - gamma * soft_bit_entropy(p.mean(0)).sum()) / log(2)


def water_filling(variances: Tensor, distortion: float) -> tuple[float, float]:
    """Return the water level and the rate in bits at which Gaussian parts have that distortion in all.

    Reverse water-filling (Cover and Thomas, Elements of Information Theory, 10.3.3): a part above the level
    has it as its error, one below has its own variance.

    >>> water_filling(torch.tensor([4.0, 1.0, 0.25]), 0.75)
    (0.25, 3.0)
    """
    ordered = variances.double().sort().values
    if not 0 < distortion <= float(ordered.sum()):
        raise ValueError("the distortion is above zero and at most the variances' sum")
    for k in range(len(ordered)):
        level = (distortion - float(ordered[:k].sum())) / (len(ordered) - k)
        if level <= float(ordered[k]):
            break
    return level, float(torch.log2(ordered[k:] / level).sum() / 2)
