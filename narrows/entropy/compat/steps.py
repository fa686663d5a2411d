"""Strings that are read step by step: range-coded, and sure at the end that both sides took the same steps.

A string is the range coder's bytes, the number of symbols, a CRC32C of indexes and tables, which does not
depend on how they were split into calls, and a CRC32C of all before it.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from narrows import _core
from narrows.entropy.coder import RangeDecoder, RangeEncoder
from narrows.entropy.tables import Tables
from narrows.errors import CorruptStream, TruncatedStream


def with_crc(string: bytes) -> bytes:
    """Return `string` with its CRC32C behind it."""
    return string + int(_core.crc32c(string)).to_bytes(4, "little")


def without_crc(string: bytes | bytearray | memoryview) -> bytes:
    """Return what `with_crc` was given; CorruptStream if it was damaged since."""
    if len(string) < 4:
        raise TruncatedStream("a string is cut")
    bare = bytes(string[:-4])
    if _core.crc32c(bare) != int.from_bytes(string[-4:], "little"):
        raise CorruptStream("a string is damaged")
    return bare


class _Hash:
    def __init__(self) -> None:
        self.crc = 0
        self._last = b""

    def add(self, index: npt.NDArray[Any], tables: Tables) -> None:
        if index.size and tables.digest() != self._last:
            self._last = tables.digest()
            self.crc = _core.crc32c(self._last, self.crc)
        self.crc = _core.crc32c(index.astype("<u2"), self.crc)


class StepEncoder:
    """Collects symbols over several calls."""

    def __init__(self) -> None:
        self._coder, self._count, self._hash = RangeEncoder(), 0, _Hash()

    def put(self, symbols: npt.NDArray[np.int32], index: npt.NDArray[Any], tables: Tables) -> None:
        """Code `symbols`, each with the table that `index` names; ValueError as `RangeEncoder.put`."""
        self._coder.put(symbols, index, tables)
        self._count += index.size
        self._hash.add(index, tables)

    def finish(self) -> bytes:
        """Return the string of all calls."""
        return with_crc(self._coder.finish() + struct.pack("<II", self._count, self._hash.crc))


class StepDecoder:
    """Reads what a `StepEncoder` wrote, in the same calls or others.

    CorruptStream for damage before the first symbol, and with the last one unless indexes and tables were the
    encoder's.
    """

    def __init__(self, string: bytes | bytearray | memoryview) -> None:
        bare = without_crc(string)
        if len(bare) < 8:
            raise TruncatedStream("a string is cut")
        self._left, self._expected = struct.unpack("<II", bare[-8:])
        self._coder, self._hash = RangeDecoder(bare[:-8]), _Hash()

    def get(self, index: npt.NDArray[Any], tables: Tables) -> npt.NDArray[np.int32]:
        """Return the next symbols, as many as `index` has entries."""
        if index.size > self._left:
            raise CorruptStream("the string holds fewer symbols than are asked for")
        symbols = self._coder.get(index, tables)
        self._left -= index.size
        self._hash.add(index, tables)
        if self._left == 0:
            if self._hash.crc != self._expected:
                raise CorruptStream("your model computed other indexes or tables than the encoder's")
            self._coder.finish()
        return symbols

    def finish(self) -> None:
        """Raise CorruptStream if symbols are left."""
        if self._left:
            raise CorruptStream("the string holds more symbols than were asked for")
