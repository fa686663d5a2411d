"""Sparse codes over a learned dictionary: top-k, a count chosen by norm, and matching pursuit."""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma, log

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from narrows.bottlenecks.bottleneck import (
    Bottleneck,
    Gated,
    Relaxed,
    check_symbols,
    straight_through,
    widened,
)
from narrows.bottlenecks.prior import Histogram, joined, nothing
from narrows.entropy import Tables
from narrows.errors import CorruptStream, OptionError
from narrows.limits import Limits

_MOST = 255  # steps of a magnitude with a count of its own; what is above is escaped
_SELECTIONS = ("top-k", "norm", "pursuit")


class Sparse(Bottleneck):
    """A vector as a few atoms: symbols [batch, atoms, ...] are magnitudes in steps, 0 where not selected.

    A latent [batch, dim, ...] is decoded as the bias and the sum of its atoms times their magnitudes. What is
    sent is a flag an atom, by the atom's table, and by one table the magnitudes of those selected.
    `selection` says which atoms:

    - "top-k": the `k` largest positive correlations (arXiv 2406.04093, and CSR, arXiv 2503.01776);
    - "norm": as many of the largest as come nearest to the latent's length, none if it is zero;
    - "pursuit": matching pursuit, at most `k` steps, which reduces the error with every step.

    Atoms have length 1 at every step. Training passes magnitudes unrounded;
    `losses["reconstruction"]` is the mean squared error, `losses["norm"]` the squared difference of lengths.

    >>> code = Sparse(8, 32, k=3, selection="pursuit").eval()
    >>> z = torch.randn(10, 8, generator=torch.Generator().manual_seed(0))
    >>> symbols = code.quantize(z)
    >>> symbols.shape, int((symbols > 0).sum(1).max()) <= 3
    (torch.Size([10, 32]), True)
    >>> bool((code.dequantize(symbols) - z).square().sum() < z.square().sum())
    True
    """

    steps_silent: Tensor

    def __init__(
        self, dim: int, atoms: int, k: int, *, step: float = 0.05, selection: str = "top-k", seed: int = 0
    ) -> None:
        super().__init__(dim)
        if dim < 1 or not 1 <= k <= atoms or not 0 < step < float("inf"):
            raise OptionError("k is 1 to the number of atoms, and dim and step are positive")
        if selection not in _SELECTIONS:
            raise OptionError(f"selection is one of {', '.join(_SELECTIONS)}, not {selection!r}")
        self.k, self.step, self.selection = k, step, selection
        start = torch.randn(atoms, dim, generator=torch.Generator().manual_seed(seed))
        self.weight = nn.Parameter(F.normalize(start, dim=1))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.flags = Histogram(atoms, 2)
        self.sizes = Histogram(1, _MOST, offset=1, escape=True)
        self.register_buffer("steps_silent", torch.zeros(atoms, dtype=torch.int64))

    @property
    def atoms(self) -> Tensor:
        """The dictionary, [atoms, dim], rows of length 1."""
        return F.normalize(self.weight, dim=1)

    def magnitudes(self, z: Tensor, k: int | None = None) -> Tensor:
        """Return `k` magnitudes a vector before rounding, [batch, atoms, ...], zero elsewhere."""
        k = self.k if k is None else k
        dtype = torch.promote_types(z.dtype, self.weight.dtype)
        vectors = z.movedim(1, -1).reshape(-1, z.shape[1]).to(dtype) - self.bias
        atoms = self.atoms.to(dtype)
        if self.selection == "pursuit":
            found = matching_pursuit(vectors, atoms, k)
        else:
            found = F.relu(vectors @ atoms.T)
            keep = norm_count(found, vectors.norm(dim=1)) if self.selection == "norm" else k
            found = largest(found, keep)
        return found.reshape(len(z), *z.shape[2:], -1).movedim(-1, 1)

    def _symbols(self, z: Tensor) -> Tensor:
        return self._rounded(self.magnitudes(z))

    def _rounded(self, magnitudes: Tensor) -> Tensor:
        return torch.round(magnitudes.detach().double() / self.step).clamp(max=2.0**31 - 1).long()

    def dequantize(self, symbols: Tensor) -> Tensor:
        check_symbols(symbols, len(self.weight))
        if bool((symbols < 0).any()):
            raise ValueError("a magnitude is not negative")
        return self.decode_magnitudes(symbols.float() * self.step)

    def decode_magnitudes(self, magnitudes: Tensor) -> Tensor:
        """Return the latent that magnitudes [batch, atoms, ...] stand for, with gradients."""
        atoms, bias = widened(self.atoms), widened(self.bias)
        return (magnitudes.to(atoms.dtype).movedim(1, -1) @ atoms + bias).movedim(-1, 1)

    def tables(self) -> Tables:
        """Return a table of flags for each atom, then that of the magnitudes and one that costs nothing."""
        return joined([self.flags.tables(), self.sizes.tables(), nothing()])

    def entropy_model(self) -> Gated:
        atoms = len(self.weight)
        return Gated(self.tables(), atoms, np.full(atoms, atoms))

    def coded(self, symbols: Tensor) -> Tensor:
        """Return the flags of the atoms, then their magnitudes."""
        check_symbols(symbols, len(self.weight))
        return torch.cat([(symbols > 0).long(), symbols], 1)

    def decode(self, payload: bytes, shape: Sequence[int], *, limits: Limits = Limits()) -> Tensor:
        if len(shape) < 2 or shape[1] != len(self.weight):
            raise ValueError(f"symbols are [batch, {len(self.weight)}, ...], not {list(shape)}")
        both = super().decode(payload, (shape[0], 2 * shape[1], *shape[2:]), limits=limits)
        flags, symbols = both.chunk(2, 1)
        if bool((symbols[flags > 0] < 1).any()):
            raise CorruptStream("a selected atom has no magnitude")
        return symbols

    def _count(self, symbols: Tensor) -> Tensor:
        """Count the symbols of a training step; return what they cost, [batch]."""
        flags = (symbols > 0).long()
        self.flags.observe(flags)
        self.sizes.observe(symbols[symbols > 0].reshape(1, 1, -1))
        sizes = self.sizes.element_bits(symbols.flatten(1)[:, None])[:, 0]
        return self.flags.cost_bits(flags) + (sizes * (symbols > 0).flatten(1)).sum(1).float()

    def _relaxed(self, z: Tensor) -> Relaxed:
        magnitudes = self.magnitudes(z)
        symbols = self._rounded(magnitudes)
        rate_bits = self._count(symbols)
        with torch.no_grad():
            spoke = (magnitudes > 0).movedim(1, -1).reshape(-1, len(self.weight)).any(0)
            self.steps_silent = torch.where(spoke, 0, self.steps_silent + 1)
        rounded = straight_through(symbols.to(magnitudes.dtype) * self.step, magnitudes)
        z_hat = self.decode_magnitudes(rounded).to(z.dtype)
        length = (z.movedim(1, -1) - self.bias).norm(dim=-1)
        losses = {
            "reconstruction": (z_hat - z).square().mean(),
            "norm": (magnitudes.square().sum(1).clamp(min=1e-12).sqrt() - length).square().mean(),
        }
        return Relaxed(z_hat, rate_bits, losses)

    def auxiliary_loss(self, z: Tensor, *, most: int = 512, silent_for: int = 30) -> Tensor:
        """Return the normalized error of what is left, coded by atoms silent for that many training steps.

        It brings dead atoms back (arXiv 2406.04093); zero where none is dead.
        """
        dead = self.steps_silent > silent_for
        if not bool(dead.any()):
            return z.new_zeros(())
        with torch.no_grad():
            rest = (z - self.decode_magnitudes(self.magnitudes(z))).movedim(1, -1).reshape(-1, z.shape[1])
        atoms = self.atoms[dead]
        again = largest(F.relu(rest @ atoms.T), min(most, int(dead.sum()))) @ atoms
        return (again - rest).square().mean() / rest.square().mean().clamp(min=1e-12)


