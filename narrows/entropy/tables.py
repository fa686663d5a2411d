"""Integer probability tables and how they are made from densities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from narrows import _core
from narrows.entropy.arrays import array_of, int32_of, integers_of

Weights = Sequence[float] | npt.NDArray[np.float64] | npt.NDArray[np.uint64]


_MOST_TABLES = 1 << 16
_MOST_ENTRIES = 1 << 28  # of a matrix of boundaries


def _at_most(values: Any, most: int, name: str) -> npt.NDArray[Any]:
    """Return `values` as an array; ValueError for more than `most`, before anything is done with them."""
    given = array_of(values, name)
    if given.size > most:
        raise ValueError(f"{name} has at most {most:,} entries here, not {given.size:,}")
    return given


def _frozen(values: Any, dtype: type[np.integer[Any]], name: str) -> npt.NDArray[Any]:
    """Copy `values` into a read-only array of `dtype`; ValueError where one does not survive."""
    array = np.array(integers_of(values, dtype, name))
    array.flags.writeable = False
    return array


def check_bits(bits: Any) -> None:
    """Raise ValueError unless tables may have that many bits."""
    if not isinstance(bits, int) or not 8 <= bits <= 16:
        raise ValueError(f"bits is 8 to 16, not {bits!r}")


def integer_weights(weights: Any, name: str) -> npt.NDArray[np.uint64]:
    """Unsigned integers as they are; a float p as floor(p 2^32), at most 2^32 - 1."""
    given = array_of(weights, name)
    if given.dtype.kind in "iu":
        if given.size and given.min() < 0:
            raise ValueError(f"{name} is negative")
        return np.ascontiguousarray(given, np.uint64)
    if given.dtype.kind != "f":
        raise ValueError(f"{name} holds numbers, not {given.dtype}")
    if not np.all(given >= 0):
        raise ValueError(f"{name} is negative or not a number")
    scaled = np.minimum(np.asarray(given, np.float64), 1.0) * 2.0**32
    return np.minimum(np.floor(scaled).astype(np.uint64), np.uint64(2**32 - 1))


@dataclass(frozen=True, eq=False)
class Tables:
    """Integer tables: which tokens code a symbol, and how many of 2**bits slots each token owns.

    `bits` is 8 to 16. `offset` int32, `shift` uint8 and `size` int32 are [num_tables]; `cdf` uint32
    [num_tables, max(size) + 1] holds the boundaries of each table's tokens, 0 first, and 2**bits from entry
    `size` on. Token 0 is the escape and may own no slots; token t >= 1 covers the 2**shift values from
    offset + ((t - 1) << shift). A token's frequency is a multiple of 2**min(shift, 7).

    Tables are frozen data: a reader never recomputes them. Raises ValueError for anything but the above.

    >>> tables = Tables.from_pmf([[0.5, 0.25, 0.25], [1.0]], offsets=[0, 7], bits=8)
    >>> tables.size.tolist(), tables.cdf.tolist()
    ([4, 2], [[0, 1, 128, 192, 256], [0, 1, 256, 256, 256]])
    """

    bits: int
    offset: npt.NDArray[np.int32]
    shift: npt.NDArray[np.uint8]
    size: npt.NDArray[np.int32]
    cdf: npt.NDArray[np.uint32]
    _held: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_bits(self.bits)
        for name, dtype, most in (
            ("offset", np.int32, _MOST_TABLES),
            ("shift", np.uint8, _MOST_TABLES),
            ("size", np.int32, _MOST_TABLES),
            ("cdf", np.uint32, _MOST_ENTRIES),
        ):
            given = _at_most(getattr(self, name), most, name)
            object.__setattr__(self, name, _frozen(given, dtype, name))
        if any(a.ndim != 1 for a in (self.offset, self.shift, self.size)) or self.cdf.ndim != 2:
            raise ValueError("offset, shift and size are vectors, cdf is a matrix")
        num_tables = len(self.offset)
        if not len(self.shift) == len(self.size) == len(self.cdf) == num_tables or num_tables == 0:
            raise ValueError("offset, shift, size and cdf differ in number of tables")
        if self.size.min() < 1 or self.cdf.shape[1] != int(self.size.max()) + 1:
            raise ValueError("cdf must have max(size) + 1 columns")
        frequencies = np.diff(self.cdf.astype(np.int64), axis=1)
        inside = np.arange(self.cdf.shape[1] - 1) < self.size[:, None]
        if self.cdf[:, 0].any() or (frequencies < 0).any() or frequencies[~inside].any():
            raise ValueError("a row of cdf must begin with 0, never fall, and be level after its size")
        held = _core.Tables(
            self.bits,
            self.offset,
            self.shift,
            self.size.astype(np.uint32),
            np.ascontiguousarray(frequencies[inside], np.uint32),
        )
        object.__setattr__(self, "_held", held)

    @classmethod
    def from_pmf(
        cls,
        weights: Sequence[Weights] | npt.NDArray[Any],
        offsets: Sequence[int] | npt.NDArray[Any],
        *,
        bits: int = 15,
        shift: int | Sequence[int] | npt.NDArray[Any] = 0,
        escape: float | Sequence[float] | npt.NDArray[Any] | bool | None = None,
    ) -> Tables:
        """Make tables whose frequencies are as near to `weights` as integers of at least one allow.

        `weights` has a row for each table and in it a weight for each token, that is for each 2**shift values
        from the table's offset up: floats are probabilities, unsigned integers are taken as they are.
        `escape` is the weight of everything outside, one number or one a table; None means as little as
        possible; False makes closed tables, where such a symbol is a ValueError.

        The frequencies come from Webster's method with a floor of one, in integers, so the same everywhere.
        Raises ValueError for negative, NaN or all-zero weights, and where the tokens outnumber the slots.
        """
        check_bits(bits)
        rows: list[npt.NDArray[np.uint64]] = []
        for row in weights:
            given = array_of(row, "a weight")
            if given.ndim != 1:
                raise ValueError("weights holds one vector for each table")
            if len(rows) == _MOST_TABLES or given.size > 2**bits:
                raise ValueError("there are at most 65,536 tables, and none has more tokens than slots")
            rows.append(integer_weights(given, "a weight"))
        closed = escape is False
        num_tables = len(rows)
        shifts = np.broadcast_to(
            _frozen(_at_most(shift, num_tables, "shift"), np.uint8, "shift"), (num_tables,)
        )
        tails = np.zeros(num_tables, np.uint64)
        if escape is not None and not closed:
            if escape is True:
                raise ValueError("escape is a weight, None or False")
            given = _at_most(escape, num_tables, "escape")
            tails = np.broadcast_to(integer_weights(given, "an escape's weight"), (num_tables,))
        sizes = np.array([len(row) + 1 for row in rows], np.int64)
        if num_tables == 0 or num_tables * (int(sizes.max()) + 1) > _MOST_ENTRIES:
            raise ValueError("there must be a table, and 2^28 entries of their matrix at most")
        cdf = np.zeros((num_tables, int(sizes.max()) + 1), np.uint32)
        for i, row in enumerate(rows):
            slot_shift = min(int(shifts[i]), 7)
            all_weights = row if closed else np.concatenate([tails[i : i + 1], row])
            units = np.zeros(len(all_weights), np.uint32)
            _core.apportion(all_weights, bits - slot_shift, units)
            first = 1 if closed else 0
            cdf[i, first + 1 : first + 1 + len(units)] = np.cumsum(units << np.uint32(slot_shift))
            cdf[i, int(sizes[i]) :] = 2**bits
        return cls(bits, array_of(offsets, "offset"), shifts, sizes.astype(np.int32), cdf)

    def __len__(self) -> int:
        return len(self.offset)

    def digest(self) -> bytes:
        """Return 4 bytes that tell these tables from others; every payload carries them.

        >>> Tables.from_pmf([[1, 1]], offsets=[0], bits=8).digest().hex()
        '584711fa'
        """
        return int(self._held.digest).to_bytes(4, "little")

    def cost_bits(self, symbols: npt.ArrayLike, index: npt.ArrayLike) -> float:
        """Return the ideal code length of `symbols` in bits, escapes included; no coder's overhead.

        Raises ValueError as `encode` does.

        >>> tables = Tables.from_pmf([[0.5, 0.5]], offsets=[0], bits=16)
        >>> round(tables.cost_bits([0, 1, 1, 0], [0, 0, 0, 0]), 3)
        4.0
        """
        value = int32_of(symbols, "symbols").astype(np.int64).ravel()
        table = integers_of(index, np.int64, "index").ravel()
        if value.size != table.size:
            raise ValueError("symbols and index differ in length")
        if value.size == 0:
            return 0.0
        if table.min() < 0 or table.max() >= len(self):
            raise ValueError("an index names no table")
        shift = self.shift[table].astype(np.int64)
        above = value - self.offset[table]
        span = (self.size[table].astype(np.int64) - 1) << shift
        outside = (above < 0) | (above >= span)
        token = np.where(outside, 0, (above >> shift) + 1)
        frequency = self.cdf[table, token + 1].astype(np.int64) - self.cdf[table, token]
        if (frequency == 0).any():
            raise ValueError("a symbol lies outside a table without an escape")
        bits = float(np.sum(self.bits - np.log2(frequency) + np.where(outside, 0, shift)))
        if outside.any():
            upward = (above - span)[outside] % 2**32
            count = (2**32 - span)[outside]
            distance = np.minimum(2 * upward, 2 * (count - 1 - upward) + 1)
            order = shift[outside] + 2
            width = np.floor(np.log2((distance >> order) + 1))
            bits += float(np.sum(2 * width + 1 + order))
        return bits
