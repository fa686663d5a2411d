"""Integer tables of Gaussian, Laplace and logistic distributions, and which of many scales is meant.

libm, torch and CUDA agree on erf and exp to an ulp or two, and one ulp in one table makes everything after
it decode wrongly. So the tables of the usual scales are data, made once with 60 digits; tables of other
scales and of mixtures come from integer arithmetic; and an integer scale picks its table by integer
thresholds. No float decides anything that a decoder depends on.

>>> import numpy as np
>>> from narrows import entropy
>>> gaussian = entropy.scale_family("gaussian")
>>> index = gaussian.index(np.array([65536, 3 * 65536]), fraction_bits=16)  # scales 1 and 3
>>> symbols = np.array([-1, 4])
>>> payload = entropy.encode(symbols, index, gaussian.tables)
>>> entropy.decode(payload, index, gaussian.tables).tolist()
[-1, 4]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from narrows import _core
from narrows.entropy.arrays import Ints, array_of, floats_of, int32_of, integers_of
from narrows.entropy.tables import Tables, check_bits

FAMILIES = ("gaussian", "laplace", "logistic")
SCALE_BITS = 20
"""Scales that a family holds are in 2^-20."""

_DATA = Path(__file__).with_name("distributions.safetensors")
_GRIDS = (64, 128)
# Standard deviation of a distribution of scale 1, in 2^-16.
_DEVIATION = {"gaussian": 65536, "laplace": 92682, "logistic": 118871}
_ONE = 1 << 32

Mass = Callable[[int, int], int]
"""2^32 P(first - 1/2 < X < last + 1/2) of a distribution, from first and last."""


@cache
def _data() -> dict[str, Ints]:
    from safetensors.numpy import load_file

    return load_file(_DATA)


@cache
def held() -> Any:
    """Return the core's distribution functions."""
    data = _data()
    return _core.Distributions(data["gaussian_tail"], data["exponential"])


