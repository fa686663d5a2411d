"""Sign codes of linear measurements and their least error (Shevchenko et al. 2023, arXiv 2212.13468)."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

from narrows.bottlenecks.bottleneck import Relaxed, straight_through
from narrows.bottlenecks.lfq import SignCode


class Sign(SignCode):
    """Each channel's sign, decoded as +-1; gradients are those of tanh(sharpness * z).

    >>> code = Sign(3).eval()
    >>> bits = code.quantize(torch.tensor([[0.2, -4.0, 0.0]]))
    >>> bits.tolist(), code.dequantize(bits).tolist()
    ([[1, 0, 0]], [[1.0, -1.0, -1.0]])
    """

    def __init__(self, length: int, *, sharpness: float = 2.0) -> None:
        super().__init__(length)
        self.sharpness = sharpness

    def _relaxed(self, z: Tensor) -> Relaxed:
        symbols = self._symbols(z)
        self.prior.observe(symbols)
        hard = self.dequantize(symbols).to(z.dtype)
        return Relaxed(straight_through(hard, torch.tanh(self.sharpness * z)), self.prior.cost_bits(symbols))


def sign_risk(rows: Tensor) -> Tensor:
    """Return the mean squared error a coordinate of x ~ N(0, I) given sign(rows @ x), optimally decoded.

    `rows` is [bits, dim] with rows of length 1; the decoder is linear: 1 - (2 / (pi dim)) tr(B' F^-1 B) with
    F = (2 / pi) arcsin(B B').

    >>> round(float(sign_risk(torch.eye(4))), 6), round(least_sign_risk(1.0), 6)
    (0.36338, 0.36338)
    """
    gram = (rows @ rows.T).clamp(-1, 1)
    # arcsin's slope is infinite at 1, and the diagonal is 1 whatever the rows are.
    off = gram - torch.diag(gram.diagonal())
    kernel = 2 / pi * torch.asin(off) + torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
    explained = torch.linalg.solve(kernel, rows)
    return 1 - 2 / (pi * rows.shape[1]) * (rows * explained).sum()


def least_sign_risk(bits_per_dim: float) -> float:
    """Return the least of `sign_risk` as the dimension grows, at that many bits a coordinate.

    >>> [round(least_sign_risk(r), 4) for r in (0.5, 1, 2)]
    [0.6817, 0.3634, 0.222]
    """
    if bits_per_dim <= 1:
        return 1 - 2 * bits_per_dim / pi
    return 1 - bits_per_dim / (bits_per_dim + pi / 2 - 1)
