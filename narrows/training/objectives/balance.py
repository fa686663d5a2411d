"""Weights that let two losses pull alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from narrows.bottlenecks.bottleneck import Kept


class GradientBalance(Kept):
    """The weight of a second loss at which its gradient is as long as the first's, at shared parameters.

    The weight is a running mean with `decay`, bias-corrected, between 1e-4 and 1e4.

    >>> theta = torch.tensor(2.0, requires_grad=True)
    >>> weigh = GradientBalance()
    >>> round(float(weigh(50 * theta**2, (theta - 1) ** 2 / 2, [theta])))
    200
    """

    total: Tensor
    mass: Tensor

    def __init__(self, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("total", torch.zeros(()))
        self.register_buffer("mass", torch.zeros(()))

    def forward(self, first: Tensor, second: Tensor, shared: Sequence[Tensor]) -> Tensor:
        """Return the weight, without gradient. The graph of both losses is kept."""
        lengths = []
        for loss in (first, second):
            parts = torch.autograd.grad(loss, list(shared), retain_graph=True, allow_unused=True)
            lengths.append(torch.stack([p.square().sum() for p in parts if p is not None]).sum().sqrt())
        with torch.no_grad():
            self.total.mul_(self.decay).add_((1 - self.decay) * (lengths[0] / lengths[1].clamp(min=1e-12)))
            self.mass.mul_(self.decay).add_(1 - self.decay)
            return (self.total / self.mass).clamp(1e-4, 1e4)


def value_weights(finals: Sequence[float]) -> list[float]:
    """Return weights inverse to the values that losses reached in runs of their own (QLIP, arXiv 2502.05178).

    >>> value_weights([0.5, 4.0])
    [2.0, 0.25]
    """
    if any(not value > 0 for value in finals):
        raise ValueError("final losses are above zero")
    return [1 / value for value in finals]