def cumulative(family: str, distance: npt.ArrayLike, scale: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Return 2^32 P(X <= distance) for X of scale `scale` around 0, both integers in the same unit.

    Within 2^-23 of the true value, the same on every machine, and monotone. The scale is the standard
    deviation of the Gaussian, b of the Laplace distribution (density exp(-|x| / b) / 2b), s of the logistic
    one.

    Raises ValueError for a scale outside 1 .. 2^31 - 1 or a distance beyond 2^56.

    >>> (cumulative("gaussian", [-1, 0, 1], 1) / 2**32).round(4).tolist()
    [0.1587, 0.5, 0.8413]
    """
    where, width = np.broadcast_arrays(
        integers_of(distance, np.int64, "distance"), integers_of(scale, np.int64, "scale")
    )
    out = np.empty(where.shape, np.uint64)
    held().cumulative(
        number_of(family), *(np.ascontiguousarray(a).reshape(-1) for a in (where, width)), out.reshape(-1)
    )
    return out


def number_of(family: str) -> int:
    """Return the number of a family in the core; ValueError for one unknown."""
    if family not in FAMILIES:
        raise ValueError(f"a family is one of {', '.join(FAMILIES)}, not {family!r}")
    return FAMILIES.index(family)


def deviation_of(family: str, scale: int) -> int:
    """Return the standard deviation of a distribution of that scale, in the scale's unit."""
    return scale * _DEVIATION[family] >> 16


def shift_of(deviation: int) -> int:
    """Return how many low bits a token leaves out, from the deviation in 2^-20.

    Tokens as wide as 1/8 to 1/4 of it cost .003 bit at most.
    """
    return min(max(0, (deviation >> (SCALE_BITS + 2)).bit_length() - 1), 20)


@dataclass(frozen=True)
class Row:
    """What Tables.from_pmf wants of one table: its tokens' weights and the escape's in 2^-32."""

    weights: npt.NDArray[np.uint64]
    escape: int
    offset: int
    shift: int


def symmetric_row(mass: Mass, deviation: int, bits: int) -> Row:
    """Return the tokens around 0 of a symmetric distribution, as far out as one is worth half a slot.

    Cutting there costs least of all places: further tokens would own a whole slot for less than half of one.
    """
    shift = shift_of(deviation)
    half_slot = (_ONE >> (bits - min(shift, 7))) // 2
    step = 2 if shift == 0 else 1  # without low bits the middle token is 0 itself
    size = 1
    while size + step < 1 << (bits - min(shift, 7)):
        first = -((size + step << shift) // 2)
        if mass(first, first + (1 << shift) - 1) < half_slot:
            break
        size += step
    offset = -((size << shift) // 2)
    ends = [(offset + (t << shift), offset + (t + 1 << shift) - 1) for t in range(size)]
    weights = np.array([mass(first, last) for first, last in ends], np.uint64)
    return Row(weights, max(0, _ONE - int(weights.sum())), offset, shift)


def tables_of(rows: Sequence[Row], bits: int) -> Tables:
    """Return the tables of `rows`, by Webster's method."""
    return Tables.from_pmf(
        [row.weights for row in rows],
        [row.offset for row in rows],
        bits=bits,
        shift=np.array([row.shift for row in rows]),
        escape=np.array([row.escape for row in rows], np.uint64),
    )


def _mass(family: str, scale: int) -> Mass:
    """The masses of a family's distribution of `scale` in 2^-20 around 0."""

    def mass(first: int, last: int) -> int:
        # Measured on the side where the numbers are small, which keeps a tail's digits.
        low, high = (first, last) if first + last < 0 else (-last, -first)
        ends = [(2 * low - 1) << (SCALE_BITS - 1), (2 * high + 1) << (SCALE_BITS - 1)]
        below, above = cumulative(family, ends, scale).tolist()
        return int(above - below)

    return mass


@dataclass(frozen=True, eq=False)
class ScaleFamily:
    """Tables of one distribution at many scales, and integer thresholds that choose among them.

    `scales` holds int64 scales in 2^-20, rising; table i of `tables` is the distribution of scale i around
    0, in integers. Get one from `scale_family`.
    """

    name: str
    scales: npt.NDArray[np.int64]
    tables: Tables

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", integers_of(self.scales, np.int64, "scales"))

    def thresholds(self, fraction_bits: int = 16) -> npt.NDArray[np.int32]:
        """Return where index i ends and i + 1 begins, in 2^-fraction_bits: the geometric means of the scales.

        >>> scale_family("gaussian").thresholds(8)[:4].tolist()
        [30, 34, 39, 44]
        """
        if not 0 <= fraction_bits <= SCALE_BITS:
            raise ValueError(f"fraction_bits is 0 to {SCALE_BITS}, not {fraction_bits!r}")
        down = SCALE_BITS - fraction_bits
        # The least t with t 2^down >= sqrt(a b): the root rounded up, divided by 2^down and rounded up again.
        roots = [isqrt(int(a) * int(b) - 1) + 1 for a, b in zip(self.scales, self.scales[1:], strict=False)]
        return np.array([min(-(-root >> down), 2**31 - 1) for root in roots], np.int32)

    def index(self, scales: npt.ArrayLike, fraction_bits: int = 16) -> Ints:
        """Return the table for each integer scale in 2^-fraction_bits: the thresholds at or below it.

        Any int32 has an answer: zero and below take the narrowest table. uint8, or uint16 for over 256
        scales.

        >>> scale_family("gaussian").index([-5, 0, 7_000, 65_536, 2**31 - 1]).tolist()
        [0, 0, 0, 18, 63]
        """
        given = array_of(scales, "scales")
        if given.size and given.dtype.kind not in "iu":
            raise ValueError(f"integer scales decide, not {given.dtype}: see index_of_floats")
        given = int32_of(given, "scales")
        out = np.empty(given.shape, np.uint8 if len(self.scales) <= 256 else np.uint16)
        _core.count_thresholds(given, self.thresholds(fraction_bits), out)
        return out

    def index_of_floats(self, scales: Any) -> Ints:
        """Return the table for each float scale, for an encoder that also sends the index or what gives it.

        A decoder must not compute `scales` anew as floats: another machine's may fall on the other side of a
        threshold. It reads the index, or computes integer scales and calls `index`.

        Raises ValueError for NaN.

        >>> scale_family("gaussian").index_of_floats(np.array([0.1, 1.0, 1000.0])).tolist()
        [0, 18, 63]
        """
        given = floats_of(scales, "scales")
        if np.isnan(given).any():
            raise ValueError("a scale is not a number")
        return self.index(np.floor(given.clip(0, 32767) * 65536 + 0.5).astype(np.int32))


@cache
def _shipped(name: str, num_scales: int) -> ScaleFamily:
    data, key = _data(), f"{name}.{num_scales}"
    size, frequencies = data[f"{key}.size"].astype(np.int32), data[f"{key}.frequency"].astype(np.int64)
    shift = data[f"{key}.shift"]
    cdf = np.full((num_scales, int(size.max()) + 1), 1 << 15, np.uint32)
    at = 0
    for i, n in enumerate(size):
        cdf[i, 0], cdf[i, 1 : n + 1] = 0, np.cumsum(frequencies[at : at + n] << int(shift[i]))
        at += n
    tables = Tables(15, data[f"{key}.offset"].astype(np.int32), shift, size, cdf)
    return ScaleFamily(name, data[f"scales.{num_scales}"], tables)


def scale_family(
    name: str, scales: int | Sequence[int] | npt.NDArray[np.int64] = 64, *, bits: int = 15
) -> ScaleFamily:
    """Return the tables of `name` ("gaussian", "laplace", "logistic") at many scales.

    `scales` 64 is the grid of Ballé et al. (2018) as CompressAI has it, log-spaced from .11 to 256; 128 the
    one of DCVC-RT, .11 to 16: both are shipped as integers at 15 bits, within .05 % of the exact entropy
    over all scales. A sequence holds scales of your own in 2^-20, rising: their tables are made in integers
    (see `cumulative`), so the same on every machine.

    Raises ValueError for an unknown name, and scales that do not rise from 1 to 2^31 - 1.

    >>> laplace = scale_family("laplace", [1 << 19, 1 << 20, 1 << 21])
    >>> len(laplace.tables), laplace.index([0, 1 << 16, 1 << 20]).tolist()
    (3, [0, 1, 2])
    """
    number_of(name)
    if isinstance(scales, int):
        if scales not in _GRIDS or bits != 15:
            raise ValueError(f"shipped are {' and '.join(map(str, _GRIDS))} scales at 15 bits")
        return _shipped(name, scales)
    check_bits(bits)
    grid = np.array(integers_of(scales, np.int64, "scales"))
    grid.flags.writeable = False
    if (
        grid.ndim != 1
        or not 1 <= len(grid) <= 1 << 16
        or grid[0] < 1
        or grid[-1] >= 2**31
        or (np.diff(grid) <= 0).any()
    ):
        raise ValueError("scales rise, at most 65,536 of them, from 1 to 2^31 - 1 in 2^-20")
    rows = [symmetric_row(_mass(name, s), deviation_of(name, s), bits) for s in grid.tolist()]
    return ScaleFamily(name, grid, tables_of(rows, bits))
