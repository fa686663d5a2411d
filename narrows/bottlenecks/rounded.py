"""Coefficients rounded to multiples of a step: what the scalar, Gaussian and WAE bottlenecks share."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.bottlenecks.bottleneck import Bottleneck, along_channels, check_symbols, widened
from narrows.bottlenecks.prior import Histogram
from narrows.entropy import Tables
from narrows.errors import OptionError

_REACH = 1023  # of a symbol on both sides of zero; what lies beyond is escaped
_FOLLOW = 0.01  # of the way to a batch's mean


class Rounded(Bottleneck):
    """Symbols [batch, channels, ...], any int32, on a grid of `step` through each channel's running mean."""

    center: Tensor
    started: Tensor

    def __init__(self, channels: int, *, step: float = 1.0, seed: int = 0) -> None:
        super().__init__(channels)
        if channels < 1 or not 0 < step < float("inf"):
            raise OptionError("there is at least one channel, and step is positive")
        self.channels, self.step = channels, step
        self.prior = Histogram(channels, 2 * _REACH + 1, offset=-_REACH, escape=True)
        self.rng = torch.Generator().manual_seed(seed)
        self.register_buffer("center", torch.zeros(channels))
        self.register_buffer("started", torch.tensor(False))

    def _symbols(self, z: Tensor) -> Tensor:
        scaled = z.double() / self.step - along_channels(self.center, z.ndim).double()
        return torch.round(scaled).clamp(-(2.0**31), 2.0**31 - 1).long()

    def dequantize(self, symbols: Tensor) -> Tensor:
        check_symbols(symbols, self.channels)
        exact = (symbols.double() + along_channels(self.center, symbols.ndim).double()) * self.step
        return exact.float()

    def tables(self) -> Tables:
        return self.prior.tables()

    @torch.no_grad()
    def _follow(self, z: Tensor) -> Tensor:
        """Move the grid and the counts towards what `z` holds; return its symbols."""
        mean = (widened(z) / self.step).movedim(1, -1).reshape(-1, self.channels).mean(0).to(self.center)
        self.center.lerp_(mean, _FOLLOW if self.started else 1.0)
        self.started.fill_(True)
        symbols = Rounded._symbols(self, z)
        self.prior.observe(symbols)
        return symbols
