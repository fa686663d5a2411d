"""Companded latents of few bits, made for wavelet-packet coefficients (WaLLoC, arXiv 2412.09405)."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from narrows.bottlenecks.bottleneck import Bottleneck, Relaxed, check_symbols, widened
from narrows.bottlenecks.prior import Histogram
from narrows.entropy import Tables
from narrows.errors import OptionError

_CLIP = 1e-4  # of a probability, on both sides of the inverse


class Companded(Bottleneck):
    """Coefficients squashed by the normal distribution's curve and rounded to `bits` bits.

    Symbols are [batch, channels, ...] from -2**(bits - 1) + 1 to 2**(bits - 1) - 1. Latents of standard
    deviation `scale`, 2**(bits - 1) / 1.85 or so, fill them evenly. Training adds uniform noise of one
    symbol, kept inside the range.

    >>> code = Companded(1, bits=8).eval()
    >>> symbols = code.quantize(torch.tensor([[[0.0, 50.0, 1e6]]]))
    >>> symbols.tolist(), [round(v) for v in code.dequantize(symbols)[0, 0].tolist()]
    ([[[0, 68, 127]]], [0, 50, 198])
    """

    def __init__(self, channels: int, *, bits: int = 8, seed: int = 0) -> None:
        super().__init__(channels)
        if channels < 1 or not 2 <= bits <= 12:
            raise OptionError("there is at least one channel, of 2 to 12 bits")
        self.channels = channels
        self.most = 2 ** (bits - 1) - 1
        self.scale = self.most / 1.85
        self.reach = 2 ** (bits - 1) - 0.501
        self.rng = torch.Generator().manual_seed(seed)
        self.prior = Histogram(channels, 2 * self.most + 1, offset=-self.most)

    def compand(self, z: Tensor) -> Tensor:
        """Return latents squashed to (-2**(bits - 1) + .501, 2**(bits - 1) - .501)."""
        return self.reach * torch.special.erf(z / (self.scale * sqrt(2)))

    def expand(self, u: Tensor) -> Tensor:
        """Return the latents that `compand` maps to `u`, kept 3.7 deviations from zero."""
        probability = (u / (2 * self.reach) + 0.5).clamp(_CLIP, 1 - _CLIP)
        return self.scale * torch.special.ndtri(probability)

    def _symbols(self, z: Tensor) -> Tensor:
        return torch.round(self.compand(z.double())).long().clamp_(-self.most, self.most)

    def dequantize(self, symbols: Tensor) -> Tensor:
        check_symbols(symbols, self.channels)
        if bool(((symbols > self.most) | (symbols < -self.most)).any()):
            raise ValueError("a symbol lies outside the code")
        return self.expand(symbols.double()).float()

    def tables(self) -> Tables:
        return self.prior.tables()

    def _relaxed(self, z: Tensor) -> Relaxed:
        symbols = self._symbols(z.detach())
        self.prior.observe(symbols)
        z, dtype = widened(z), z.dtype
        squashed = self.compand(z)
        noisy = squashed + (torch.rand(z.shape, generator=self.rng).to(z) - 0.5)
        z_hat = self.expand(noisy.clamp(-self.most, self.most)).to(dtype)
        return Relaxed(z_hat, self.prior.cost_bits(symbols))
