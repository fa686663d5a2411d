"""Symbols to bytes and back: whole arrays by rANS, step by step by the range coder.

Arrays are NumPy's, or anything with `.numpy()` such as a torch tensor on the CPU. `encode` and `decode` read
integers of every width and layout where they are: transposed, every other one, broadcast. Contiguous int8,
int16 or int32 symbols and uint8 or uint16 indexes are quickest; others are converted in blocks that stay in
the cache.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from narrows import _core
from narrows.entropy.arrays import Ints, array_of, int32_of, integers_of
from narrows.entropy.tables import Tables
from narrows.errors import CorruptStream
from narrows.limits import Limits

Payload = bytes | bytearray | memoryview

_NATIVE_DTYPES = frozenset(np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8))
_INDEX_DTYPES = frozenset({np.dtype(np.uint8), np.dtype(np.uint16)})
_DECODED = {key: np.dtype(t) for t in (np.int8, np.uint8, np.int16, np.int32) for key in (t, np.dtype(t))}
_INT16 = np.dtype(np.int16)
_INT32 = np.dtype(np.int32)
_LIMITS = Limits()
_MOST_THREADS = 256
_empty = np.empty


def _native(values: Any, name: str) -> Ints:
    """Return integers of any width and layout in this machine's byte order, copied only if need be."""
    if type(values) is np.ndarray and values.dtype in _NATIVE_DTYPES:
        return values
    given = array_of(values, name)
    if given.dtype in _NATIVE_DTYPES:
        return given
    if given.size and given.dtype.kind not in "iub":
        raise ValueError(f"{name} holds integers, not {given.dtype}")
    plain = given.dtype.kind in "iu" and given.dtype.newbyteorder("=") in _NATIVE_DTYPES
    return given.astype(given.dtype.newbyteorder("=") if plain else np.int64)


def _int32(values: Any) -> Ints:
    if type(values) is np.ndarray and values.dtype == _INT32 and values.flags.c_contiguous:
        return values
    return int32_of(values, "symbols")


def _index(values: Any) -> Ints:
    if type(values) is np.ndarray and values.dtype in _INDEX_DTYPES and values.flags.c_contiguous:
        return values
    given = array_of(values, "index")
    if given.dtype in _INDEX_DTYPES:
        return np.asarray(given, order="C")
    return integers_of(given, np.uint16, "index")


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
    options = (tables._held, check, min(threads, _MOST_THREADS), hash_index, chunk_bytes)
    payload: bytes
    try:  # arrays are nearly always right, and asking first costs as much as the call
        payload = _core.rans_encode(symbols, index, *options)
    except (TypeError, BufferError):
        payload = _core.rans_encode(_native(symbols, "symbols"), _native(index, "index"), *options)
    return payload


def decode(
    payload: Payload,
    index: npt.ArrayLike,
    tables: Tables | Adaptive,
    *,
    check: bool = True,
    threads: int = 1,
    dtype: npt.DTypeLike = np.int32,
    chunk: int | None = None,
    limits: Limits = _LIMITS,
) -> Ints:
    """Return the symbols that `encode` was given, in the shape of `index`, as int8, uint8, int16 or int32.

    How many there are comes from `index`, never from the payload: work and memory are bounded by the two.
    With `chunk` only that chunk of the payload is decoded, and `index` is that of its symbols: see `chunks`.

    Raises CorruptStream for anything but a whole and sound payload of these tables and that many symbols
    (TruncatedStream where it ends early, UnsupportedStream where it is newer), also where it lacks the
    checksum that `check` demands. Raises ValueError for an index that names no table or a chunk that is not
    there, LimitExceeded above `limits.max_output_bytes`.

    >>> tables = Tables.from_pmf([[0.25, 0.5, 0.25]], offsets=[-1])
    >>> payload = encode([0, 0, 1, -1], [0, 0, 0, 0], tables)
    >>> decode(payload, [0, 0, 0, 0], tables)
    array([ 0,  0,  1, -1], dtype=int32)
    >>> decode(payload[:-1], [0, 0, 0, 0], tables)
    Traceback (most recent call last):
    narrows.errors.TruncatedStream: a chunk is longer than the payload
    """
    try:
        wanted = _DECODED[dtype]  # type: ignore[index]
    except (KeyError, TypeError):
        wanted = _decoded_dtype(dtype)
    if threads < 1:
        raise ValueError("threads is positive")
    if threads > _MOST_THREADS:
        threads = _MOST_THREADS
    if chunk is None:
        chunk = -1
    elif not 0 <= chunk < 2**32:
        raise ValueError("chunks are numbered from 0, and fewer than 2^32")
    which = index if type(index) is np.ndarray else _native(index, "index")
    if which.size * wanted.itemsize > limits.max_output_bytes:
        limits.check("max_output_bytes", which.size * wanted.itemsize)
    if isinstance(tables, Adaptive):
        limits.check("max_output_bytes", which.size * _INT32.itemsize)
        return _decode_adaptive(payload, which, tables, check, wanted, chunk)
    symbols = _empty(which.shape, wanted)
    try:  # as in `encode`
        _core.rans_decode(payload, which, tables._held, symbols, check, threads, chunk)
    except TypeError:
        _core.rans_decode(payload, _native(which, "index"), tables._held, symbols, check, threads, chunk)
    return symbols


