"""What `compressai.ans` is, twice: over CompressAI's own bytes, and over this project's format.

Public names are those of `narrows.entropy.compat.compressai`.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from narrows import _core
from narrows.entropy import arrays
from narrows.entropy.arrays import array_of
from narrows.entropy.coder import decode, encode
from narrows.entropy.compat.steps import StepDecoder, StepEncoder, with_crc, without_crc
from narrows.entropy.tables import Tables

Format = Literal["narrows", "compressai"]
Ints = npt.NDArray[np.int32]

_MAX_CACHED = 64
_MOST_ENTRIES = 2**16 + 1
_MOST_TABLES = 1024  # with more, each is used a few times only: not worth making tables of another kind


def pmf_to_quantized_cdf(pmf: Sequence[float] | npt.NDArray[Any], precision: int = 16) -> list[int]:
    """Return exactly the cdf that CompressAI makes of `pmf`: len(pmf) + 1 entries from 0 to 2**precision.

    Raises ValueError for a negative, infinite or all-zero pmf, and for more entries than slots.

    >>> pmf_to_quantized_cdf([0.5, 0.25, 0.25])
    [0, 32768, 49152, 65536]
    """
    given = np.ascontiguousarray(numbers_of(pmf, "pmf"), np.float32).reshape(-1)
    cdf = np.empty(given.size + 1, np.uint32)
    _core.compressai_pmf_to_quantized_cdf(given, precision, cdf)
    return cdf.tolist()


def tables_of(cdf: npt.ArrayLike, lengths: npt.ArrayLike, offsets: npt.ArrayLike) -> Tables:
    """Return `Tables` of 15 bits with the probabilities of CompressAI's quantized cdfs, escapes included.

    Neighbors share a token in tables where none of them has a probability above a twentieth: as many as leave
    each token at most a tenth. That costs a smooth density less than .1 % and makes wide tables small.

    Raises ValueError for anything but cdfs from 0 to 65,536.

    >>> tables_of([[0, 60000, 65000, 65536]], [4], [-1]).cdf.tolist()
    [[0, 268, 30268, 32768]]
    """
    rows, sizes, firsts = _checked(cdf, lengths, offsets)
    weights, tails, shifts = [], [], []
    for row, size in zip(rows, sizes, strict=True):
        frequencies = np.diff(row[:size]).astype(np.uint64)
        inside = frequencies[:-1] if size > 2 else np.ones(1, np.uint64)
        shift = max(0, min(7, (6553 // max(1, int(inside.max()))).bit_length() - 1))
        if shift:
            inside = np.add.reduceat(inside, np.arange(0, inside.size, 1 << shift))
        weights.append(inside)
        tails.append(frequencies[-1])
        shifts.append(shift)
    return Tables.from_pmf(weights, firsts, shift=shifts, escape=np.array(tails, np.uint64))


def _checked(cdf: npt.ArrayLike, lengths: npt.ArrayLike, offsets: npt.ArrayLike) -> tuple[Ints, Ints, Ints]:
    """Return the three as int32 arrays that fit each other; ValueError where they do not."""
    rows = _rows_of(cdf) if isinstance(cdf, (list, tuple)) else arrays.int32_of(cdf, "a cdf")
    sizes, firsts = int32_of(lengths, "lengths"), int32_of(offsets, "offsets")
    if rows.ndim != 2 or not len(rows) == sizes.size == firsts.size:
        raise ValueError("cdfs are a matrix, with a length and an offset for each row")
    return rows, sizes, firsts


def _rows_of(cdf: Sequence[Any]) -> Ints:
    """Return lists of integers, as step-by-step models hand them over for each call, as a matrix."""
    try:
        if len({len(row) for row in cdf}) <= 1:
            return arrays.int32_of(cdf, "a cdf")
        widest = max(map(len, cdf))
        if widest > _MOST_ENTRIES:
            raise ValueError(f"a cdf has at most {_MOST_ENTRIES:,} entries, not {widest:,}")
        rows = np.zeros((len(cdf), widest), np.int32)
        for row, given in zip(rows, cdf, strict=True):
            row[: len(given)] = arrays.int32_of(given, "a cdf")
    except OverflowError:
        raise ValueError("a cdf holds a number beyond 32 bits") from None
    except TypeError:
        raise ValueError("cdfs are rows of integers") from None
    return rows


class TablePair:
    """The two kinds of tables that one set of cdfs gives, each made when first asked for."""

    def __init__(self, cdf: Ints, lengths: Ints, offsets: Ints) -> None:
        self._arrays = cdf, lengths, offsets
        self._length = len(lengths)
        self.exact = _core.CompressaiTables(cdf, lengths, offsets)  # checks them, for both kinds
        self._fast: Tables | None = None

    @classmethod
    def of(cls, tables: Tables) -> TablePair:
        """Return what has no cdfs of CompressAI's, only `tables` in their place."""
        pair = object.__new__(cls)
        pair.exact, pair._fast, pair._length = None, tables, len(tables)
        return pair

    def __len__(self) -> int:
        return self._length

    @property
    def fast(self) -> Tables:
        if self._fast is None:
            self._fast = tables_of(*self._arrays)
        return self._fast


