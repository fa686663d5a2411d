"""The entropy coder in plain Python: the second definition of its format, and the judge of every kernel.

Slow and simple on purpose. It reads top to bottom beside docs/format.md: tables, side stream, chunks,
payloads, rANS; `reference_range.py` has the range coder and the adaptive models. For the same arguments it
gives the same bytes as `narrows.entropy`, and it refuses the same payloads, if with other words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise

from narrows.entropy.tables import Tables
from narrows.errors import CorruptStream, TruncatedStream, UnsupportedStream

VERSION = 1
RANS, RANGE, STORED = 0, 1, 2  # profiles
LANES, ADAPTIVE, SIDE, INDEX_HASH, STATE_PAYLOAD, CHECK = 7, 1, 8, 16, 32, 64  # bits of the flags byte
LOW = 1 << 16  # rANS states stand in [LOW, 2^32)


# ---- Checksums and logarithms ----


@cache
def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


def crc32c(data: bytes) -> int:
    """Return the CRC32C of `data`.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _crc_table()[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


@cache
def log2_mantissa(m: int) -> int:
    """Return floor(256 log2(1 + m / 256)), exactly: from the power, not from a float."""
    return int((256 + m) ** 256).bit_length() - 1 - 2048


def log2_256(value: int) -> int:
    """Return 256 log2(value) from the nine leading bits, rounded down."""
    exponent = value.bit_length() - 1
    return 256 * exponent + log2_mantissa((value << 31 - exponent) >> 23 & 255)


# ---- Tables ----


@dataclass(frozen=True)
class Table:
    """One table of `Tables`, as Python integers."""

    bits: int
    offset: int
    shift: int
    cdf: list[int]  # num_tokens + 1 boundaries

    @property
    def num_tokens(self) -> int:
        return len(self.cdf) - 1

    @property
    def slot_shift(self) -> int:
        return min(self.shift, 7)

    @property
    def has_escape(self) -> bool:
        return self.cdf[1] > 0

    @property
    def span(self) -> int:
        return (self.num_tokens - 1) << self.shift

    def slots(self, token: int) -> tuple[int, int]:
        """Return the first slot and the number of slots of `token`."""
        return self.cdf[token], self.cdf[token + 1] - self.cdf[token]

    def owner(self, slot: int) -> int:
        """Return the token that owns `slot`."""
        return next(t for t in range(self.num_tokens) if self.cdf[t] <= slot < self.cdf[t + 1])

    def token(self, symbol: int) -> tuple[int, int]:
        """Return the token of `symbol` and what tells it from others of that token."""
        above = symbol - self.offset
        if 0 <= above < self.span:
            return (above >> self.shift) + 1, above & ((1 << self.shift) - 1)
        if not self.has_escape:
            raise ValueError("a symbol lies outside a table without an escape")
        return 0, self.escape_distance(symbol)

    def symbol(self, token: int, rest: int) -> int:
        """Undo `token`."""
        if token == 0:
            return self.escape_symbol(rest)
        return self.offset + ((token - 1) << self.shift) + rest

    def escape_distance(self, symbol: int) -> int:
        """Number the int32 outside the table: 0, 2, 4, ... from its end up, 1, 3, ... from its start down."""
        outside = 2**32 - self.span
        above = (symbol - self.offset - self.span) % 2**32
        below = outside - 1 - above
        return 2 * above if above <= below else 2 * below + 1

    def escape_symbol(self, distance: int) -> int:
        """Undo `escape_distance`."""
        outside = 2**32 - self.span
        if distance >= outside:
            raise CorruptStream("an escape that no int32 has")
        above = outside - 1 - distance // 2 if distance & 1 else distance // 2
        return (above + self.span + self.offset + 2**31) % 2**32 - 2**31

    def entropy_256(self) -> int:
        """Return the expected cost of a symbol in 1/256 bit, escapes' own bits left out."""
        raw = self.shift - self.slot_shift
        total = 0
        for start, end in pairwise(self.cdf):
            if end > start:
                total += (end - start) * (
                    256 * (self.bits + raw) - log2_256((end - start) >> self.slot_shift)
                )
        return total >> self.bits


def tables_of(tables: Tables) -> list[Table]:
    """Return each table of `tables` as Python integers."""
    return [
        Table(
            tables.bits,
            int(tables.offset[i]),
            int(tables.shift[i]),
            [int(c) for c in tables.cdf[i, : int(tables.size[i]) + 1]],
        )
        for i in range(len(tables))
    ]


def digest(tables: Tables) -> int:
    """Return the CRC32C of the canonical serialization."""
    out = bytes([tables.bits]) + len(tables).to_bytes(4, "little")
    for table in tables_of(tables):
        out += bytes([table.shift]) + table.offset.to_bytes(4, "little", signed=True)
        out += table.num_tokens.to_bytes(4, "little")
        for start, end in pairwise(table.cdf):
            out += (end - start).to_bytes(4, "little")
    return crc32c(out)


def apportion(weights: Sequence[int], bits: int) -> list[int]:
    """Share 2**bits units by Webster's method (largest w / (2f + 1) next), each token at least one.

    >>> apportion([5, 3, 0], 3)
    [4, 3, 1]
    """
    total = sum(weights)
    if total == 0 or len(weights) > 2**bits:
        raise ValueError("weights are 1 to 2^bits numbers that are not all zero")
    units = [max(1, (w << bits) // total) for w in weights]
    order = range(len(weights))

    def worth(i: int, step: int) -> Fraction:
        return Fraction(weights[i], 2 * units[i] + step)

    while sum(units) < 2**bits:
        units[max(order, key=lambda i: (worth(i, 1), -i))] += 1
    while sum(units) > 2**bits:
        units[min((i for i in order if units[i] > 1), key=lambda i: (worth(i, -1), -i))] -= 1
    return units


# ---- The side stream: bits, least significant first ----


class BitWriter:
    """Collects bits, the first in the least significant place of the first byte."""

    def __init__(self) -> None:
        self.value = 0
        self.length = 0

    def put(self, value: int, count: int) -> None:
        self.value |= value << self.length
        self.length += count

    def put_exp_golomb(self, z: int, order: int) -> None:
        """Write the width of (z >> order) + 1 in unary, that number without its first bit, the rest of z."""
        y = (z >> order) + 1
        width = y.bit_length() - 1
        self.put(0, width)
        self.put(1, 1)
        self.put(y - (1 << width), width)
        self.put(z & ((1 << order) - 1), order)

    def to_bytes(self) -> bytes:
        return self.value.to_bytes((self.length + 7) // 8, "little")


class BitReader:
    """Reads what `BitWriter` wrote."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.value = int.from_bytes(data, "little")
        self.at = 0

    def get(self, count: int) -> int:
        value = self.value >> self.at & ((1 << count) - 1)
        self.at += count
        if self.at > 8 * len(self.data):
            raise CorruptStream("the side stream runs out")
        return value

    def get_exp_golomb(self, order: int) -> int:
        width = 0
        while self.get(1) == 0:
            width += 1
        if width > 32:
            raise CorruptStream("an escape that no int32 has")
        y = (1 << width) + self.get(width)
        return (y - 1 << order) + self.get(order)


# ---- Chunks ----


@dataclass
class Chunk:
    """The fields of a chunk in their order."""

    profile: int
    bits: int  # of probabilities; profile STORED: bytes a symbol
    flags: int
    tables_digest: int
    index_hash: int
    num_symbols: int
    words: list[int]
    states: list[int]
    side: bytes

    def to_bytes(self) -> bytes:
        out = bytes([VERSION << 4 | self.profile, self.bits, self.flags])
        out += self.tables_digest.to_bytes(4, "little")
        if self.flags & INDEX_HASH:
            out += self.index_hash.to_bytes(4, "little")
        out += _varint(self.num_symbols) + _varint(len(self.words)) + _varint(len(self.side))
        out += b"".join(word.to_bytes(2, "little") for word in self.words)
        out += b"".join(state.to_bytes(4, "little") for state in self.states)
        return out + self.side


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


class _Bytes:
    """A cursor that refuses to leave its bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise TruncatedStream("the payload ends early")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def varint(self) -> int:
        value = 0
        for i in range(5):
            byte = self.number(1)
            value |= (byte & 127) << 7 * i
            if byte < 128:
                if value >= 2**32 or (byte == 0 and i > 0):
                    break
                return value
        raise CorruptStream("a varint is too large or not in its shortest form")


def read_chunk(source: _Bytes) -> Chunk:
    """Read one chunk and check all that it says of itself."""
    version, profile = divmod(source.number(1), 16)
    if version != VERSION or profile > STORED:
        raise UnsupportedStream(f"version {version}, profile {profile}")
    bits, flags, tables_digest = source.number(1), source.number(1), source.number(4)
    if flags & 128:
        raise UnsupportedStream("a reserved flag is set")
    index_hash = source.number(4) if flags & INDEX_HASH else 0
    num_symbols, num_words, num_side = source.varint(), source.varint(), source.varint()
    low, has_side = flags & LANES, bool(flags & SIDE)
    if profile == RANS:
        sound = 8 <= bits <= 16 and low <= 5 and num_words <= num_symbols and num_side <= 9 * num_symbols
        sound = sound and has_side == (num_side > 0)
    elif profile == RANGE:
        sound = 8 <= bits <= 16 and low <= ADAPTIVE and not has_side and not flags & STATE_PAYLOAD
        sound = sound and num_words == 0
    else:
        sound = bits in (1, 2, 4) and low == 0 and not has_side and not flags & STATE_PAYLOAD
        sound = sound and num_words == 0 and num_side == bits * num_symbols
    if not sound:
        raise CorruptStream("a chunk's fields disagree")
    num_lanes = 1 << low if profile == RANS else 0
    if 2 * num_words + 4 * num_lanes + num_side > len(source.data) - source.at:
        raise TruncatedStream("a chunk is longer than the payload")
    words = [source.number(2) for _ in range(num_words)]
    states = [source.number(4) for _ in range(num_lanes)]
    return Chunk(
        profile, bits, flags, tables_digest, index_hash, num_symbols, words, states, source.take(num_side)
    )


def hash_of_index(index: Sequence[int]) -> int:
    return crc32c(b"".join(i.to_bytes(2, "little") for i in index))


def expected_cost(index: Sequence[int], tables: Sequence[Table]) -> int:
    """Return the expected cost in 1/256 bit, above 2,047 symbols from every (n // 1024)th."""
    entropy = [table.entropy_256() for table in tables]
    taken = index[:: max(1, len(index) // 1024)]
    return sum(entropy[i] for i in taken) * len(index) // len(taken) if taken else 0


def split(index: Sequence[int], tables: Sequence[Table], chunk_bytes: int) -> Iterator[slice]:
    """Yield the chunks of a payload: equal numbers of symbols, by expected bytes."""
    target = 2048 * chunk_bytes
    num_chunks = max(1, (expected_cost(index, tables) + target // 2) // target)
    if num_chunks > 4:
        num_chunks = (num_chunks + 2) // 4 * 4
    each = -(-len(index) // num_chunks)
    each = min(max((each + 31) // 32 * 32, 32), 2**22)
    for first in range(0, max(1, len(index)), each):
        yield slice(first, first + each)


# ---- Payloads ----


def encode(
    symbols: Sequence[int],
    index: Sequence[int],
    tables: Tables,
    *,
    check: bool = True,
    hash_index: bool = False,
    chunk_bytes: int = 1 << 18,
    state_payload: bool = False,
) -> bytes:
    """As `narrows.entropy.encode`; `state_payload` writes the variant that readers accept as well."""
    symbols, index = [int(s) for s in symbols], [int(i) for i in index]
    if len(symbols) != len(index):
        raise ValueError("symbols and index differ in length")
    if any(not 0 <= i < len(tables) for i in index):
        raise ValueError("an index names no table")
    plain = tables_of(tables)
    flags = (CHECK if check else 0) | (INDEX_HASH if hash_index else 0)
    out = b""
    for part in split(index, plain, chunk_bytes):
        part_symbols, part_index = symbols[part], index[part]
        common = (digest(tables), hash_of_index(part_index), len(part_symbols))
        words, states, side, lane_bits = encode_rans(part_symbols, part_index, plain, state_payload)
        more = lane_bits | (SIDE if side else 0) | (STATE_PAYLOAD if state_payload else 0)
        coded = Chunk(RANS, tables.bits, flags | more, *common, words, states, side).to_bytes()
        width = next(
            w for w in (1, 2, 4) if all(-(1 << 8 * w - 1) <= s < 1 << 8 * w - 1 for s in symbols[part])
        )
        data = b"".join(s.to_bytes(width, "little", signed=True) for s in part_symbols)
        stored = Chunk(STORED, width, flags, *common, [], [], data).to_bytes()
        out += stored if len(stored) < len(coded) else coded
    return out + (crc32c(out).to_bytes(4, "little") if check else b"")


def read_payload(payload: bytes, num_symbols: int, tables: Tables, check: bool) -> list[Chunk]:
    """Read the chunks of a payload that must hold `num_symbols`, checksum verified."""
    payload = bytes(payload)
    if len(payload) < 3:
        raise TruncatedStream("the payload ends early")
    checked = bool(payload[2] & CHECK)
    if checked and len(payload) < 7:
        raise TruncatedStream("the payload ends early")
    source = _Bytes(payload[:-4] if checked else payload)
    chunks = [read_chunk(source)]
    try:
        while source.at < len(source.data):
            chunks.append(read_chunk(source))
    except UnsupportedStream as error:
        raise CorruptStream("what follows a chunk is none") from error
    if any(bool(chunk.flags & CHECK) != checked for chunk in chunks):
        raise CorruptStream("chunks disagree about the checksum")
    if len(chunks) > 1 and any(chunk.num_symbols == 0 for chunk in chunks):
        raise CorruptStream("an empty chunk beside others")
    if check and not checked:
        raise CorruptStream("the payload has no checksum")
    if check and crc32c(source.data) != int.from_bytes(payload[-4:], "little"):
        raise CorruptStream("checksum differs")
    if sum(chunk.num_symbols for chunk in chunks) != num_symbols:
        raise CorruptStream("the payload holds another number of symbols than there are indexes")
    if any(chunk.tables_digest != digest(tables) for chunk in chunks):
        raise CorruptStream("tables differ")
    return chunks


def decode(payload: bytes, index: Sequence[int], tables: Tables, *, check: bool = True) -> list[int]:
    """As `narrows.entropy.decode`."""
    index = [int(i) for i in index]
    if any(not 0 <= i < len(tables) for i in index):
        raise ValueError("an index names no table")
    plain = tables_of(tables)
    symbols: list[int] = []
    for chunk in read_payload(payload, len(index), tables, check):
        which = index[len(symbols) : len(symbols) + chunk.num_symbols]
        if chunk.flags & INDEX_HASH and hash_of_index(which) != chunk.index_hash:
            raise CorruptStream("indexes differ")
        if chunk.profile == RANS:
            symbols += decode_rans(chunk, which, plain)
        elif chunk.profile == STORED:
            stored = _Bytes(chunk.side)
            half = 1 << 8 * chunk.bits - 1
            symbols += [(stored.number(chunk.bits) ^ half) - half for _ in which]
        else:
            raise CorruptStream("the payload was coded with Adaptive tables")
    return symbols


# ---- rANS, 32-bit states and 16-bit words, interleaved ----


def encode_rans(
    symbols: Sequence[int], index: Sequence[int], tables: Sequence[Table], state_payload: bool = False
) -> tuple[list[int], list[int], bytes, int]:
    """Return words, states, side stream and log2 of the number of lanes."""
    side = BitWriter()
    for symbol, i in zip(symbols, index, strict=True):
        table = tables[i]
        token, rest = table.token(symbol)
        if token == 0:
            side.put_exp_golomb(rest >> table.slot_shift, table.shift - table.slot_shift + 2)
        else:
            side.put(rest >> table.slot_shift, table.shift - table.slot_shift)

    lane_bits = min(5, max(1, expected_cost(index, tables) // (128 * 2048)).bit_length() - 1)
    num_lanes = 1 << lane_bits
    states = [LOW] * num_lanes
    side_bytes = side.to_bytes()
    if state_payload:
        data = side_bytes.ljust(2 * num_lanes, b"\0")
        states = [LOW + int.from_bytes(data[2 * lane : 2 * lane + 2], "little") for lane in range(num_lanes)]
        side_bytes = data[2 * num_lanes :]

    # From the last group of num_lanes symbols to the first, each group's lanes upward: the decoder goes back.
    words = []
    for base in reversed(range(0, len(symbols), num_lanes)):
        for lane in range(min(num_lanes, len(symbols) - base)):
            table = tables[index[base + lane]]
            token, rest = table.token(symbols[base + lane])
            start, frequency = table.slots(token)
            low = rest & ((1 << table.slot_shift) - 1)
            g = frequency >> table.slot_shift  # each of 2^slot_shift values owns every 2^slot_shift-th slot
            x = states[lane]
            if x >= g << (32 - table.bits):
                words.append(x & 0xFFFF)
                x >>= 16
            states[lane] = (x // g << table.bits) + start + (x % g << table.slot_shift) + low
    return words, states, side_bytes, lane_bits


def decode_rans(chunk: Chunk, index: Sequence[int], tables: Sequence[Table]) -> list[int]:
    """Return the symbols of one chunk."""
    words, states, num_lanes = list(chunk.words), list(chunk.states), len(chunk.states)
    if any(state < LOW for state in states):
        raise CorruptStream("a lane's state is out of range")
    found: list[tuple[Table, int, int]] = []
    for base in range(0, len(index), num_lanes):
        group = index[base : base + num_lanes]
        for lane, i in enumerate(group):
            table = tables[i]
            slot = states[lane] & ((1 << table.bits) - 1)
            token = table.owner(slot)
            start, frequency = table.slots(token)
            within = slot - start
            found.append((table, token, within & ((1 << table.slot_shift) - 1)))
            states[lane] = (frequency >> table.slot_shift) * (states[lane] >> table.bits) + (
                within >> table.slot_shift
            )
        for lane in reversed(range(len(group))):
            if states[lane] < LOW:
                if not words:
                    raise CorruptStream("the words run out")
                states[lane] = states[lane] << 16 | words.pop()
    if words:
        raise CorruptStream("words are left over")

    carried = b""
    if chunk.flags & STATE_PAYLOAD:
        if any(state >= 2 * LOW for state in states):
            raise CorruptStream("a lane ends in a wrong state")
        carried = b"".join((state - LOW).to_bytes(2, "little") for state in states)
    elif any(state != LOW for state in states):
        raise CorruptStream("a lane ends in a wrong state")
    side = BitReader(carried + chunk.side)
    symbols = []
    for table, token, low in found:
        raw = table.shift - table.slot_shift
        high = side.get_exp_golomb(raw + 2) if token == 0 else side.get(raw)
        symbols.append(table.symbol(token, high << table.slot_shift | low))
    if chunk.side and (side.at + 7) // 8 != len(side.data):
        raise CorruptStream("the side stream is not used up")
    if not carried and not chunk.side and side.data:
        raise CorruptStream("the side stream is not used up")
    if side.value >> side.at:
        raise CorruptStream("the side stream is not used up")
    return symbols
