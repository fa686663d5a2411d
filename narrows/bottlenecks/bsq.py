"""Binary spherical quantization: signs of a point on the sphere (Zhao et al. 2024, arXiv 2406.07548)."""

from __future__ import annotations

from math import exp, lgamma, pi, sqrt

from torch import Tensor

from narrows.bottlenecks.bottleneck import Relaxed, straight_through, widened
from narrows.bottlenecks.lfq import SignCode, pack, unpack
from narrows.errors import SignalError

__all__ = ["BSQ", "pack", "unpack"]

_LEAST_NORM = 1e-12


class BSQ(SignCode):
    """The latent is normalized to length 1 and each channel's sign kept, decoded as +-1/sqrt(length).

    Training gives `losses["entropy"]`, the mean entropy of a code's soft bits, and `losses["usage"]`, the
    entropy of their mean over the batch by groups of `group` bits (nats; minimize the first minus the
    second). `rescale` shortens decoded points to the cosine expected of a uniform point, which lessens the
    mean squared error. In eval mode a vector shorter than 1e-12 is a SignalError: it has no direction.

    >>> import torch
    >>> code = BSQ(18).eval()
    >>> bits = code.quantize(torch.ones(1, 18))
    >>> pack(bits).tolist(), float(code.dequantize(bits).norm().round(decimals=5))
    ([262143], 1.0)
    """

    def __init__(self, length: int, *, tau: float = 1.0, group: int = 9, rescale: bool = False) -> None:
        super().__init__(length)
        self.tau, self.group, self.rescale = tau, group, rescale

    def _symbols(self, z: Tensor) -> Tensor:
        if not self.training and bool((z.float().norm(dim=1) < _LEAST_NORM).any()):
            raise SignalError("a latent vector is zero and has no direction")
        return (z > 0).long()

    @property
    def scale(self) -> float:
        return (expected_cosine(self.length) if self.rescale else 1.0) / sqrt(self.length)

    def _relaxed(self, z: Tensor) -> Relaxed:
        wide = widened(z)
        u = wide / wide.norm(dim=1, keepdim=True).clamp(min=_LEAST_NORM)
        symbols = self._symbols(z)
        self.prior.observe(symbols)
        losses = self._entropies(4 * self.tau / sqrt(self.length) * u, self.group)
        value = straight_through(self.dequantize(symbols).to(u.dtype), u)
        return Relaxed(value.to(z.dtype), self.prior.cost_bits(symbols), losses)


def expected_cosine(length: int) -> float:
    """Return the mean cosine between a uniform point of the sphere in `length` dimensions and its code.

    >>> round(expected_cosine(18), 6)
    0.809038
    """
    return sqrt(length) * exp(lgamma(length / 2) - lgamma((length + 1) / 2)) / sqrt(pi)