def largest(magnitudes: Tensor, keep: int | Tensor) -> Tensor:
    """Return `magnitudes` [items, atoms] with all but the `keep` largest of each item set to zero.

    `keep` is one number or one an item; ties go to the lower atom.

    >>> largest(torch.tensor([[3.0, 1.0, 2.0]]), 2).tolist()
    [[3.0, 0.0, 2.0]]
    """
    order = magnitudes.detach().sort(dim=1, descending=True, stable=True).indices
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, places)
    limit = keep[:, None] if isinstance(keep, Tensor) else keep
    return torch.where(rank < limit, magnitudes, 0.0)


def norm_count(magnitudes: Tensor, length: Tensor) -> Tensor:
    """Return how many of the largest `magnitudes` [items, atoms] have a norm nearest to `length` [items].

    Ties go to the smaller count; zero is possible (top-AFA, arXiv 2503.24277, whose rule keeps at least one).

    >>> norm_count(torch.tensor([[3.0, 0.0, 2.0, 1.0]]), torch.tensor([3.7])).tolist()
    [3]
    """
    ordered = magnitudes.detach().sort(1, descending=True).values
    norms = F.pad(ordered.square().cumsum(1).sqrt(), (1, 0))
    return (norms - length.detach()[:, None]).abs().argmin(1)


def matching_pursuit(vectors: Tensor, atoms: Tensor, steps: int, *, tolerance: float = 0.0) -> Tensor:
    """Return magnitudes [items, atoms] of nonnegative matching pursuit (Mallat and Zhang 1993).

    Each step takes the atom best correlated with what is left, so that the squared error falls by the square
    of the correlation: `atoms` [atoms, dim] have length 1. Stops at `steps`, where no correlation is
    positive, or where what is left is no longer than `tolerance`; an atom may be taken again.

    >>> matching_pursuit(torch.tensor([[3.0, 4.0]]), torch.eye(2), 1).tolist()
    [[0.0, 4.0]]
    """
    rest, found = vectors, vectors.new_zeros(len(vectors), len(atoms))
    for _ in range(steps):
        correlation, atom = (rest @ atoms.T).max(1)
        gain = torch.where(rest.detach().norm(dim=1) > tolerance, F.relu(correlation), 0.0)
        if not bool((gain > 0).any()):
            break
        found = found.scatter_add(1, atom[:, None], gain[:, None])
        rest = rest - gain[:, None] * atoms[atom]
    return found


def support_bits(atoms: int, selected: int) -> float:
    """Return log2 of the number of ways to select that many atoms.

    >>> round(support_bits(2048, 32), 3)
    233.986
    """
    if not 0 <= selected <= atoms:
        raise ValueError("as many as there are can be selected")
    return (lgamma(atoms + 1) - lgamma(selected + 1) - lgamma(atoms - selected + 1)) / log(2)
