"""Canonical correlation of two views (DCCA: Andrew et al. 2013; DCCAE: Wang et al., arXiv 1602.01024)."""

from __future__ import annotations

import torch
from torch import Tensor


def canonical_correlations(a: Tensor, b: Tensor, ridge: float = 1e-4) -> Tensor:
    """Return the canonical correlations of `a` [items, p] and `b` [items, q], largest first, in float64.

    `ridge` is added to both covariances' diagonals. Batches should hold 10 (p + q) items or more: noise alone
    has a sum of squares of p q / (items - 1).

    >>> a = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    >>> found = canonical_correlations(a, a @ torch.tensor([[2.0, 1.0], [0.0, 1.0]]), ridge=0.0)
    >>> [round(value, 6) for value in found.tolist()]
    [1.0, 1.0]
    """
    a, b = (v.double() - v.double().mean(0) for v in (a, b))
    scale = 1 / (len(a) - 1)

    def whitener(v: Tensor) -> Tensor:
        covariance = scale * v.T @ v + ridge * torch.eye(v.shape[1], dtype=v.dtype, device=v.device)
        return torch.linalg.cholesky(covariance)

    # Cholesky whitening has the singular values of symmetric whitening, and a gradient at equal eigenvalues.
    across = torch.linalg.solve_triangular(whitener(a), scale * a.T @ b, upper=False)
    across = torch.linalg.solve_triangular(whitener(b), across.T, upper=False).T
    return torch.linalg.svdvals(across)


def correlation_loss(a: Tensor, b: Tensor, *, top: int | None = None, ridge: float = 1e-4) -> Tensor:
    """Return minus the sum of the `top` largest canonical correlations (all by default).

    >>> a = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    >>> round(float(correlation_loss(a, 3 * a, top=1, ridge=0.0)), 6)
    -1.0
    """
    return -canonical_correlations(a, b, ridge)[:top].sum()