_pairs: OrderedDict[bytes, TablePair] = OrderedDict()


def table_pair(cdf: npt.ArrayLike, lengths: npt.ArrayLike, offsets: npt.ArrayLike) -> TablePair:
    """Return the tables of these cdfs, made anew only if no equal ones were used lately."""
    arrays = _checked(cdf, lengths, offsets)
    key = hashlib.blake2b(repr(arrays[0].shape).encode(), digest_size=16)
    for array in arrays:
        key.update(array.data)
    name = key.digest()
    pair = _pairs.pop(name, None) or TablePair(*arrays)
    _pairs[name] = pair
    while len(_pairs) > _MAX_CACHED:
        _pairs.popitem(last=False)
    return pair


def on_host(values: Any, name: str) -> npt.NDArray[Any]:
    """Return `values` as an array, a tensor's without its gradient and from any device."""
    try:
        return array_of(values.detach().cpu() if hasattr(values, "detach") else values, name)
    except RuntimeError as error:
        raise ValueError(f"{name}: {error}") from error


def int32_of(values: Any, name: str) -> Ints:
    """Return `values` as a contiguous vector of int32; ValueError where one does not survive."""
    return arrays.int32_of(on_host(values, name), name).reshape(-1)


def numbers_of(values: Any, name: str) -> npt.NDArray[Any]:
    """Return integers or floats as an array; ValueError for anything else."""
    given = on_host(values, name)
    if given.size and given.dtype.kind not in "iuf":
        raise ValueError(f"{name} holds numbers, not {given.dtype}")
    return given


def narrow_index(index: Ints, num_tables: int) -> npt.NDArray[Any]:
    """Return `index` in as few bytes as it needs; ValueError where it names no table."""
    if index.size and int(index.view(np.uint32).max()) >= num_tables:
        raise ValueError("an index names no table")
    return index.astype(np.uint8 if num_tables <= 256 else np.uint16)


def _warn_beyond(count: int) -> None:
    if count:
        warnings.warn(
            f"{count:,} symbols are further outside their table than CompressAI can decode; Narrows can",
            RuntimeWarning,
            stacklevel=3,
        )


# Strings of one call: CompressAI's own, or this project's.


def encode_rows(
    symbols: Ints, index: Ints, rows: int, pair: TablePair, format: Format, **options: Any
) -> list[bytes]:
    """Return a string for each of `rows` equal parts of the symbols."""
    if symbols.size != index.size or (rows and symbols.size % rows):
        raise ValueError("symbols and indexes differ in length")
    if not rows:
        return []
    each = symbols.size // rows
    if format == "compressai" or len(pair) > _MOST_TABLES:
        strings, beyond = _core.compressai_encode(symbols, index, np.full(rows, each, np.int64), pair.exact)
        if format == "compressai":
            _warn_beyond(beyond)
            return list(strings)
        return [with_crc(string) for string in strings]
    which = narrow_index(index, len(pair))
    parts = (slice(i * each, (i + 1) * each) for i in range(rows))
    return [encode(symbols[part], which[part], pair.fast, **options) for part in parts]


def decode_rows(
    strings: Sequence[bytes], index: Ints, pair: TablePair, format: Format, **options: Any
) -> Ints:
    """Return the symbols of equally long strings, back to back."""
    rows = len(strings)
    if (rows and index.size % rows) or (index.size and not rows):
        raise ValueError("strings and indexes do not fit each other")
    if not rows:
        return np.empty(0, np.int32)
    each = index.size // rows
    if format == "compressai" or len(pair) > _MOST_TABLES:
        bare = strings if format == "compressai" else [without_crc(string) for string in strings]
        symbols = np.empty(index.size, np.int32)
        _core.compressai_decode(bare, index, np.full(rows, each, np.int64), pair.exact, symbols)
        return symbols
    which = narrow_index(index, len(pair))
    parts = [
        decode(string, which[i * each : (i + 1) * each], pair.fast, **options)
        for i, string in enumerate(strings)
    ]
    return parts[0] if rows == 1 else np.concatenate(parts)


class RansEncoder:
    """Stands in for `compressai.ans.RansEncoder`: the same bytes, and ValueError where that one crashes.

    >>> cdfs, lengths, offsets = [[0, 40000, 65000, 65536]], [4], [0]
    >>> string = RansEncoder().encode_with_indexes([0, 1, 0, 0], [0, 0, 0, 0], cdfs, lengths, offsets)
    >>> RansDecoder().decode_with_indexes(string, [0, 0, 0, 0], cdfs, lengths, offsets)
    [0, 1, 0, 0]
    """

    _format: Format = "compressai"

    def encode_with_indexes(
        self, symbols: Any, indexes: Any, cdfs: Any, cdfs_sizes: Any, offsets: Any
    ) -> bytes:
        """Return the string of `symbols`, each coded with the table that `indexes` names."""
        pair = table_pair(cdfs, cdfs_sizes, offsets)
        return encode_rows(int32_of(symbols, "symbols"), int32_of(indexes, "indexes"), 1, pair, self._format)[
            0
        ]