def _decoded_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    wanted = np.dtype(dtype)
    if wanted not in _DECODED:
        raise ValueError(f"decoded symbols are int8, uint8, int16 or int32, not {wanted}")
    return wanted


def _decode_adaptive(
    payload: Payload, index: Ints, tables: Adaptive, check: bool, wanted: np.dtype[Any], chunk: int
) -> Ints:
    if chunk > 0:
        raise ValueError("a payload coded with Adaptive tables has one chunk")
    symbols = np.empty(index.shape, _INT32)
    _core.adaptive_decode(payload, _index(index), tables._held, symbols, check)
    if wanted == _INT32:
        return symbols
    narrow = symbols.astype(wanted)
    if not np.array_equal(narrow, symbols):
        raise CorruptStream("a symbol does not fit the dtype asked for")
    return narrow


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part that decodes alone: the payload's bytes [start, stop) hold `count` symbols from `first` on."""

    start: int
    stop: int
    first: int
    count: int


def chunks(payload: Payload, *, check: bool = True) -> list[Chunk]:
    """Return where the chunks of a payload are, so that some can be decoded without the others.

    Only headers are read, and with `check` all bytes for the checksum, once: pass `check=False` to `decode`
    then. Raises as `decode` does.

    >>> import numpy as np
    >>> tables = Tables.from_pmf([np.ones(256)], offsets=[0], escape=False)
    >>> symbols, index = np.arange(9000) % 256, np.zeros(9000, np.uint8)
    >>> payload = encode(symbols, index, tables, chunk_bytes=3000)
    >>> second = chunks(payload)[1]
    >>> second.first, second.count
    (3008, 3008)
    >>> part = index[second.first : second.first + second.count]
    >>> bool((decode(payload, part, tables, chunk=1, check=False) == symbols[3008:6016]).all())
    True
    """
    return [
        Chunk(start, start + size, first, count)
        for start, size, first, count in _core.rans_chunks(payload, check)
    ]


def encode_packed(
    packed: npt.ArrayLike,
    tables: Tables,
    *,
    check: bool = True,
    threads: int = 1,
    hash_index: bool = False,
    chunk_bytes: int = 1 << 18,
) -> bytes:
    """Code int16 `symbol << 8 | index`: a signed symbol in the high byte, its table's number in the low one.

    The payload is that of `encode` with the two apart; the array is read where it is. Raises as `encode`
    does, and ValueError for anything but int16.

    >>> tables = Tables.from_pmf([[1, 2, 1], [1, 1, 1]], offsets=[-1, -1])
    >>> packed = np.array([-1 << 8 | 0, 1 << 8 | 1], np.int16)
    >>> encode_packed(packed, tables) == encode([-1, 1], [0, 1], tables)
    True
    """
    symbols, index = _unpacked(packed)
    return encode(
        symbols, index, tables, check=check, threads=threads, hash_index=hash_index, chunk_bytes=chunk_bytes
    )


def decode_packed(
    payload: Payload,
    index: npt.ArrayLike,
    tables: Tables,
    *,
    check: bool = True,
    threads: int = 1,
    limits: Limits = _LIMITS,
) -> npt.NDArray[np.int16]:
    """Return int16 `symbol << 8 | index` in the shape of `index`: what `encode_packed` was given.

    Raises as `decode` does, CorruptStream where a symbol has more than 8 bits.

    >>> tables = Tables.from_pmf([[1, 2, 1], [1, 1, 1]], offsets=[-1, -1])
    >>> decode_packed(encode([-1, 1], [0, 1], tables), [0, 1], tables)
    array([-256,  257], dtype=int16)
    """
    if len(tables) > 256:
        raise ValueError("packed symbols have at most 256 tables")
    which = _native(index, "index")
    packed = decode(payload, which, tables, check=check, threads=threads, dtype=_INT16, limits=limits)
    if not _core.rans_pack(packed, which):
        raise CorruptStream("a symbol does not fit 8 bits")
    return packed


def _unpacked(packed: npt.ArrayLike) -> tuple[Ints, Ints]:
    """Return views of the high bytes, signed, and of the low ones."""
    given = array_of(packed, "packed")
    if given.dtype != _INT16:
        raise ValueError(f"packed symbols are int16, not {given.dtype}")
    pairs = given[..., None].view(np.uint8)
    low, high = (0, 1) if sys.byteorder == "little" else (1, 0)
    return pairs[..., high].view(np.int8), pairs[..., low]


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
        self._held.put_bits(integers_of(values, np.uint32, "values"), integers_of(counts, np.uint8, "counts"))

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
        widths = integers_of(counts, np.uint8, "counts")
        values = np.empty(widths.shape, np.uint32)
        self._held.get_bits(values, widths)
        return values

    def tell_bits(self) -> int:
        """Return what has been decoded so far in 1/256 bit: equal in encoder and decoder."""
        return int(self._held.tell_bits())

    def finish(self) -> None:
        """Raise CorruptStream unless exactly the bytes given have been used."""
        self._held.finish()
