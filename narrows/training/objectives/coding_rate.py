"""How many nats a set of vectors costs at a given error: coding rate and its reduction (arXiv 2006.08558)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def _half_logdet(z: Tensor, scale: float) -> Tensor:
    """Return half the log determinant of I + scale Z Z', from the smaller of the two Gram matrices."""
    gram = z @ z.T if z.shape[0] <= z.shape[1] else z.T @ z
    identity = torch.eye(len(gram), dtype=z.dtype, device=z.device)
    return torch.linalg.cholesky(identity + scale * gram).diagonal().log().sum()


def coding_rate(z: Tensor, epsilon: float) -> Tensor:
    """Return the nats for columns of `z` [dim, items] at a squared error of epsilon**2 a column, averaged.

    Depends on scale: normalize columns first where that is meant.

    >>> z = torch.eye(4)
    >>> round(float(coding_rate(z, 1.0)), 4)  # 4 of log(2) / 2
    1.3863
    """
    return _half_logdet(z, z.shape[0] / (z.shape[1] * epsilon**2))


def compressed_rate(z: Tensor, bases: Sequence[Tensor], epsilon: float) -> Tensor:
    """Return the rate of `z` [dim, items] seen in each of the subspaces `bases` [dim, p], added (CRATE).

    >>> bases = [torch.eye(4)[:, :2], torch.eye(4)[:, 2:]]
    >>> bool(compressed_rate(torch.eye(4), bases, 1.0) < coding_rate(torch.eye(4), 1.0))
    True
    """
    return torch.stack([coding_rate(basis.T @ z, epsilon) for basis in bases]).sum()


def sparse_rate_reduction(z: Tensor, bases: Sequence[Tensor], epsilon: float, lam: float) -> Tensor:
    """Return coding rate - compressed rate - lambda sum of magnitudes, to maximize (arXiv 2306.01129).

    >>> bases = [torch.eye(4)[:, :2], torch.eye(4)[:, 2:]]
    >>> round(float(sparse_rate_reduction(torch.eye(4), bases, 1.0, 0.1)), 4)
    0.1754
    """
    return coding_rate(z, epsilon) - compressed_rate(z, bases, epsilon) - lam * z.abs().sum()


def class_rate(z: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Return the rate of `z` [dim, items] coded class by class, by `labels` [items] (MCR2).

    >>> round(float(class_rate(torch.eye(4), torch.tensor([0, 0, 1, 1]), 1.0)), 4)  # log 3
    1.0986
    """
    total = z.new_zeros(())
    for label in labels.unique():
        part = z[:, labels == label]
        share = part.shape[1] / z.shape[1]
        total = total + share * _half_logdet(part, z.shape[0] / (part.shape[1] * epsilon**2))
    return total
