"""Symbols to bytes and back: whole arrays by rANS, step by step by the range coder.

Arrays are NumPy's, or anything with `.numpy()` such as a torch tensor on the CPU. Contiguous int8, int16 or
int32 symbols and uint8 or uint16 indexes are read in place; other integers are converted.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from narrows import _core
from narrows.entropy.tables import Tables
from narrows.errors import CorruptStream
from narrows.limits import Limits

Ints = npt.NDArray[Any]
Payload = bytes | bytearray | memoryview

_SYMBOL_DTYPES = frozenset({np.dtype(np.int8), np.dtype(np.int16), np.dtype(np.int32)})
_INDEX_DTYPES = frozenset({np.dtype(np.uint8), np.dtype(np.uint16)})
_DECODED_DTYPES = frozenset({np.dtype(np.int16), np.dtype(np.int32)})
_INT32 = np.dtype(np.int32)
_LIMITS = Limits()


def _integers(values: Any, dtype: npt.DTypeLike, name: str) -> Ints:
    """Convert to contiguous integers of `dtype`; ValueError where one does not survive."""
    given = np.asarray(values.numpy() if hasattr(values, "numpy") else values)
    if given.size and given.dtype.kind not in "iub":
        raise ValueError(f"{name} holds integers, not {given.dtype}")
    wanted = np.iinfo(dtype)
    if given.dtype.kind in "iu" and given.size and not np.can_cast(given.dtype, dtype):
        least, most = int(given.min()), int(given.max())
        if least < wanted.min or most > wanted.max:
            raise ValueError(
                f"{name} holds {least if least < wanted.min else most}, which no {wanted.dtype} can"
            )
    return np.ascontiguousarray(given, dtype)


def _symbols(values: Any) -> Ints:
    if type(values) is np.ndarray and values.dtype in _SYMBOL_DTYPES and values.flags.c_contiguous:
        return values
    if hasattr(values, "numpy"):
        values = values.numpy()
    if getattr(values, "dtype", None) in _SYMBOL_DTYPES:
        return np.ascontiguousarray(values)
    return _integers(values, np.int32, "symbols")


def _int32(values: Any) -> Ints:
    if type(values) is np.ndarray and values.dtype == _INT32 and values.flags.c_contiguous:
        return values
    return _integers(values, np.int32, "symbols")


def _index(values: Any) -> Ints:
    if type(values) is np.ndarray and values.dtype in _INDEX_DTYPES and values.flags.c_contiguous:
        return values
    if hasattr(values, "numpy"):
        values = values.numpy()
    if getattr(values, "dtype", None) in _INDEX_DTYPES:
        return np.ascontiguousarray(values)
    return _integers(values, np.uint16, "index")


class Adaptive:
    """Tables that follow the symbols: counts that start from `tables` and belong to the caller.

    It goes where `tables` goes, in calls that code with the range coder, and changes with every symbol coded:
    a decoder needs one in the state that the encoder's had. The first symbols move a table as if it had seen
    `weight` of them before (2 to 32,768: about 200 for tables that were trained, 2 to 16 for a guess); later
    the step shrinks to 2**-max_shift (1 to 12). Frequencies never reach zero.

    Raises ValueError for tables of more than 15 bits or more than 17 tokens, the escape included.

    >>> import numpy as np
    >>> tables = Tables.from_pmf([[1, 1, 1, 1]], offsets=[0])
    >>> symbols, index = np.full(1000, 3), np.zeros(1000, np.uint8)
    >>> payload = encode(symbols, index, Adaptive(tables, weight=2))
    >>> len(payload) < len(encode(symbols, index, tables)) // 4
    True
    >>> bool((decode(payload, index, Adaptive(tables, weight=2)) == symbols).all())
    True
    """

    def __init__(self, tables: Tables, *, weight: int = 200, max_shift: int = 10) -> None:
        if not 2 <= weight <= 32768 or not 1 <= max_shift <= 12:
            raise ValueError("weight is 2 to 32,768 counts and max_shift 1 to 12")
        self.tables = tables
        self._held = _core.Adaptive(tables._held, weight, max_shift)

    def copy(self) -> Adaptive:
        """Return the same counts, apart: what one of the two sees does not change the other."""
        twin = object.__new__(Adaptive)
        twin.tables = self.tables
        twin._held = copy.copy(self._held)
        return twin

    def frequency(self, table: int, token: int) -> int:
        """Return how many of 2**15 slots `token` of `table` owns at this moment."""
        return int(self._held.frequency(table, token))


class AdaptiveBits:
    """Binary models, one a context, that follow the bits coded with them.

    It goes where `tables` goes in `RangeEncoder.put` and `RangeDecoder.get`; symbols are then 0 or 1 and the
    index names a context. Each model is the mean of a fast and a slow estimate and starts at one half.

    >>> encoder = RangeEncoder()
    >>> encoder.put([1] * 400, [0] * 400, AdaptiveBits(1))
    >>> payload = encoder.finish()
    >>> len(payload) < 10, RangeDecoder(payload).get([0] * 400, AdaptiveBits(1)).sum()
    (True, np.int64(400))
    """

    def __init__(self, num_contexts: int) -> None:
        if not 1 <= num_contexts <= 65536:
            raise ValueError("there must be 1 to 65,536 contexts")
        self._held = _core.AdaptiveBits(num_contexts)

    def copy(self) -> AdaptiveBits:
        """Return the same models, apart: what one of the two sees does not change the other."""
        twin = object.__new__(AdaptiveBits)
        twin._held = copy.copy(self._held)
        return twin


Model = Tables | Adaptive | AdaptiveBits


def encode(
    symbols: npt.ArrayLike,
    index: npt.ArrayLike,
    tables: Tables | Adaptive,
    *,
    check: bool = True,
    threads: int = 1,
    hash_index: bool = False,
    chunk_bytes: int = 1 << 18,
) -> bytes:
    """Code int32 `symbols`, each with the table that `index` names, into a payload that stands alone.

    Symbols outside a table are escaped, so every int32 survives. The bytes depend on neither threads nor
    processor. The cost is the tables' entropy, .03 %, 14 bytes and 3 bytes for each 128 up to 4 kB; `check`
    adds 4 bytes by which `decode` notices damage, `hash_index` 4 bytes a chunk by which it tells a model that
    computed other indexes from damage. Chunks of about `chunk_bytes` are coded on `threads` threads.

    With `Adaptive` tables the range coder does the work, in one chunk and on one thread.

    Raises ValueError if lengths differ, an index names no table, or a symbol lies outside a closed table.

    >>> tables = Tables.from_pmf([[0.25, 0.5, 0.25]], offsets=[-1])
    >>> len(encode([0, 0, 1, -1], [0, 0, 0, 0], tables))
    18
    """
    if isinstance(tables, Adaptive):
        return bytes(_core.adaptive_encode(_int32(symbols), _index(index), tables._held, check, hash_index))
    if threads < 1 or not 1 <= chunk_bytes < 2**31:
        raise ValueError("threads and chunk_bytes are positive")
    payload: bytes = _core.rans_encode(
        _symbols(symbols), _index(index), tables._held, check, threads, hash_index, chunk_bytes
    )
    return payload


def decode(
    payload: Payload,
    index: npt.ArrayLike,
    tables: Tables | Adaptive,
    *,
    check: bool = True,
    threads: int = 1,
    dtype: npt.DTypeLike = np.int32,
    limits: Limits = _LIMITS,
) -> Ints:
    """Return the symbols that `encode` was given, in the shape of `index`, as int8, int16 or int32.

    How many there are comes from `index`, never from the payload: work and memory are bounded by the two.

    Raises CorruptStream for anything but a whole and sound payload of these tables and that many symbols
    (TruncatedStream where it ends early, UnsupportedStream where it is newer), also where it lacks the
    checksum that `check` demands. Raises ValueError for an index that names no table, LimitExceeded above
    `limits.max_output_bytes`.

    >>> tables = Tables.from_pmf([[0.25, 0.5, 0.25]], offsets=[-1])
    >>> payload = encode([0, 0, 1, -1], [0, 0, 0, 0], tables)
    >>> decode(payload, [0, 0, 0, 0], tables)
    array([ 0,  0,  1, -1], dtype=int32)
    >>> decode(payload[:-1], [0, 0, 0, 0], tables)
    Traceback (most recent call last):
    narrows.errors.TruncatedStream: a chunk is longer than the payload
    """
    wanted = np.dtype(dtype)
    working = wanted if wanted in _DECODED_DTYPES else np.dtype(np.int16)
    if working != wanted and wanted != np.dtype(np.int8):
        raise ValueError(f"decoded symbols are int8, int16 or int32, not {wanted}")
    if threads < 1:
        raise ValueError("threads is positive")
    if isinstance(index, np.ndarray) and not index.flags.c_contiguous:
        limits.check(
            "max_output_bytes", index.size * working.itemsize
        )  # a broadcast one is about to be copied
    which = _index(index)
    limits.check("max_output_bytes", which.size * working.itemsize)
    adaptive = isinstance(tables, Adaptive)
    symbols = np.empty(which.shape, _INT32 if adaptive else working)
    if adaptive:
        _core.adaptive_decode(payload, which, tables._held, symbols, check)
    else:
        _core.rans_decode(payload, which, tables._held, symbols, check, threads)
    if symbols.dtype == wanted:
        return symbols
    narrow = symbols.astype(wanted)
    if not np.array_equal(narrow, symbols):
        raise CorruptStream("a symbol does not fit the dtype asked for")
    return narrow


class RangeEncoder:
    """A range coder that takes symbols step by step, each with whatever table the caller has by then.

    >>> tables = Tables.from_pmf([[0.9, 0.1]], offsets=[0])
    >>> encoder = RangeEncoder()
    >>> encoder.put([0, 0, 1], [0, 0, 0], tables)
    >>> encoder.put_bits([5], [3])
    >>> encoder.tell_bits() // 256
    6
    >>> decoder = RangeDecoder(encoder.finish())
    >>> decoder.get([0, 0, 0], tables).tolist(), decoder.get_bits([3]).tolist(), decoder.tell_bits() // 256
    ([0, 0, 1], [5], 6)
    >>> decoder.finish()
    """

    def __init__(self) -> None:
        self._held = _core.RangeEncoder()

    def put(
        self, symbols: npt.ArrayLike, index: npt.ArrayLike, tables: Tables | Adaptive | AdaptiveBits
    ) -> None:
        """Code int32 `symbols`, each with the table that `index` names; `Adaptive` tables follow.

        Raises ValueError, and codes nothing, if lengths differ, an index names no table, or a symbol lies
        outside a closed table.
        """
        self._held.put(_int32(symbols), _index(index), tables._held)

    def put_bits(self, values: npt.ArrayLike, counts: npt.ArrayLike) -> None:
        """Code unsigned `values` as they are, each in as many bits (0 to 32) as `counts` says."""
        self._held.put_bits(_integers(values, np.uint32, "values"), _integers(counts, np.uint8, "counts"))

    def tell_bits(self) -> int:
        """Return what has been coded in 1/256 bit: equal in encoder and decoder, so both may decide by it."""
        return int(self._held.tell_bits())

    def finish(self) -> bytes:
        """Return the shortest bytes that hold all of it; the encoder is then used up."""
        return bytes(self._held.finish())


class RangeDecoder:
    """The mirror of `RangeEncoder`: the same calls in the same order give the symbols back.

    Raises CorruptStream (TruncatedStream where the bytes end early) as soon as the bytes cannot be sound.
    Damage that only changes symbols is not noticed: who carries the bytes checks them.
    """

    def __init__(self, payload: Payload) -> None:
        self._held = _core.RangeDecoder(payload)

    def get(self, index: npt.ArrayLike, tables: Model) -> npt.NDArray[np.int32]:
        """Return the next symbols, as many as `index` has entries and in its shape."""
        which = _index(index)
        symbols = np.empty(which.shape, np.int32)
        self._held.get(symbols, which, tables._held)
        return symbols

    def get_bits(self, counts: npt.ArrayLike) -> npt.NDArray[np.uint32]:
        """Return the next raw values, each of as many bits (0 to 32) as `counts` says."""
        widths = _integers(counts, np.uint8, "counts")
        values = np.empty(widths.shape, np.uint32)
        self._held.get_bits(values, widths)
        return values

    def tell_bits(self) -> int:
        """Return what has been decoded so far in 1/256 bit: equal in encoder and decoder."""
        return int(self._held.tell_bits())

    def finish(self) -> None:
        """Raise CorruptStream unless exactly the bytes given have been used."""
        self._held.finish()
