"""The workloads W1 to W4: symbols, the table each is drawn from, and what an ideal coder would take.

W1 and W2 draw from 64 Gaussians whose scales run from .11 to 256 in equal ratios, the scale table of
CompressAI: W1 uses all alike (4.6 bit a symbol), W2 mostly the small ones (.75 bit), as trained models do. W3
has 16 tables of 8 symbols, W4 one table of bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from narrows.entropy import Tables, scale_family
from narrows.entropy.distributions import SCALE_BITS

Floats = npt.NDArray[np.float64]

NAMES = ("w1", "w2", "w3", "w4")
FULL_SIZE = 1 << 22
_SEED = 12
_W2_DECAY = 8.45
_W4_BITS = 5.62
_TAIL_QUANTILE = 6.109410204869  # of a Gaussian: a mass of 1e-9 lies beyond, as CompressAI cuts its tables


@dataclass(frozen=True)
class Workload:
    """Symbols int16 [n] and index uint8 [n]; `pmfs` are the true ones, row t from value `offsets[t]` up.

    `tables` are ours of 15 bits, `short_tables` of 12 where the alphabet is small. `exact_bits` is the code
    length of these symbols under the exact distributions, tails included.
    """

    name: str
    symbols: npt.NDArray[np.int16]
    index: npt.NDArray[np.uint8]
    pmfs: Sequence[Floats]
    offsets: npt.NDArray[np.int32]
    scales: Floats | None
    exact_bits: float
    tables: Tables
    short_tables: Tables | None = None

    @cached_property
    def tables_bits(self) -> float:
        """Code length under `tables`."""
        return self.tables.cost_bits(self.symbols, self.index)

    @cached_property
    def short_tables_bits(self) -> float:
        """Code length under `short_tables`."""
        return self.short_tables.cost_bits(self.symbols, self.index) if self.short_tables else 0.0

    def head(self, count: int) -> Workload:
        """Return the first `count` symbols as a workload; `exact_bits` in proportion."""
        count = min(count, len(self.symbols))
        share = self.exact_bits * count / max(len(self.symbols), 1)
        return Workload(
            self.name,
            self.symbols[:count],
            self.index[:count],
            self.pmfs,
            self.offsets,
            self.scales,
            share,
            self.tables,
            self.short_tables,
        )


@lru_cache(maxsize=4)
def make(name: str, size: int = FULL_SIZE) -> Workload:
    """Return a workload of `size` symbols, the same on every call.

    >>> made = make("w3", 1000)
    >>> len(made.symbols), len(made.pmfs), made.tables.bits
    (1000, 16, 15)
    """
    rng = np.random.default_rng([_SEED, NAMES.index(name)])
    if name in ("w1", "w2"):
        weights = np.ones(64) if name == "w1" else np.exp(-np.arange(64) / _W2_DECAY)
        return gaussians(name, size, scale_table(64), weights, rng)
    if name == "w3":
        pmfs = [rng.dirichlet(np.full(8, 0.7)) for _ in range(16)]
    else:
        pmfs = [_two_sided_geometric(256, _W4_BITS)]
    index = rng.integers(0, len(pmfs), size).astype(np.uint8)
    symbols = np.empty(size, np.int16)
    for t, pmf in enumerate(pmfs):
        where = np.flatnonzero(index == t)
        symbols[where] = rng.choice(len(pmf), len(where), p=pmf)
    with np.errstate(divide="ignore"):
        bits = -np.log2(np.array(pmfs))
    offsets = np.zeros(len(pmfs), np.int32)
    return Workload(
        name,
        symbols,
        index,
        pmfs,
        offsets,
        None,
        float(bits[index, symbols].sum()),
        Tables.from_pmf(pmfs, offsets, escape=False),
        Tables.from_pmf(pmfs, offsets, escape=False, bits=12),
    )


def scale_table(count: int) -> Floats:
    """Return `count` scales from .11 to 256 in equal ratios."""
    return np.exp(np.linspace(math.log(0.11), math.log(256), count))


def gaussians(
    name: str,
    size: int,
    scales: Floats,
    weights: Floats,
    rng: np.random.Generator,
    tables: Tables | None = None,
) -> Workload:
    """Return symbols of rounded Gaussians, the scale of each drawn by `weights`."""
    index = rng.choice(len(scales), size, p=weights / weights.sum()).astype(np.uint8)
    symbols = np.rint(rng.standard_normal(size) * scales[index]).astype(np.int16)
    reach = np.ceil(scales * _TAIL_QUANTILE).astype(np.int32)
    pmfs = [
        np.array([_mass(v - 0.5, v + 0.5, scale) for v in range(-r, r + 1)])
        for scale, r in zip(scales.tolist(), reach.tolist(), strict=True)
    ]
    return Workload(
        name,
        symbols,
        index,
        pmfs,
        -reach,
        scales,
        _exact_gaussian_bits(symbols, index, scales),
        gaussian_tables(scales) if tables is None else tables,
    )


def gaussian_tables(scales: Floats) -> Tables:
    """Return the shipped tables of these scales, or the ones made in integers where they are not shipped."""
    integers = np.rint(scales * 2**SCALE_BITS).astype(np.int64)
    shipped = scale_family("gaussian", 64)
    near = len(scales) == 64 and bool(np.abs(shipped.scales - integers).max() <= 1)
    return shipped.tables if near else scale_family("gaussian", integers).tables


def quantized_cdfs(pmfs: Sequence[Floats], bits: int, *, tail: float = 1e-9) -> list[npt.NDArray[np.int32]]:
    """Return cumulative frequencies as CompressAI makes them, the last token of each row its escape.

    Frequencies are rounded from float32 and scaled to 2**bits; each that comes out as 0 takes a unit from the
    smallest above 1.
    """
    whole = 1 << bits
    made = []
    for pmf in pmfs:
        with_tail = np.append(np.asarray(pmf, np.float32), np.float32(tail))
        rounded = np.floor(with_tail * np.float32(whole) + np.float32(0.5)).astype(np.uint64)
        counts = (np.uint64(whole) * rounded // rounded.sum()).astype(np.int64)
        counts[-1] += whole - counts.sum()
        for i in np.flatnonzero(counts == 0):
            donor = np.where(counts > 1, counts, whole + 1).argmin()
            counts[donor] -= 1
            counts[i] = 1
        made.append(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    return made


def bits_under(workload: Workload, cdfs: Sequence[npt.NDArray[Any]], bits: int) -> float:
    """Return the code length under cumulative frequencies, an escape at 8 bits more."""
    total = 0.0
    for t, cdf in enumerate(cdfs):
        values = workload.symbols[workload.index == t].astype(np.int64) - workload.offsets[t]
        frequencies = np.diff(cdf)
        last = len(frequencies) - 1
        inside = (values >= 0) & (values < last)
        tokens = np.where(inside, values, last)
        total += float((bits - np.log2(frequencies[tokens])).sum()) + 8.0 * int((~inside).sum())
    return total


def _mass(low: float, high: float, scale: float) -> float:
    """Probability of [low, high) under a Gaussian, exact in the tails too."""
    if low + high < 0:
        low, high = -high, -low
    low, high = low / (scale * math.sqrt(2)), high / (scale * math.sqrt(2))
    return (math.erfc(low) - math.erfc(high)) / 2 if low > 0 else (math.erf(high) - math.erf(low)) / 2


def _exact_gaussian_bits(symbols: npt.NDArray[Any], index: npt.NDArray[Any], scales: Floats) -> float:
    key = (index.astype(np.int64) << 16) + np.abs(symbols.astype(np.int64))
    found, counts = np.unique(key, return_counts=True)
    masses = [_mass((k & 65535) - 0.5, (k & 65535) + 0.5, float(scales[k >> 16])) for k in found.tolist()]
    return float(-(np.log2(masses) * counts).sum())


def _two_sided_geometric(size: int, bits: float) -> Floats:
    """Probabilities that fall by the same ratio on both sides of the middle, of `bits` bit of entropy."""
    distance = np.abs(np.arange(size) - size // 2)
    low, high = 0.5, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        pmf = np.exp(-distance / middle)
        pmf /= pmf.sum()
        entropy = float(-(pmf * np.log2(pmf)).sum())
        low, high = (middle, high) if entropy < bits else (low, middle)
    return pmf
