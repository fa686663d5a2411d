"""FSQ: each channel bounded by tanh and rounded to a few levels (Mentzer et al. 2023, arXiv 2309.15505)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from narrows.bottlenecks.bottleneck import (
    Bottleneck,
    Relaxed,
    along_channels,
    check_symbols,
    straight_through,
    widened,
)
from narrows.bottlenecks.prior import Histogram
from narrows.entropy import Tables
from narrows.errors import OptionError

_MARGIN = 1e-3  # so that tanh reaches the outermost levels


class FSQ(Bottleneck):
    """Finite scalar quantization: channel j has `levels[j]` values; digits are [batch, channels, ...].

    The digit is the level counted from below and the value digit / (levels // 2) - 1, so an even number of
    levels reaches -1 but not 1; two levels are the symmetric -1 and 1. OptionError below two levels or above
    65,536 in a channel.

    >>> code = FSQ([8, 5, 5, 5]).eval()
    >>> digits = code.quantize(torch.tensor([[0.3, -0.3, 1.2, -1.2]]))
    >>> digits.tolist(), code.ids(digits).tolist(), code.dequantize(digits).tolist()
    ([[5, 1, 4, 0]], [173], [[0.25, -0.5, 1.0, -1.0]])
    """

    levels: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__(len(levels))
        if not levels or any(not 2 <= level <= 65536 for level in levels):
            raise OptionError("levels are 2 to 65,536, and there is at least one channel")
        self.register_buffer("levels", torch.tensor(list(levels)), persistent=False)
        self.prior = Histogram(len(levels), max(levels))

    def _bounded(self, z: Tensor) -> Tensor:
        """Return `z` in units of levels around zero, in float32 or better: rounding gives the level."""
        z = widened(z)
        levels = along_channels(self.levels, z.ndim).to(z.dtype)
        half = (levels - 1) * (1 + _MARGIN) / 2
        offset = torch.where(levels % 2 == 0, 0.5, 0.0).to(z.dtype)
        wide = torch.tanh(z + torch.atanh(offset / half.clamp(min=0.75))) * half - offset
        # With two levels the offset is as large as the range: they are the two sides of zero instead.
        return torch.where(levels == 2, torch.tanh(z) / 2 - 0.5, wide)

    def _symbols(self, z: Tensor) -> Tensor:
        levels = along_channels(self.levels, z.ndim)
        return (torch.round(self._bounded(z)).long() + levels // 2).clamp_(
            min=torch.zeros_like(levels), max=levels - 1
        )

    def dequantize(self, symbols: Tensor) -> Tensor:
        check_symbols(symbols, len(self.levels), self.levels)
        levels = along_channels(self.levels, symbols.ndim)
        narrow = (symbols.long() * 2 - 1).float()
        return torch.where(levels == 2, narrow, symbols.float() / (levels // 2) - 1)

    def ids(self, symbols: Tensor) -> Tensor:
        """Return digits [batch, channels, ...] as int64 ids [batch, ...]; the first digit is the fastest.

        ValueError where the ids would pass 2**63.
        """
        check_symbols(symbols, len(self.levels), self.levels)
        return (symbols * along_channels(self._strides(), symbols.ndim)).sum(1)

    def digits(self, ids: Tensor) -> Tensor:
        """Return the digits [batch, channels, ...] of `ids` [batch, ...]; the inverse of `ids`."""
        strides = self._strides()
        if bool(((ids < 0) | (ids > int(strides[-1]) * int(self.levels[-1]) - 1)).any()):
            raise ValueError("an id lies outside the code")
        ids = ids.unsqueeze(1)
        return ids // along_channels(strides, ids.ndim) % along_channels(self.levels, ids.ndim)

    def _strides(self) -> Tensor:
        levels = [int(level) for level in self.levels]
        if prod(levels) > 2**63:
            raise ValueError("the code has more than 2**63 ids: send its digits")
        return torch.tensor([prod(levels[:j]) for j in range(len(levels))], device=self.levels.device)

    def tables(self) -> Tables:
        return self.prior.tables(self.levels)

    def _relaxed(self, z: Tensor) -> Relaxed:
        symbols = self._symbols(z.detach())
        self.prior.observe(symbols)
        levels = along_channels(self.levels, z.ndim)
        bounded = self._bounded(z)
        soft = torch.where(levels == 2, 2 * bounded + 1, bounded / (levels // 2))
        return Relaxed(
            straight_through(self.dequantize(symbols).to(soft), soft).to(z.dtype),
            self.prior.cost_bits(symbols),
        )
