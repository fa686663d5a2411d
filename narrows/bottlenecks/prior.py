"""How often each symbol occurs: counts gathered in training, exported as integer tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from narrows.bottlenecks.bottleneck import Kept, along_channels
from narrows.entropy import Tables


class Histogram(Kept):
    """Counts of the symbols of each row, which fade by `decay` a batch.

    Row r has symbols offset .. offset + size - 1; with `escape` others are allowed and counted together.

    >>> counts = Histogram(1, 4)
    >>> counts.observe(torch.tensor([[[0, 0, 0, 1]]]))
    >>> float(counts.used), round(float(counts.perplexity), 3)
    (0.5, 1.755)
    """

    counts: Tensor
    outside: Tensor

    def __init__(
        self, rows: int, size: int, *, offset: int = 0, escape: bool = False, decay: float = 0.99
    ) -> None:
        super().__init__()
        self.offset, self.escape, self.decay = offset, escape, decay
        self.register_buffer("counts", torch.zeros(rows, size, dtype=torch.float64))
        self.register_buffer("outside", torch.zeros(rows, dtype=torch.float64))

    @torch.no_grad()
    def observe(self, symbols: Tensor) -> None:
        """Count `symbols`, [batch, rows, ...] integers."""
        rows, size = self.counts.shape
        flat = symbols.detach().transpose(0, 1).reshape(rows, -1) - self.offset
        inside = (flat >= 0) & (flat < size)
        place = (flat.clamp(0, size - 1) + size * torch.arange(rows, device=flat.device)[:, None])[inside]
        fresh = torch.bincount(place.reshape(-1), minlength=rows * size).reshape(rows, size)
        self.counts.mul_(self.decay).add_(fresh.to(self.counts))
        self.outside.mul_(self.decay).add_((~inside).sum(1).to(self.outside))

    def element_bits(self, symbols: Tensor) -> Tensor:
        """Return what each of `symbols` costs by the counts as they are; escapes 16 bits more."""
        rows, size = self.counts.shape
        place = symbols.detach() - self.offset
        inside = (place >= 0) & (place < size)
        total = (self.counts.sum(1) + self.outside + 0.5 * size).log2()
        costs = total[:, None] - (self.counts + 0.5).log2()
        row = along_channels(torch.arange(rows, device=place.device), place.ndim)
        escaped = along_channels(16 + total - (self.outside + 0.5).log2(), place.ndim)
        return torch.where(inside, costs[row, place.clamp(0, size - 1)], escaped)

    def cost_bits(self, symbols: Tensor) -> Tensor:
        """Return what `symbols` cost by the counts as they are, [batch] float32."""
        return self.element_bits(symbols).flatten(1).sum(1).float()

    @property
    def perplexity(self) -> Tensor:
        """The exponential of each row's entropy, [rows]: how many symbols are in use, counted evenly."""
        share = self.counts / self.counts.sum(1, keepdim=True).clamp(min=1e-300)
        return torch.exp(-torch.special.xlogy(share, share).sum(1))

    @property
    def used(self) -> Tensor:
        """The part of each row's symbols that has been seen of late (half a count or more), [rows]."""
        return (self.counts >= 0.5).double().mean(1)

    def tables(self, sizes: Tensor | None = None, bits: int | None = None) -> Tables:
        """Return a table a row: every symbol is possible, the seen ones by their counts.

        Rows with an escape are cut to the symbols that have been seen; tables without one are closed. `sizes`
        [rows] are the sizes of rows that have fewer symbols than the others; `bits` is by default 15, for
        large codes 16.
        """
        weights, offsets, escapes = [], [], []
        lengths = [self.counts.shape[1]] * len(self.counts) if sizes is None else sizes.tolist()
        counted = zip(self.counts.cpu().numpy(), self.outside.cpu().numpy(), lengths, strict=True)
        for row, outside, last in counted:
            first = 0
            if self.escape:
                seen = np.flatnonzero(row >= 1.0)
                first, last = (
                    (int(seen[0]), int(seen[-1]) + 1) if seen.size else (len(row) // 2, len(row) // 2 + 1)
                )
            outer = outside + row[:first].sum() + row[last:].sum()
            total = float(row.sum() + outside) or 1.0
            # Half a count for each symbol not yet seen, as Krichevsky and Trofimov's estimator gives.
            weights.append((row[first:last] + 0.5) / (total + 0.5 * (last - first)))
            offsets.append(self.offset + first)
            escapes.append((outer + 0.5) / (total + 0.5 * (last - first)))
        widest = max(len(row) for row in weights)
        bits = bits or (15 if widest <= 2**13 else 16)
        return Tables.from_pmf(weights, offsets, bits=bits, escape=escapes if self.escape else False)


def joined(tables: Sequence[Tables]) -> Tables:
    """Return one `Tables` with the tables of all of `tables`, which have equal bits."""
    width = max(part.cdf.shape[1] for part in tables)
    rows = [np.pad(part.cdf, ((0, 0), (0, width - part.cdf.shape[1])), mode="edge") for part in tables]
    return Tables(
        tables[0].bits,
        np.concatenate([part.offset for part in tables]),
        np.concatenate([part.shift for part in tables]),
        np.concatenate([part.size for part in tables]),
        np.concatenate(rows),
    )


def nothing(bits: int = 15) -> Tables:
    """Return one closed table of one symbol, 0: coding it costs nothing."""
    return Tables.from_pmf([[1.0]], [0], bits=bits, escape=False)
