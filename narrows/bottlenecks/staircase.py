"""Bits that fall with age: a history whose newest positions are fine and whose older ones are coarser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.bottlenecks.bottleneck import Bottleneck, Ints, Relaxed, check_symbols, straight_through
from narrows.bottlenecks.prior import joined, nothing
from narrows.entropy import Plan, Tables
from narrows.errors import OptionError, SignalError

_SCALE_BITS = 16


class Staircase(Bottleneck):
    """Arrays [batch, channels, time], newest last, in fewer bits the older: for caches and histories.

    `stairs` holds (positions, bits) from the newest back, `last_bits` is what all older have. Blocks of
    `block` positions, counted from the start, share a width, that of their newest position; each block and
    group of `group` channels is quantized evenly between its least and its largest value, kept in float16.
    Symbols are [batch, channels + 2 * groups, time]: levels, then the bits of both ends at a block's first
    position. A coarser level is the upper bits of a finer one, so `age` makes of a history's symbols what
    quantizing it later would have. The rate is exact: the sum of the widths.

    >>> code = Staircase(4, stairs=[(16, 8), (16, 4)], last_bits=2).eval()
    >>> code.widths(64)[::16].tolist()
    [2, 2, 4, 8]
    >>> z = torch.rand(1, 4, 64, generator=torch.Generator().manual_seed(0))
    >>> symbols = code.quantize(z)
    >>> error = (code.dequantize(symbols) - z).abs().amax((0, 1))
    >>> symbols.shape, bool(error[:32].max() > error[-16:].max())
    (torch.Size([1, 6, 64]), True)
    """

    def __init__(
        self,
        channels: int,
        *,
        stairs: Sequence[tuple[int, int]] = ((16, 8), (16, 4)),
        last_bits: int = 2,
        block: int = 16,
        group: int = 32,
    ) -> None:
        super().__init__(channels)
        widths = [bits for _, bits in stairs] + [last_bits]
        if channels < 1 or block < 1 or group < 1 or any(positions < 1 for positions, _ in stairs):
            raise OptionError("channels, blocks, groups and stairs have at least one member")
        if any(not 1 <= bits <= 12 for bits in widths) or widths != sorted(widths, reverse=True):
            raise OptionError("widths are 1 to 12 bits and fall with age")
        self.stairs, self.last_bits, self.block = tuple(stairs), last_bits, block
        self.group_of = torch.arange(channels) // group
        self.groups = -(-channels // group)

    def widths(self, time: int) -> Tensor:
        """Return the bits of each of `time` positions, [time] int64."""
        ends = (torch.arange(time) // self.block + 1) * self.block - 1
        age = time - 1 - ends.clamp(max=time - 1)
        widths = torch.full((time,), self.last_bits)
        edge = sum(positions for positions, _ in self.stairs)
        for positions, bits in reversed(self.stairs):
            widths[age < edge] = bits
            edge -= positions
        return widths

    def _symbols(self, z: Tensor) -> Tensor:
        if z.ndim != 3:
            raise SignalError(f"a history is [batch, channels, time], not {list(z.shape)}")
        low, high = self._ends(z.double())
        span = (high - low)[:, self.group_of].clamp(min=1e-30)
        share = (z.double() - low[:, self.group_of]) / span
        most = (1 << self.widths(z.shape[2])) - 1
        levels = (share.clamp(0, 1) * (most + 1)).floor().long().minimum(most)
        return torch.cat([levels, self._at_starts(low), self._at_starts(high)], 1)

    def _ends(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the least and the largest value around each position [batch, groups, time], in float16."""
        batch, _, time = z.shape
        of_block = torch.arange(time) // self.block
        place = (self.group_of[:, None] * (int(of_block[-1]) + 1) + of_block).reshape(1, -1).expand(batch, -1)
        found = []
        for reduce, start in (("amin", torch.inf), ("amax", -torch.inf)):
            ends = torch.full((batch, self.groups * (int(of_block[-1]) + 1)), start, dtype=z.dtype)
            ends = ends.scatter_reduce(1, place, z.reshape(batch, -1), reduce)
            found.append(ends.reshape(batch, self.groups, -1)[..., of_block])
        low, high = (end.clamp(-60000, 60000).half().double() for end in found)
        return low, high

    def _at_starts(self, ends: Tensor) -> Tensor:
        bits = ends.half().view(torch.int16).long() & 0xFFFF
        starts = torch.arange(ends.shape[2]) % self.block == 0
        return torch.where(starts, bits, 0)

    def dequantize(self, symbols: Tensor) -> Tensor:
        check_symbols(symbols, self.latent_channels + 2 * self.groups)
        if symbols.ndim != 3:
            raise ValueError("symbols are [batch, rows, time]")
        time = symbols.shape[2]
        levels, ends = symbols[:, : self.latent_channels], symbols[:, self.latent_channels :]
        steps = 1 << self.widths(time)
        if bool(((levels < 0) | (levels >= steps)).any() | ((ends < 0) | (ends > 0xFFFF)).any()):
            raise ValueError("a symbol lies outside the code")
        first = torch.arange(time) // self.block * self.block
        of_block = ends[..., first]
        low, high = of_block.to(torch.int32).to(torch.int16).view(torch.float16).double().chunk(2, 1)
        if not bool(torch.isfinite(low).all() & torch.isfinite(high).all()):
            raise ValueError("a block's end is not finite")
        share = (levels.double() + 0.5) / steps
        return (low[:, self.group_of] + share * (high - low)[:, self.group_of]).float()

    def age(self, symbols: Tensor, positions: int) -> Tensor:
        """Return what the symbols of a history become once `positions` newer ones stand behind it.

        Whole blocks only: a block that was not full is quantized anew with the rest of it.
        """
        time = symbols.shape[2]
        if time % self.block or positions < 0:
            raise ValueError("only whole blocks grow older")
        drop = self.widths(time) - self.widths(time + positions)[:time]
        levels = symbols[:, : self.latent_channels] >> drop
        return torch.cat([levels, symbols[:, self.latent_channels :]], 1)

    def tables(self) -> Tables:
        """Return even tables of 1 to 12 bits, one of 16, and one that costs nothing."""
        even = [
            Tables.from_pmf(np.ones((1, 1 << bits), np.uint64), [0], bits=16, escape=False)
            for bits in (*range(1, 13), _SCALE_BITS)
        ]
        return joined([*even, nothing(16)])

    def entropy_model(self) -> ByPosition:
        widths = self.widths
        return ByPosition(self.tables(), self.latent_channels, self.block, lambda time: widths(time).numpy())

    def _relaxed(self, z: Tensor) -> Relaxed:
        symbols = self._symbols(z.detach())
        rate_bits = torch.full((len(z),), float(self.rate_bits(symbols[:1])[0]))
        return Relaxed(straight_through(self.dequantize(symbols).to(z.dtype), z), rate_bits)


@dataclass(frozen=True, eq=False)
class ByPosition:
    """The entropy model of a staircase: which table codes which symbol follows from the position alone."""

    tables: Tables
    channels: int
    block: int
    widths: Any
    passes = 1

    def plan(self, k: int, known: Ints, side: Any) -> Plan:
        return Plan(..., self.index(known))

    def index(self, symbols: Ints) -> Ints:
        """Return the table of each of `symbols`, [1, rows, time]."""
        _, rows, time = symbols.shape
        ends = np.where(np.arange(time) % self.block == 0, len(self.tables) - 2, len(self.tables) - 1)
        of_row = np.where(np.arange(rows)[:, None] < self.channels, self.widths(time) - 1, ends)
        return of_row[None].astype(np.uint16)
