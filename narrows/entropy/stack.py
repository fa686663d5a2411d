"""Symbols last in, first out: what bits-back coding needs of an entropy coder."""

from __future__ import annotations

import copy
import math

import numpy as np
import numpy.typing as npt

from narrows import _core
from narrows._core import crc32c
from narrows.container.forms import Input, varint
from narrows.entropy.coder import _index, _int32
from narrows.entropy.framing import bytes_of
from narrows.entropy.tables import Tables
from narrows.errors import CorruptStream, UnsupportedStream

_KIND = 1 << 4 | 5
_CHECK = 64


class Stack:
    """A coder of one lane whose `pop` undoes `push`, with any tables in between (arXiv 1901.04866).

    Popping symbols that were never pushed makes some of the bits below: with a table of their distribution
    they are drawn from it, escapes as any value outside, and pushing them back restores those bits.
    Bits-back coding of x pops z by q(z|x), pushes x by p(x|z) and z by p(z), and takes
    log2 q(z|x) / (p(x|z) p(z)) bits on average. `initial` are bytes to lie at the bottom, for the first pops
    to draw on.

    >>> tables = Tables.from_pmf([[0.25, 0.75]], offsets=[0], escape=False)
    >>> stack = Stack(b"some bits to start with.")
    >>> before = stack.size_bits()
    >>> drawn = stack.pop([0] * 8, tables)
    >>> stack.push(drawn, [0] * 8, tables)
    >>> stack.size_bits() == before
    True
    """

    def __init__(self, initial: bytes = b"") -> None:
        self._held = _core.Stack()
        given = bytes_of(initial)
        if given:
            self._held.set(1 << 32, given + bytes(-len(given) % 4))

    def push(self, symbols: npt.ArrayLike, index: npt.ArrayLike, tables: Tables) -> None:
        """Put int32 `symbols` on top, each with the table that `index` names.

        Raises ValueError, and pushes nothing, if lengths differ, an index names no table, or a symbol lies
        outside a closed table.
        """
        self._held.push(_int32(symbols), _index(index), tables._held)

    def pop(self, index: npt.ArrayLike, tables: Tables) -> npt.NDArray[np.int32]:
        """Take off as many symbols as `index` has entries, in its shape and in the order they were pushed in.

        Raises TruncatedStream, and pops nothing, where the stack does not hold enough bits; ValueError for an
        index that names no table.
        """
        which = _index(index)
        symbols = np.empty(which.shape, np.int32)
        self._held.pop(symbols, which, tables._held)
        return symbols

    def size_bits(self) -> float:
        """Return what is on the stack in bits, fractions included; 0 where it is as it was made."""
        return 32.0 * int(self._held.num_words()) + math.log2(self._held.state()) - 32

    def copy(self) -> Stack:
        """Return the same stack, apart."""
        twin = object.__new__(Stack)
        twin._held = copy.copy(self._held)
        return twin

    def tobytes(self, *, check: bool = True) -> bytes:
        """Return the stack as bytes, 4 of them a checksum unless `check` is false."""
        head = bytes([_KIND, _CHECK if check else 0]) + varint(self._held.num_words())
        out: bytes = head + int(self._held.state()).to_bytes(8, "little") + self._held.words()
        return out + crc32c(out).to_bytes(4, "little") if check else out

    @classmethod
    def frombytes(cls, payload: bytes, *, check: bool = True) -> Stack:
        """Return the stack that `tobytes` was called on.

        Raises CorruptStream (TruncatedStream, UnsupportedStream) for anything but a whole and sound one.
        """
        source = Input(bytes_of(payload))
        kind, flags = source.read(2)
        if kind != _KIND or flags & ~_CHECK:
            raise UnsupportedStream("the payload is of no stack, or of a newer version", 0)
        num_words = source.varint()
        state, words = int.from_bytes(source.read(8), "little"), source.read(4 * num_words)
        if flags & _CHECK:
            source.check("the payload's checksum differs: it is damaged", 0)
        elif check:
            raise CorruptStream("the payload has no checksum: read it with check=False")
        if not source.at_end():
            raise CorruptStream("bytes follow the payload", source.position)
        if state < 1 << 32:
            raise CorruptStream("the payload holds a state that no stack has")
        made = cls()
        made._held.set(state, bytes(words))
        return made
