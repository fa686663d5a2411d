"""Which positions are kept, learned by whether the rest can do without them (arXiv 2503.16660)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from narrows.bottlenecks.bottleneck import (
    Bottleneck,
    ByRow,
    Gated,
    Relaxed,
    along_channels,
    check_symbols,
    straight_through,
)
from narrows.bottlenecks.prior import Histogram, joined, nothing
from narrows.entropy import Tables
from narrows.errors import OptionError


class Select(Bottleneck):
    """Another bottleneck at the positions that are kept, one learned vector at all others.

    The latent is [batch, channels + 1, ...], the last channel a logit: kept above zero, and at least one
    position of each item is. Symbols are a row of flags and the rows of `inner`, 0 where dropped. Training
    draws the choice with logistic noise (P(keep) is the logistic function of the logit) and gives
    `losses["kept"]`, the share of positions kept, beside those of `inner`. With `keep` in use a fixed number
    of positions, those of the largest logits. OptionError for an `inner` of which a row has several tables
    (`Sparse`, `Staircase`, `Select`).

    >>> from narrows.bottlenecks.fsq import FSQ
    >>> code = Select(FSQ([5]), keep=1).eval()
    >>> z = torch.tensor([[[9.0, -9.0, 0.0], [0.5, 2.0, 1.0]]])  # values, and logits
    >>> symbols = code.quantize(z)
    >>> symbols.tolist(), code.dequantize(symbols).tolist()
    ([[[0, 1, 0], [0, 0, 0]]], [[[0.0, -1.0, 0.0]]])
    """

    def __init__(
        self, inner: Bottleneck, *, keep: int | None = None, temperature: float = 1.0, seed: int = 0
    ) -> None:
        super().__init__(inner.latent_channels + 1)
        if not isinstance(inner.entropy_model(), ByRow):
            raise OptionError(f"the tables of {type(inner).__name__} go by more than its rows")
        self.inner, self.keep, self.temperature = inner, keep, temperature
        self.rng = torch.Generator().manual_seed(seed)
        self.flags = Histogram(1, 2)
        probe = inner.dequantize(inner.quantize(torch.zeros(1, inner.latent_channels, 1) + 0.5))
        self.fill = nn.Parameter(torch.zeros(probe.shape[1]))

    def _kept(self, logits: Tensor) -> Tensor:
        """Return which positions [batch, 1, ...] are kept in use."""
        flat = logits.flatten(1)
        most = flat.shape[1] if self.keep is None else min(self.keep, flat.shape[1])
        order = flat.sort(dim=1, descending=True, stable=True).indices[:, : max(1, most)]
        chosen = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, order, True)
        if self.keep is None:
            first = torch.zeros_like(chosen).scatter_(1, order[:, :1], True)
            chosen = first | (flat > 0)
        return chosen.reshape(logits.shape)

    def _symbols(self, z: Tensor) -> Tensor:
        kept = self._kept(z[:, -1:])
        return torch.cat([kept.long(), torch.where(kept, self.inner.quantize(z[:, :-1]), 0)], 1)

    def dequantize(self, symbols: Tensor) -> Tensor:
        check_symbols(symbols, symbols.shape[1] if symbols.ndim > 1 else 1)
        flags = symbols[:, :1]
        check_symbols(flags, 1, 2)
        if bool((torch.where(flags > 0, 0, symbols[:, 1:]) != 0).any()):
            raise ValueError("a symbol is not 0 where its position is dropped")
        values = self.inner.dequantize(symbols[:, 1:])
        return torch.where(flags > 0, values, along_channels(self.fill, values.ndim))

    def tables(self) -> Tables:
        """Return the flags' table, those of `inner`, and one that costs nothing."""
        inner = self.inner.tables()
        return joined([self.flags.tables(bits=inner.bits), inner, nothing(inner.bits)])

    def entropy_model(self) -> Gated:
        tables = self.tables()
        return Gated(tables, 1, np.arange(1, len(tables) - 1))

    def _relaxed(self, z: Tensor) -> Relaxed:
        logits = z[:, -1:]
        uniform = torch.rand(logits.shape, generator=self.rng, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
        noise = torch.logit(uniform).to(logits)
        soft = torch.sigmoid((logits + noise) / self.temperature)
        keep = straight_through((soft > 0.5).to(soft), soft)
        flags = (soft.detach() > 0.5).long()
        self.flags.observe(flags)
        inner = self.inner.relax(z[:, :-1])
        z_hat = keep * inner.z_hat + (1 - keep) * along_channels(self.fill, z.ndim)
        share = keep.flatten(1).mean(1)
        rate_bits = self.flags.cost_bits(flags) + share * inner.rate_bits
        return Relaxed(z_hat.to(z.dtype), rate_bits, {**inner.losses, "kept": share.mean()})
