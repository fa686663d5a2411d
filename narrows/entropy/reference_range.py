"""The range coder and the adaptive models in plain Python; see `narrows.entropy.reference`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from narrows.entropy.reference import (
    ADAPTIVE,
    CHECK,
    INDEX_HASH,
    RANGE,
    Chunk,
    crc32c,
    digest,
    hash_of_index,
    log2_256,
    read_payload,
    tables_of,
)
from narrows.entropy.tables import Tables
from narrows.errors import CorruptStream, TruncatedStream


class AdaptiveBit:
    """P(1) as the mean of a fast and a slow estimate, of 16 bits each."""

    def __init__(self) -> None:
        self.fast = self.slow = 32768
        self.count = 0

    @property
    def p1(self) -> int:
        return (self.fast + self.slow) >> 1

    def update(self, bit: int) -> None:
        start = (self.count + 1).bit_length()
        self.count = min(self.count + 1, 255)

        def moved(p: int, shift: int) -> int:
            return p + (65536 - p >> shift) if bit else p - (p >> shift)

        self.fast = moved(self.fast, min(start, 4))
        self.slow = moved(self.slow, min(start, 7))


class AdaptiveTable:
    """17 symbols, the last ones in use; 16 boundaries between them in 1/2^16, the coder sees 15 bits."""

    FLOOR = 2

    def __init__(self, frequencies: Sequence[int], weight: int = 200, max_shift: int = 10) -> None:
        self.unused = 17 - len(frequencies)
        self.bounds = [0] * 17 + [65536]  # [0] and [17] stay
        for i in range(1, len(frequencies)):
            self.bounds[self.unused + i] = 2 * sum(frequencies[:i])
        self.count = weight
        self.max_shift = max_shift

    def slots(self, symbol: int) -> tuple[int, int]:
        s = symbol + self.unused
        return self.bounds[s] >> 1, (self.bounds[s + 1] >> 1) - (self.bounds[s] >> 1)

    def owner(self, slot: int) -> int:
        return sum(b >> 1 <= slot for b in self.bounds[1:17]) - self.unused

    def update(self, symbol: int) -> None:
        shift = min(self.count.bit_length() - 1, self.max_shift)
        dither = (self.count * 40503 & 0xFFFF) >> (16 - shift)
        self.count = 0x8000 if self.count == 0xFFFF else self.count + 1
        for j in range(1, 17):
            if j > symbol + self.unused:
                distance = 65536 - self.FLOOR * (17 - j) - self.bounds[j]
                self.bounds[j] += min(distance + dither, 65535) >> shift
            else:
                distance = self.bounds[j] - self.FLOOR * max(0, j - self.unused)
                self.bounds[j] -= min(distance + dither, 65535) >> shift


class Adaptive:
    """Adaptive tables that begin as `tables`; token 0 is left out where it owns no slot."""

    def __init__(self, tables: Tables, *, weight: int = 200, max_shift: int = 10) -> None:
        self.tables = tables
        self.plain = tables_of(tables)
        self.adaptive = [
            AdaptiveTable(
                [end - start << 15 - table.bits for start, end in pairwise(table.cdf) if end > start],
                weight,
                max_shift,
            )
            for table in self.plain
        ]


Model = Tables | Adaptive | list[AdaptiveBit]


def last_number(low: int, size: int) -> int:
    """Return the number in [low, low + size) that ends in the most zero bits."""
    for k in range(40, 0, -1):
        rounded = (low + (1 << k) - 1) >> k << k
        if rounded < low + size:
            return rounded
    return low


class RangeEncoder:
    """32-bit range, carries walked back into the bytes; raw bits most significant first."""

    def __init__(self) -> None:
        self.low, self.range = 0, 0xFFFFFFFF
        self.bytes = bytearray()

    def _shift(self) -> None:
        while self.range < 1 << 24:
            self._shift_once()

    def _shift_once(self) -> None:
        if self.low >> 32:
            at = len(self.bytes) - 1
            while self.bytes[at] == 255:
                self.bytes[at] = 0
                at -= 1
            self.bytes[at] += 1
            self.low &= 0xFFFFFFFF
        self.bytes.append(self.low >> 24)
        self.low = (self.low & 0xFFFFFF) << 8
        self.range = self.range << 8 & 0xFFFFFFFF

    def encode(self, start: int, size: int, bits: int) -> None:
        step = self.range >> bits
        self.low += step * start
        self.range = self.range - step * start if start + size == 1 << bits else step * size
        self._shift()

    def encode_bit(self, bit: int, p1: int) -> None:
        split = self.range * p1 >> 16
        if not bit:
            self.low += split
        self.range = split if bit else self.range - split
        self._shift()

    def encode_raw(self, value: int, count: int) -> None:
        while count > 16:
            count -= 16
            self.encode(value >> count & 0xFFFF, 1, 16)
        if count:
            self.encode(value & ((1 << count) - 1), 1, count)

    def _put_exp_golomb(self, z: int, order: int) -> None:
        y = (z >> order) + 1
        width = y.bit_length() - 1
        for bit in [0] * width + [1]:
            self.encode_raw(bit, 1)
        self.encode_raw(y - (1 << width), width)
        self.encode_raw(z & ((1 << order) - 1), order)

    def put(self, symbols: Sequence[int], index: Sequence[int], tables: Model) -> None:
        """As `narrows.entropy.RangeEncoder.put`; a list of AdaptiveBit stands for AdaptiveBits."""
        if isinstance(tables, list):
            for bit, i in zip(symbols, index, strict=True):
                self.encode_bit(bit, tables[i].p1)
                tables[i].update(bit)
            return
        plain = tables.plain if isinstance(tables, Adaptive) else tables_of(tables)
        for symbol, i in zip(symbols, index, strict=True):
            table = plain[i]
            token, rest = table.token(symbol)
            if isinstance(tables, Adaptive):
                model, which = tables.adaptive[i], token - (not table.has_escape)
                self.encode(*model.slots(which), 15)
                model.update(which)
            else:
                self.encode(*table.slots(token), table.bits)
            if token == 0:
                self._put_exp_golomb(rest, table.shift + 2)
            else:
                self.encode_raw(rest, table.shift)

    def put_bits(self, values: Sequence[int], counts: Sequence[int]) -> None:
        for value, count in zip(values, counts, strict=True):
            self.encode_raw(value, count)

    def tell_bits(self) -> int:
        return 2048 * len(self.bytes) + 8192 - log2_256(self.range)

    def finish(self) -> bytes:
        """Write the number in [low, low + range) that ends in the most zeros, less zero bytes at its end."""
        self.low = last_number(self.low, self.range)
        for _ in range(4):
            self._shift_once()
        for _ in range(4):
            if self.bytes[-1] == 0:
                self.bytes.pop()
        return bytes(self.bytes)


class RangeDecoder:
    """The mirror; zeros follow the bytes, and more than four of them are too many."""

    def __init__(self, payload: bytes) -> None:
        self.bytes = bytes(payload)
        self.at = 0
        self.code, self.range = 0, 0xFFFFFFFF
        for _ in range(4):
            self.code = self.code << 8 | self._next()

    def _next(self) -> int:
        self.at += 1
        return self.bytes[self.at - 1] if self.at <= len(self.bytes) else 0

    def _shift(self) -> None:
        while self.range < 1 << 24:
            self.code = (self.code << 8 | self._next()) & 0xFFFFFFFF
            self.range <<= 8

    def target(self, bits: int) -> int:
        return min(self.code // (self.range >> bits), (1 << bits) - 1)

    def take(self, start: int, size: int, bits: int) -> None:
        step = self.range >> bits
        self.code = self.code - step * start & 0xFFFFFFFF
        self.range = self.range - step * start if start + size == 1 << bits else step * size
        self._shift()

    def decode_bit(self, p1: int) -> int:
        split = self.range * p1 >> 16
        bit = int(self.code < split)
        if not bit:
            self.code -= split
        self.range = split if bit else self.range - split
        self._shift()
        return bit

    def decode_raw(self, count: int) -> int:
        value = 0
        for step in [16] * ((count - 1) // 16) + [count - (count - 1) // 16 * 16] * (count > 0):
            target = self.target(step)
            self.take(target, 1, step)
            value = value << step | target
        return value

    def _get_exp_golomb(self, order: int) -> int:
        width = 0
        while self.decode_raw(1) == 0:
            width += 1
            if width > 32:
                raise CorruptStream("an escape that no int32 has")
        y = (1 << width) + self.decode_raw(width)
        return (y - 1 << order) + self.decode_raw(order)

    def get(self, index: Sequence[int], tables: Model) -> list[int]:
        """As `narrows.entropy.RangeDecoder.get`."""
        symbols = []
        plain = (
            []
            if isinstance(tables, list)
            else tables.plain
            if isinstance(tables, Adaptive)
            else tables_of(tables)
        )
        for i in index:
            if isinstance(tables, list):
                symbols.append(self.decode_bit(tables[i].p1))
                tables[i].update(symbols[-1])
                continue
            table = plain[i]
            if isinstance(tables, Adaptive):
                model = tables.adaptive[i]
                which = model.owner(self.target(15))
                self.take(*model.slots(which), 15)
                model.update(which)
                token = which + (not table.has_escape)
            else:
                token = table.owner(self.target(table.bits))
                self.take(*table.slots(token), table.bits)
            rest = self._get_exp_golomb(table.shift + 2) if token == 0 else self.decode_raw(table.shift)
            symbols.append(table.symbol(token, rest))
        self._check_end()
        return symbols

    def get_bits(self, counts: Sequence[int]) -> list[int]:
        values = [self.decode_raw(count) for count in counts]
        self._check_end()
        return values

    def tell_bits(self) -> int:
        return 2048 * (self.at - 4) + 8192 - log2_256(self.range)

    def _check_end(self) -> None:
        if self.at > len(self.bytes) + 4:
            raise TruncatedStream("the stream ends early")

    def finish(self) -> None:
        """Raise unless the bytes are those that an encoder of these symbols wrote."""
        self._check_end()
        if self.at < len(self.bytes):
            raise CorruptStream("bytes are left over")
        last = int.from_bytes((self.bytes + bytes(4))[self.at - 4 : self.at], "big")
        written = last_number((last - self.code) % 2**32, self.range) % 2**32
        if written != last or len(self.bytes) != self.at - 4 + len(last.to_bytes(4, "big").rstrip(b"\0")):
            raise CorruptStream("the stream does not end as encoders end it")


def encode_adaptive(
    symbols: Sequence[int],
    index: Sequence[int],
    tables: Adaptive,
    *,
    check: bool = True,
    hash_index: bool = False,
) -> bytes:
    """As `narrows.entropy.encode` with Adaptive tables: a single chunk of profile 1."""
    symbols, index = [int(s) for s in symbols], [int(i) for i in index]
    coder = RangeEncoder()
    coder.put(symbols, index, tables)
    flags = ADAPTIVE | (CHECK if check else 0) | (INDEX_HASH if hash_index else 0)
    common = (digest(tables.tables), hash_of_index(index), len(symbols))
    out = Chunk(RANGE, tables.tables.bits, flags, *common, [], [], coder.finish()).to_bytes()
    return out + (crc32c(out).to_bytes(4, "little") if check else b"")


def decode_adaptive(
    payload: bytes, index: Sequence[int], tables: Adaptive, *, check: bool = True
) -> list[int]:
    """As `narrows.entropy.decode` with Adaptive tables."""
    index = [int(i) for i in index]
    chunks = read_payload(payload, len(index), tables.tables, check)
    if len(chunks) > 1 or chunks[0].profile != RANGE or not chunks[0].flags & ADAPTIVE:
        raise CorruptStream("the payload was not coded with Adaptive tables")
    if chunks[0].flags & INDEX_HASH and hash_of_index(index) != chunks[0].index_hash:
        raise CorruptStream("indexes differ")
    coder = RangeDecoder(chunks[0].side)
    symbols = coder.get(index, tables)
    coder.finish()
    return symbols