class BufferedRansEncoder:
    """Stands in for `compressai.ans.BufferedRansEncoder`: several calls, one string."""

    def __init__(self) -> None:
        self._held = _core.CompressaiEncoder()
        self._last = _Last()

    def encode_with_indexes(
        self, symbols: Any, indexes: Any, cdfs: Any, cdfs_sizes: Any, offsets: Any
    ) -> None:
        """Keep `symbols` for `flush`. Raises ValueError, and keeps none, as `RansEncoder` does."""
        pair = self._last.pair(cdfs, cdfs_sizes, offsets)
        self._held.put(int32_of(symbols, "symbols"), int32_of(indexes, "indexes"), pair.exact)

    def flush(self) -> bytes:
        """Return the string of all calls since the last flush."""
        string, beyond = self._held.finish()
        _warn_beyond(beyond)
        return bytes(string)


class RansDecoder:
    """Stands in for `compressai.ans.RansDecoder`; damage raises CorruptStream instead of giving garbage.

    Symbols read call by call are only known to be right once `finish` has been called after the last.
    """

    _format: Format = "compressai"

    def __init__(self) -> None:
        self._held: Any = None
        self._last = _Last()

    def decode_with_indexes(
        self, encoded: bytes, indexes: Any, cdfs: Any, cdfs_sizes: Any, offsets: Any
    ) -> list[int]:
        """Return all symbols of a string, which must have as many as `indexes`."""
        pair = table_pair(cdfs, cdfs_sizes, offsets)
        return list(decode_rows([encoded], int32_of(indexes, "indexes"), pair, self._format).tolist())

    def set_stream(self, encoded: bytes) -> None:
        """Begin to read a string."""
        self._held = _core.CompressaiDecoder(encoded)

    def decode_stream(self, indexes: Any, cdfs: Any, cdfs_sizes: Any, offsets: Any) -> list[int]:
        """Return the next symbols, one for each of `indexes`."""
        if self._held is None:
            raise ValueError("set_stream comes first")
        pair = self._last.pair(cdfs, cdfs_sizes, offsets)
        which = int32_of(indexes, "indexes")
        symbols = np.empty(which.size, np.int32)
        self._held.get(symbols, which, pair.exact)
        return list(symbols.tolist())

    def finish(self) -> None:
        """Raise CorruptStream unless the calls have read exactly what was written."""
        if self._held is not None:
            self._held.finish()
            self._held = None


class _Last:
    """Models that go step by step hand over the same lists each time: knows them again by identity."""

    def __init__(self) -> None:
        self._given: tuple[Any, Any, Any] = (None, None, None)
        self._pair: TablePair | None = None

    def pair(self, *given: Any) -> TablePair:
        if self._pair is None or any(a is not b for a, b in zip(given, self._given, strict=True)):
            self._pair = table_pair(*given)
            self._given = given
        return self._pair


# The same faces over this project's format.


class _FastRansEncoder(RansEncoder):
    _format: Format = "narrows"


class _FastBufferedRansEncoder:
    def __init__(self) -> None:
        self._held = StepEncoder()
        self._last = _Last()

    def encode_with_indexes(
        self, symbols: Any, indexes: Any, cdfs: Any, cdfs_sizes: Any, offsets: Any
    ) -> None:
        pair = self._last.pair(cdfs, cdfs_sizes, offsets)
        which = narrow_index(int32_of(indexes, "indexes"), len(pair))
        self._held.put(int32_of(symbols, "symbols"), which, pair.fast)

    def flush(self) -> bytes:
        string, self._held = self._held.finish(), StepEncoder()
        return string


class _FastRansDecoder(RansDecoder):
    _format: Format = "narrows"

    def set_stream(self, encoded: bytes) -> None:
        self._held = StepDecoder(encoded)

    def decode_stream(self, indexes: Any, cdfs: Any, cdfs_sizes: Any, offsets: Any) -> list[int]:
        if self._held is None:
            raise ValueError("set_stream comes first")
        pair = self._last.pair(cdfs, cdfs_sizes, offsets)
        which = narrow_index(int32_of(indexes, "indexes"), len(pair))
        return list(self._held.get(which, pair.fast).tolist())


ENCODERS: dict[Format, dict[str, type]] = {
    "compressai": {
        "RansEncoder": RansEncoder,
        "BufferedRansEncoder": BufferedRansEncoder,
        "RansDecoder": RansDecoder,
    },
    "narrows": {
        "RansEncoder": _FastRansEncoder,
        "BufferedRansEncoder": _FastBufferedRansEncoder,
        "RansDecoder": _FastRansDecoder,
    },
}
