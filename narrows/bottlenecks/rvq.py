"""Codes in stages and in parts: residual, product and binary residual vector quantization."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from narrows.bottlenecks.bottleneck import (
    Bottleneck,
    Relaxed,
    along_channels,
    check_symbols,
    straight_through,
)
from narrows.bottlenecks.prior import Histogram, joined
from narrows.bottlenecks.vq import VQ
from narrows.entropy import Tables
from narrows.errors import OptionError


class RVQ(Bottleneck):
    """Residual VQ: each stage quantizes what the stages before left; ids are [batch, stages, ...].

    Stages may be left away from the last on: `dequantize` takes 1 to all of them. With `dropout` a training
    step uses, for each batch item, a random number of stages from 1, so that one model serves all rates
    (Zeghidour et al. 2021, arXiv 2107.03312). Values are added in stage order, in float32.

    >>> code = RVQ(3, 16, 2)
    >>> z = torch.randn(1, 2, 500, generator=torch.Generator().manual_seed(0))
    >>> _ = code.relax(z)
    >>> ids = code.eval().quantize(z)
    >>> errors = [(code.dequantize(ids[:, :n]) - z).square().mean() for n in (1, 2, 3)]
    >>> ids.shape, bool(errors[0] > errors[1] > errors[2])
    (torch.Size([1, 3, 500]), True)
    """

    def __init__(
        self,
        stages: int,
        size: int,
        dim: int,
        *,
        decay: float = 0.99,
        revive_below: float = 2.0,
        dropout: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(dim)
        if stages < 1:
            raise OptionError("there is at least one stage")
        self.dropout = dropout
        self.stages = nn.ModuleList(
            VQ(size, dim, decay=decay, revive_below=revive_below, seed=seed + i) for i in range(stages)
        )
        self.rng = torch.Generator().manual_seed(seed)

    def _symbols(self, z: Tensor) -> Tensor:
        rest, ids = z, []
        for stage in self.stages:
            ids.append(stage.quantize(rest))
            rest = rest - stage.dequantize(ids[-1])
        return torch.cat(ids, 1)

    def dequantize(self, symbols: Tensor) -> Tensor:
        if symbols.ndim < 2 or not 1 <= symbols.shape[1] <= len(self.stages):
            raise ValueError(
                f"symbols are [batch, 1 to {len(self.stages)} stages, ...], not {list(symbols.shape)}"
            )
        parts = [
            stage.dequantize(symbols[:, i : i + 1]) for i, stage in enumerate(self.stages[: symbols.shape[1]])
        ]
        value = parts[0]
        for part in parts[1:]:
            value = value + part
        return value

    def tables(self) -> Tables:
        return joined([stage.tables() for stage in self.stages])

    def _relaxed(self, z: Tensor) -> Relaxed:
        count = len(self.stages)
        kept = torch.full((len(z),), count)
        if self.dropout:
            kept = torch.randint(1, count + 1, (len(z),), generator=self.rng)
        value, rate_bits = torch.zeros_like(z), torch.zeros(len(z), device=z.device)
        commitment = z.new_zeros(())
        for i, stage in enumerate(self.stages):
            alive = torch.nonzero(kept > i)[:, 0].to(z.device)
            if not len(alive):
                break
            # Only the codes of earlier stages are constants: through z, every stage has a gradient.
            part = stage.relax((z - value)[alive])
            value = value.index_add(0, alive, part.z_hat.detach())
            rate_bits = rate_bits.index_add(0, alive, part.rate_bits)
            commitment = commitment + part.losses["commitment"]
        return Relaxed(straight_through(value, z), rate_bits, {"commitment": commitment})


class ProductVQ(Bottleneck):
    """Product VQ: the channels in equal groups, each with a codebook; ids are [batch, groups, ...].

    Jégou, Douze and Schmid 2011, "Product quantization for nearest neighbor search".

    >>> code = ProductVQ(2, 16, 6)  # two groups of three channels
    >>> _ = code.relax(torch.randn(1, 6, 100))
    >>> code.eval().quantize(torch.zeros(5, 6)).shape
    torch.Size([5, 2])
    """

    def __init__(self, groups: int, size: int, dim: int, *, decay: float = 0.99, seed: int = 0) -> None:
        super().__init__(dim)
        if groups < 1 or dim % groups:
            raise OptionError("the groups share the channels evenly")
        self.parts = nn.ModuleList(VQ(size, dim // groups, decay=decay, seed=seed + i) for i in range(groups))

    def _symbols(self, z: Tensor) -> Tensor:
        groups = z.chunk(len(self.parts), 1)
        return torch.cat([part.quantize(group) for part, group in zip(self.parts, groups, strict=True)], 1)

    def dequantize(self, symbols: Tensor) -> Tensor:
        check_symbols(symbols, len(self.parts))
        return torch.cat([part.dequantize(symbols[:, i : i + 1]) for i, part in enumerate(self.parts)], 1)

    def tables(self) -> Tables:
        return joined([part.tables() for part in self.parts])

    def _relaxed(self, z: Tensor) -> Relaxed:
        groups = z.chunk(len(self.parts), 1)
        found = [part.relax(group) for part, group in zip(self.parts, groups, strict=True)]
        commitment = torch.stack([part.losses["commitment"] for part in found]).mean()
        return Relaxed(
            torch.cat([part.z_hat for part in found], 1),
            torch.stack([part.rate_bits for part in found]).sum(0),
            {"commitment": commitment},
        )


class BinaryRVQ(Bottleneck):
    """Signs in stages: stage s sends the sign of each channel's residual, decoded as +-levels[s].

    A level is the running mean of the residual's magnitude, which is the best for signs. Bits are
    [batch, stages * channels, ...], stage by stage; the first stages alone are a coarser code. Residual VQ
    (Juang and Gray 1982) with codebooks of two.

    >>> code = BinaryRVQ(2, 1)
    >>> _ = code.relax(torch.tensor([[[-3.0, -1.0, 1.0, 3.0]]]))
    >>> bits = code.eval().quantize(torch.tensor([[[-3.0, -1.0, 1.0, 3.0]]]))
    >>> bits[0].tolist(), code.dequantize(bits)[0, 0].tolist()
    ([[0, 0, 1, 1], [0, 1, 0, 1]], [-3.0, -1.0, 1.0, 3.0])
    """

    levels: Tensor

    def __init__(self, stages: int, channels: int, *, decay: float = 0.99) -> None:
        super().__init__(channels)
        if stages < 1 or channels < 1:
            raise OptionError("there is at least one stage and one channel")
        self.stages, self.channels, self.decay = stages, channels, decay
        self.register_buffer("levels", torch.full((stages, channels), torch.nan))
        self.prior = Histogram(stages * channels, 2)

    def _symbols(self, z: Tensor) -> Tensor:
        return self._bits(z, learn=False)

    def _bits(self, z: Tensor, *, learn: bool) -> Tensor:
        rest, bits = z.float(), []
        for stage in range(self.stages):
            if learn:
                size = rest.abs().movedim(1, -1).reshape(-1, self.channels).mean(0)
                fresh = torch.isnan(self.levels[stage])
                self.levels[stage] = torch.where(
                    fresh, size, self.decay * self.levels[stage] + (1 - self.decay) * size
                )
            bits.append((rest > 0).long())
            rest = rest - self._values(bits[-1], stage)
        return torch.cat(bits, 1)

    def _values(self, bits: Tensor, stage: int) -> Tensor:
        return (2 * bits.long() - 1) * along_channels(
            torch.nan_to_num(self.levels[stage], nan=1.0), bits.ndim
        )

    def dequantize(self, symbols: Tensor) -> Tensor:
        rows = symbols.shape[1] if symbols.ndim > 1 else 0
        if not rows or rows % self.channels or rows > self.stages * self.channels:
            raise ValueError("symbols are [batch, stages * channels, ...], of 1 to all stages")
        check_symbols(symbols, rows, 2)
        parts = symbols.split(self.channels, 1)
        value = self._values(parts[0], 0)
        for stage, part in enumerate(parts[1:], 1):
            value = value + self._values(part, stage)
        return value

    def tables(self) -> Tables:
        return self.prior.tables()

    def _relaxed(self, z: Tensor) -> Relaxed:
        symbols = self._bits(z.detach(), learn=True)
        self.prior.observe(symbols)
        hard = self.dequantize(symbols).to(z.dtype)
        return Relaxed(straight_through(hard, z), self.prior.cost_bits(symbols))
