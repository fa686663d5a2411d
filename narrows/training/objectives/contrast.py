"""Contrast between two views of a batch, and codes of words side by side."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from narrows.bottlenecks.sparse import Sparse


def nt_xent(a: Tensor, b: Tensor, temperature: float = 0.2) -> Tensor:
    """Return the normalized temperature-scaled cross-entropy of two views [items, dim], in nats.

    The mean over all 2 * items of telling the own other view from everything but oneself (SimCLR, arXiv
    2002.05709). The views must differ: with one deterministic pass twice, only repulsion is learned.

    >>> views = torch.eye(3)
    >>> round(float(nt_xent(views, views)), 6)
    0.026595
    """
    both = F.normalize(torch.cat([a, b]), dim=1)
    logits = both @ both.T / temperature
    itself = torch.eye(len(both), dtype=torch.bool, device=both.device)
    target = torch.arange(len(both), device=both.device).roll(len(a))
    return F.cross_entropy(logits.masked_fill(itself, -torch.inf), target)


def csr_loss(
    code: Sparse, first: Tensor, second: Tensor, *, contrast: float = 0.1, temperature: float = 0.2
) -> Tensor:
    """Return what contrastive sparse representation minimizes (CSR, arXiv 2503.01776), and count a step.

    `first` and `second` are two views [items, dim] of the same items: noise, dropout, or two that belong
    together. The error with `code.k` atoms, an eighth of that with four times as many, 1/32 of the dead
    atoms' and `contrast` times `nt_xent` of the sparse codes.

    >>> from narrows.bottlenecks import Sparse
    >>> code, x = Sparse(8, 32, 2), torch.randn(16, 8)
    >>> csr_loss(code, x, x + 0.1 * torch.randn(16, 8)).ndim
    0
    """
    least = code.relax(first).losses["reconstruction"]
    more = code.magnitudes(first, min(4 * code.k, len(code.weight)))
    error = (code.decode_magnitudes(more) - first).square().mean()
    views = nt_xent(code.magnitudes(first), code.magnitudes(second), temperature)
    return least + error / 8 + code.auxiliary_loss(first) / 32 + contrast * views


def mean_absolute_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean over items of |Pearson correlation| between an item's two codes, [items, dim] each.

    >>> a, b = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[2.0, 1.0, 4.0, 3.0]])
    >>> round(float(mean_absolute_correlation(a, b)), 6)
    0.6
    """
    a, b = (v - v.mean(1, keepdim=True) for v in (a, b))
    return F.cosine_similarity(a, b, dim=1).abs().mean()
