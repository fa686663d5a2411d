"""Models in which every symbol has a distribution of its own: categorical rows, and mixtures of integers.

No tables are made: a range coder takes each distribution as it comes. `encode_symbols(model, symbols,
side)` and `decode_symbols` take these models as any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from narrows import _core
from narrows._core import crc32c
from narrows.entropy import distributions
from narrows.entropy.arrays import Ints, array_of, int32_of, integers, integers_of
from narrows.entropy.distributions import Row
from narrows.entropy.framing import STREAM, ModelPayload, checked_shape
from narrows.entropy.tables import Tables, check_bits, integer_weights
from narrows.limits import Limits

_LIMITS = Limits()


def _framed(stream: bytes, digest: bytes, num_symbols: int, check: bool) -> bytes:
    return ModelPayload(STREAM, digest, num_symbols, 1, False, [stream]).to_bytes(check)


@dataclass(frozen=True)
class Categorical:
    """A row of weights for every symbol: what a language model or a token prior gives. `side` is the rows.

    `side` [*shape, size] holds a weight for each of the values 0 .. size - 1 (size at most 32,768):
    unsigned integers below 2^32 as they are, or float probabilities, taken as floor(p 2^32). Every value
    keeps a share of 2^-16 or more. The payload knows a hash of the weights, so that a model which computed
    others is told so; floats agree between machines only where the whole computation does.

    Raises ValueError for a row of zeros, and for symbols outside 0 .. size - 1.

    >>> from narrows import entropy
    >>> rows = np.array([[0.9, 0.1, 0.0], [0.2, 0.2, 0.6]])
    >>> payload = entropy.encode_symbols(Categorical(), [0, 2], rows)
    >>> entropy.decode_symbols(Categorical(), payload, (2,), rows)
    array([0, 2], dtype=int32)
    >>> entropy.decode_symbols(Categorical(), payload, (2,), rows + 1e-6)
    Traceback (most recent call last):
    narrows.errors.CorruptStream: tables differ: ...
    """

    def _rows(self, side: Any, shape: tuple[int, ...]) -> npt.NDArray[np.uint32]:
        given = array_of(side, "side")
        if given.ndim != len(shape) + 1 or given.shape[:-1] != shape:
            raise ValueError(f"side is weights [*{shape}, size], not {given.shape}")
        if given.dtype == np.uint32:
            return np.ascontiguousarray(given)
        weights = integer_weights(given, "a weight")
        if weights.size and weights.max() >= 2**32:
            raise ValueError("a weight is 2^32 or more")
        return weights.astype(np.uint32)

    def _digest(self, rows: npt.NDArray[np.uint32]) -> bytes:
        return int(crc32c(np.ascontiguousarray(rows, "<u4"))).to_bytes(4, "little")

    def encode(self, symbols: npt.ArrayLike, side: Any = None, *, check: bool = True) -> bytes:
        """Code `symbols` by the rows in `side`."""
        given = int32_of(symbols, "symbols")
        rows = self._rows(side, given.shape)
        stream = _core.encode_rows(given.reshape(-1), rows.reshape(-1), rows.shape[-1])
        return _framed(stream, self._digest(rows), given.size, check)

    def decode(
        self,
        payload: bytes,
        shape: Sequence[int],
        side: Any = None,
        *,
        check: bool = True,
        limits: Limits = _LIMITS,
    ) -> npt.NDArray[np.int32]:
        """Return the symbols [*shape], given the same rows."""
        wanted, count = checked_shape(shape, limits)
        rows = self._rows(side, wanted)
        parsed = ModelPayload.read(payload, check, count, self._digest(rows))
        out = np.empty(wanted, np.int32)
        _core.decode_rows(parsed.pieces[0], rows.reshape(-1), rows.shape[-1], out.reshape(-1))
        return out


@dataclass(frozen=True)
class Mixture:
    """Each symbol is a draw of its own mixture, rounded (Salimans et al. 2017, Cheng et al. 2020).

    `side` [3, *shape, K] holds integers: weights (summing to 1 .. 2^15 for each symbol), means and scales,
    the latter two in 2^-fraction_bits, scales 1 .. 2^30 - 1; K is 1 to 16. With K = 1 this is a Gaussian,
    Laplace or logistic model with fractional means. Every int32 survives.

    >>> from narrows import entropy
    >>> model = Mixture("logistic", fraction_bits=8)
    >>> weights, means, scales = [[3, 1]] * 4, [[-512, 2048]] * 4, [[256, 128]] * 4  # at -2 and 8
    >>> side = np.array([weights, means, scales])
    >>> payload = entropy.encode_symbols(model, [-2, -3, 8, -1], side)
    >>> entropy.decode_symbols(model, payload, (4,), side)
    array([-2, -3,  8, -1], dtype=int32)
    """

    family: str = "gaussian"
    fraction_bits: int = 8

    def __post_init__(self) -> None:
        distributions.number_of(self.family)
        if not 0 <= self.fraction_bits <= 20:
            raise ValueError(f"fraction_bits is 0 to 20, not {self.fraction_bits!r}")

    def _arguments(
        self, side: Any, shape: tuple[int, ...]
    ) -> tuple[tuple[Any, ...], tuple[Ints, ...], bytes]:
        given = integers(side, "side")
        if given.ndim != len(shape) + 2 or given.shape[:-1] != (3, *shape):
            raise ValueError(f"side is weights, means and scales [3, *{shape}, K], not {given.shape}")
        if given.size and (given[0].min() < 0 or given[0].max() > 2**15):
            raise ValueError("the weights of a mixture sum to 1 to 2^15")
        weights = np.ascontiguousarray(given[0].reshape(-1), "<u2")
        means, scales = (int32_of(array, "side").reshape(-1) for array in given[1:])
        head = bytes([distributions.number_of(self.family), self.fraction_bits])
        value = int(crc32c(head))
        for array in (weights, means.astype("<i4", copy=False), scales.astype("<i4", copy=False)):
            value = int(crc32c(array, value))
        first = (
            distributions.held(),
            distributions.number_of(self.family),
            self.fraction_bits,
            given.shape[-1],
        )
        return first, (weights, means, scales), value.to_bytes(4, "little")

    def encode(self, symbols: npt.ArrayLike, side: Any = None, *, check: bool = True) -> bytes:
        """Code `symbols` by the mixtures in `side`."""
        given = int32_of(symbols, "symbols")
        first, arrays, digest = self._arguments(side, given.shape)
        return _framed(_core.encode_mixtures(*first, given.reshape(-1), *arrays), digest, given.size, check)

    def decode(
        self,
        payload: bytes,
        shape: Sequence[int],
        side: Any = None,
        *,
        check: bool = True,
        limits: Limits = _LIMITS,
    ) -> npt.NDArray[np.int32]:
        """Return the symbols [*shape], given the same mixtures."""
        wanted, count = checked_shape(shape, limits)
        first, arrays, digest = self._arguments(side, wanted)
        parsed = ModelPayload.read(payload, check, count, digest)
        out = np.empty(wanted, np.int32)
        _core.decode_mixtures(*first, parsed.pieces[0], *arrays, out.reshape(-1))
        return out


def mixture_tables(
    family: str,
    weights: npt.ArrayLike,
    means: npt.ArrayLike,
    scales: npt.ArrayLike,
    *,
    fraction_bits: int = 8,
    bits: int = 15,
) -> Tables:
    """Return a table for each mixture of `weights`, `means` and `scales` [num_tables, K], made in integers.

    Means and scales are in 2^-fraction_bits, scales 1 .. 2^30 - 1, weights sum to 1 .. 2^15. For the few
    mixtures that many symbols share; `Mixture` is for one each.

    >>> tables = mixture_tables("gaussian", [[1, 1]], [[-1024, 1024]], [[256, 256]])
    >>> int(tables.offset[0]), len(tables)
    (-8, 1)
    """
    distributions.number_of(family)
    check_bits(bits)
    fraction_bits = index(fraction_bits)
    w, m, s = np.broadcast_arrays(
        *(
            integers_of(array, np.int64, name)
            for array, name in ((weights, "a weight"), (means, "a mean"), (scales, "a scale"))
        )
    )
    if w.ndim != 2 or w.size == 0 or len(w) > 1 << 16 or not 0 <= fraction_bits <= 20:
        raise ValueError("weights, means and scales are [num_tables, K], fraction_bits 0 to 20")
    if s.min() < 1 or s.max() >= 2**30 or m.min() <= -(2**52) or m.max() >= 2**52:
        raise ValueError("scales are 1 to 2^30 - 1, means below 2^52")
    totals = np.minimum(w, 2**16).sum(axis=1)
    if w.min() < 0 or totals.min() < 1 or totals.max() > 2**15:
        raise ValueError("the weights of a mixture sum to 1 to 2^15")
    rows = [_mixture_row(family, *row, fraction_bits, bits) for row in zip(w, m, s, strict=True)]
    return distributions.tables_of(rows, bits)


def _mixture_row(family: str, w: Ints, m: Ints, s: Ints, fraction_bits: int, bits: int) -> Row:
    live = w > 0
    w, m, s = w[live], m[live], s[live]
    one = 1 << fraction_bits
    deviation = distributions.deviation_of(family, int(s.min()))
    wanted = distributions.shift_of((deviation << distributions.SCALE_BITS) // one)
    far = 24 * s  # nothing of a slot is left there
    low, high = int((m - far).min()) // one, -(int((-m - far).min()) // one)
    shift = max(wanted, math.ceil(math.log2(max(1, high - low) / 4096)))
    count = (high - low >> shift) + 1
    edges = 2 * (low + (np.arange(count + 1, dtype=np.int64) << shift)) - 1
    below = distributions.cumulative(family, edges[:, None] * one - 2 * m, 2 * s).astype(np.int64)
    mass = np.diff((below * w).sum(axis=1)) // int(w.sum())
    # Tokens at the ends go where they are worth less than half a slot.
    kept = np.flatnonzero(mass >= (1 << (32 - bits + min(shift, 7))) // 2)
    first, last = (int(kept[0]), int(kept[-1]) + 1) if len(kept) else (0, 1)
    tail = max(0, (1 << 32) - int(mass[first:last].sum()))
    return Row(mass[first:last].astype(np.uint64), tail, low + (first << shift), shift)
