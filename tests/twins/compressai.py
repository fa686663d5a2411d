"""CompressAI's bitstream in plain Python, from its definition: the judge of the compiled coder.

One state x from 2**31 up, words of 32 bits, probabilities of 16. Encoding runs over the steps backward and
ends with the state: a string is its low and its high word, then the words as a decoder wants them.
"""

from __future__ import annotations

from collections.abc import Sequence

Rows = Sequence[Sequence[int]]
LOW = 1 << 31


def steps(
    symbols: Sequence[int], index: Sequence[int], cdfs: Rows, lengths: Sequence[int], offsets: Sequence[int]
) -> list[tuple[int, int, int]]:
    """Return (start, frequency, bits) of each coding step, in the order in which a decoder takes them."""
    made = []
    for symbol, i in zip(symbols, index, strict=True):
        escape = lengths[i] - 2
        value = symbol - offsets[i]
        raw = None
        if value < 0:
            raw, value = -2 * value - 1, escape
        elif value >= escape:
            raw, value = 2 * (value - escape), escape
        made.append((cdfs[i][value], cdfs[i][value + 1] - cdfs[i][value], 16))
        if raw is not None:
            count = (raw.bit_length() + 3) // 4
            nibbles = [15] * (count // 15) + [count % 15] + [raw >> 4 * j & 15 for j in range(count)]
            made.extend((nibble, 1, 4) for nibble in nibbles)
    return made


def encode_steps(made: Sequence[tuple[int, int, int]]) -> bytes:
    """Return the string of the steps."""
    x, words = LOW, []
    for start, frequency, bits in reversed(made):
        if x >= ((LOW >> bits) << 32) * frequency:
            words.append(x & 0xFFFFFFFF)
            x >>= 32
        x = (x // frequency << bits) + x % frequency + start
    words += [x >> 32, x & 0xFFFFFFFF]
    return b"".join(word.to_bytes(4, "little") for word in reversed(words))


def encode(
    symbols: Sequence[int], index: Sequence[int], cdfs: Rows, lengths: Sequence[int], offsets: Sequence[int]
) -> bytes:
    """Return the string of one call."""
    return encode_steps(steps(symbols, index, cdfs, lengths, offsets))


class Decoder:
    """Reads a string forward, in one call or several."""

    def __init__(self, string: bytes) -> None:
        self.words = [int.from_bytes(string[i : i + 4], "little") for i in range(0, len(string), 4)]
        self.x = self.words[0] | self.words[1] << 32
        self.at = 2

    def _restore(self) -> None:
        if self.x < LOW:
            self.x = self.x << 32 | self.words[self.at]
            self.at += 1

    def _nibble(self) -> int:
        nibble = self.x & 15
        self.x >>= 4
        self._restore()
        return nibble

    def decode(
        self, index: Sequence[int], cdfs: Rows, lengths: Sequence[int], offsets: Sequence[int]
    ) -> list[int]:
        """Return the next symbols, one for each of `index`."""
        symbols = []
        for i in index:
            escape = lengths[i] - 2
            slot = self.x & 0xFFFF
            value = next(v for v in range(lengths[i] - 1) if cdfs[i][v + 1] > slot)
            self.x = (cdfs[i][value + 1] - cdfs[i][value]) * (self.x >> 16) + slot - cdfs[i][value]
            self._restore()
            if value == escape:
                nibble = count = self._nibble()
                while nibble == 15:
                    nibble = self._nibble()
                    count += nibble
                raw = sum(self._nibble() << 4 * j for j in range(count))
                value = -(raw >> 1) - 1 if raw & 1 else (raw >> 1) + escape
            symbols.append(value + offsets[i])
        return symbols

    def finished(self) -> bool:
        """Return whether everything was used and the state is the one that an encoder starts from."""
        return self.x == LOW and self.at == len(self.words)
