"""Codes that fill their space: maximum marginal entropy with minimal correlation (E2MC: arXiv 2411.15931)."""

from __future__ import annotations

import torch
from torch import Tensor


def spacing_entropy(s: Tensor, spacing: int | None = None, *, least: float = 1e-7) -> Tensor:
    """Return Vasicek's estimate of each dimension's differential entropy, in nats, from `s` [items, dims].

    `spacing` is m of the m-spacings, by default the rounded root of the number of items. `least` is added to
    each spacing. Biased: `spacing_bias` is its value on uniform data.

    >>> even = torch.linspace(0, 1, 102)[1:-1, None]
    >>> bool(abs(spacing_entropy(even)) < 0.02)
    True
    """
    items = len(s)
    m = spacing or round(items**0.5)
    if not 1 <= m < items:
        raise ValueError("there must be more items than the spacing")
    ordered = s.sort(0).values
    return torch.log((items + 1) / m * (ordered[m:] - ordered[:-m]) + least).mean(0)


def spacing_bias(items: int, spacing: int | None = None) -> float:
    """Return the mean of `spacing_entropy` on uniform data in [0, 1], whose entropy is 0.

    >>> round(spacing_bias(256), 4)
    -0.0296
    """
    m = spacing or round(items**0.5)
    digamma = torch.special.digamma(torch.tensor([m, items + 1], dtype=torch.float64))
    return float(torch.log(torch.tensor((items + 1) / m, dtype=torch.float64)) + digamma[0] - digamma[1])


def correlation_penalty(s: Tensor) -> Tensor:
    """Return the squared covariances between different dimensions of `s` [items, dims], added, over dims.

    >>> s = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    >>> float(correlation_penalty(s))
    0.25
    """
    centered = s - s.mean(0)
    covariance = centered.T @ centered / (len(s) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / s.shape[1]


def spread_loss(
    z: Tensor, *, gamma: float = 10.0, beta: float = 1.0, spacing: int | None = None, least: float = 1e-7
) -> Tensor:
    """Return -gamma times the mean entropy plus beta times the correlation of the squashed `z` [items, dims].

    Values are squashed by the logistic function; gather the whole batch first, at least 16 items.

    >>> z = torch.randn(256, 4, generator=torch.Generator().manual_seed(0))
    >>> bool(spread_loss(z) < spread_loss(0.1 * z))
    True
    """
    s = torch.sigmoid(z)
    return -gamma * spacing_entropy(s, spacing, least=least).mean() + beta * correlation_penalty(s)
