"""A plain decoder of `wave`, modes lossy and lossless, written from docs/format.md alone: slow, to be read.

It takes nothing from the core, so that the specification, and not the code, says what a stream means.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from narrows.contracts import Chunk, Header, Kind

HL, LH, HH, LL = range(4)
_NORMS = {
    HL: (4142, 5406, 7487, 10098, 13428, 17781),
    LH: (4142, 5406, 7487, 10098, 13428, 17781),
    HH: (3224, 3961, 5629, 7697, 10278, 13625),
    LL: (5322, 7378, 9959, 13247, 17543, 23206),
}
_QUARTERS = (65536, 77936, 92682, 110218)
_PERMUTATIONS = ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (1, 0, 2), (2, 1, 0))
_NEAR = ((0, 0), (1, 0), (-1, 0), (0, -1), (0, 1))


def _log2_256(value: int) -> int:
    place = value.bit_length() - 1
    return 256 * place + math.floor(256 * math.log2(1 + ((value << 8 >> place) & 255) / 256) + 1e-9)


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (value >> 31 << 32)


def _magnitude(residual: int) -> int:
    a = abs(residual)
    return 127 if a >= 2048 else min(127, (12 * _log2_256(a + 1) + 128) >> 8)


class _RangeDecoder:
    def __init__(self, data: bytes) -> None:
        self.data, self.position, self.padded = data, 0, 0
        self.code, self.range = 0, 2**32 - 1
        for _ in range(4):
            self.code = self.code << 8 | self._next()

    def _next(self) -> int:
        if self.position == len(self.data):
            self.padded += 1
            return 0
        self.position += 1
        return self.data[self.position - 1]

    def _fill(self) -> None:
        while self.range < 1 << 24:
            self.code, self.range = self.code << 8 | self._next(), self.range << 8

    def target(self, bits: int) -> int:
        return min(self.code // (self.range >> bits), (1 << bits) - 1)

    def take(self, start: int, size: int, bits: int) -> None:
        step = self.range >> bits
        self.code -= step * start
        self.range = self.range - step * start if start + size == 1 << bits else step * size
        self._fill()

    def bit(self, p1: int) -> int:
        split = self.range * p1 >> 16
        bit = self.code < split
        self.range = split if bit else self.range - split
        self.code -= 0 if bit else split
        self._fill()
        return int(bit)

    def raw(self, count: int) -> int:
        value = 0
        while count:
            now = min(count, 16)
            target = self.target(now)
            self.take(target, 1, now)
            value, count = value << now | target, count - now
        return value

    def finished(self) -> bool:
        return self.position == len(self.data) and self.padded <= 4


class _Bit:
    def __init__(self) -> None:
        self.fast = self.slow = 1 << 15
        self.count = 0

    def decode(self, source: _RangeDecoder) -> int:
        bit = source.bit((self.fast + self.slow) >> 1)
        n = (self.count + 1).bit_length()
        self.count = min(self.count + 1, 255)
        for name, rate in (("fast", min(n, 4)), ("slow", min(n, 7))):
            p = getattr(self, name)
            setattr(self, name, p + ((65536 - p) >> rate) if bit else p - (p >> rate))
        return bit


class _Table:
    """Adaptive, of 17 symbols."""

    def __init__(self, frequencies: Sequence[int], weight: int, cap: int) -> None:
        self.bounds = [0]
        for frequency in frequencies:
            self.bounds.append(self.bounds[-1] + 2 * frequency)
        self.count, self.cap = weight, cap

    def copy(self) -> _Table:
        table = _Table((), self.count, self.cap)
        table.bounds = self.bounds.copy()
        return table

    def decode(self, source: _RangeDecoder) -> int:
        b, target = self.bounds, source.target(15)
        symbol = max(i for i in range(17) if b[i] >> 1 <= target)
        source.take(b[symbol] >> 1, (b[symbol + 1] >> 1) - (b[symbol] >> 1), 15)
        shift = min(self.count.bit_length() - 1, self.cap)
        dither = (40503 * self.count) % 65536 >> (16 - shift)
        self.count = self.count + 1 if self.count < 65535 else 1 << 15
        for j in range(1, 17):
            if j > symbol:
                b[j] += min(65536 - 2 * (17 - j) - b[j] + dither, 65535) >> shift
            else:
                b[j] -= min(b[j] - 2 * j + dither, 65535) >> shift
        return symbol


def _uniform() -> _Table:
    return _Table([1936] + [1927] * 16, 16, 7)


def _first_table(costs: Iterable[int]) -> _Table:
    frequencies = [max(1, math.floor(2 ** (15 - c % 16 / 16) + 0.5) >> (c // 16)) for c in map(int, costs)]
    frequencies[frequencies.index(max(frequencies))] += 32768 - sum(frequencies)
    return _Table(frequencies, 100, 9)


class _Band:
    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.values = np.zeros((height, width), object)
        self.magnitudes = np.zeros((height, width), np.int64)


class Decoder:
    """Decodes the chunks of one stream in order; `weights` are the arrays of the weights file."""

    def __init__(self, header: Header, weights: dict[str, np.ndarray]) -> None:
        params = header.params
        self.width, self.height, self.bit_depth = header.width, header.height, header.bit_depth
        self.colors = 3 if header.channels >= 3 else 1
        self.lossless, self.levels = params[0] == 1, params[1]
        self.transform, self.step, self.finer, self.map = 0, 0, (0, 0), False
        if self.lossless:
            self.transform = params[2]
        else:
            self.map, self.finer = bool(params[2] & 1), (params[2] >> 2 & 7, params[2] >> 5)
            self.step = int.from_bytes(params[3:6], "little")
            self.matrix = np.frombuffer(params[6:], "<i2").astype(np.int64).reshape(-1, 3)
        prefix = "lossless." if self.lossless else "lossy."
        self.weights = {
            key.removeprefix(prefix): array.astype(np.int64)
            for key, array in weights.items()
            if key.startswith(prefix)
        }
        self.first_tables = [[_first_table(costs) for costs in net] for net in self.weights["costs"]]
        self.num_strips = -(-self.height // 1024)
        self.blocks: list[list[int]] = []
        self.smooth: list[_Band] = []
        self.details: dict[tuple[int, int, int], _Band] = {}
        self.pictures: list[np.ndarray] = []  # LL of the finest level so far, of each channel

    def add(self, chunk: Chunk) -> None:
        """Decode one chunk of colors."""
        source = _RangeDecoder(chunk.payload)
        self.tables = [[table.copy() for table in net] for net in self.first_tables]
        self.exponents = [[_uniform() for _ in range(3)] for _ in range(7)]
        self.bits = [[_Bit() for _ in range(16)] for _ in range(7)]
        if chunk.kind == Kind.DATA:
            self._first(source)
        else:
            self._strip(source, 4 - chunk.layer, chunk.first // 1024)
        assert source.finished()

    def _first(self, source: _RangeDecoder) -> None:
        if self.map:
            self._block_map(source)
        for channel in range(self.colors):
            self.smooth.append(_Band(*self._size(self.levels, LL)))
            self._band(source, self.levels, channel, LL, 0, self.smooth[-1].height)
        for level in range(self.levels, 3, -1):
            self._allocate(level)
            for channel in range(self.colors):
                for o in (HL, LH, HH):
                    self._band(source, level, channel, o, 0, self._size(level, o)[1])
        self.pictures = [self._coefficients(band, self.levels, LL) for band in self.smooth]
        for level in range(self.levels, 3, -1):
            self._synthesize(level)

    def _strip(self, source: _RangeDecoder, level: int, strip: int) -> None:
        if strip == 0:
            self._allocate(level)
        for channel in range(self.colors):
            for o in (HL, LH, HH):
                height = self._size(level, o)[1]
                begin, end = (min(1024 * s >> level, height) for s in (strip, strip + 1))
                self._band(source, level, channel, o, begin, height if strip + 1 == self.num_strips else end)
        if strip + 1 == self.num_strips:
            self._synthesize(level)

    def _block_map(self, source: _RangeDecoder) -> None:
        table = _uniform()
        for y in range(-(-self.height // 32)):
            self.blocks.append(row := [])
            for x in range(-(-self.width // 32)):
                above = self.blocks[y - 1][x] if y else None
                left = row[x - 1] if x else 0 if above is None else above
                token = table.decode(source)
                a = token if token < 16 else 16 + source.raw(5)
                row.append(((left + (left if above is None else above)) >> 1) + self._sign(source, a))

    @staticmethod
    def _sign(source: _RangeDecoder, a: int) -> int:
        return -a if a and source.raw(1) else a

    def _size(self, level: int, o: int) -> tuple[int, int]:
        def half(size: int, low: bool) -> int:
            return -(-size >> level) if low else -(-size >> (level - 1)) // 2

        return half(self.width, o in (LL, LH)), half(self.height, o in (LL, HL))

    def _allocate(self, level: int) -> None:
        for channel in range(self.colors):
            for o in (HL, LH, HH):
                self.details[level, channel, o] = _Band(*self._size(level, o))

    def _offset(self, level: int, o: int, x: int, y: int) -> int:
        offset = self.finer[level - 1] if level <= 2 and o != LL else 0
        if not self.blocks:
            return offset
        by, bx = min((y << level) >> 5, len(self.blocks) - 1), min((x << level) >> 5, len(self.blocks[0]) - 1)
        return min(15, offset + self.blocks[by][bx])

    def _beyond(self, source: _RangeDecoder, level: int, channel: int) -> int:
        n = self.exponents[level][channel].decode(source)
        n = n if n < 16 else 16 + source.raw(5)
        if n == 0:
            return 0
        top = 2 | self.bits[level][min(n, 15)].decode(source)
        return (top << (n - 1) | source.raw(n - 1)) - 1

    def _residual(self, source: _RangeDecoder, table: _Table, level: int, channel: int) -> int:
        a = token = table.decode(source)
        if token == 16:
            a = (128 if self.lossless else 16) + self._beyond(source, level, channel)
        elif self.lossless and token >= 8:
            e = 3 + (token - 8) // 2
            top = self.bits[0][token].decode(source)
            a = 1 << e | (token & 1) << (e - 1) | top << (e - 2) | source.raw(e - 2)
        return self._sign(source, a)

    def _band(self, source: _RangeDecoder, level: int, channel: int, o: int, begin: int, end: int) -> None:
        own = self.smooth[channel] if o == LL else self.details[level, channel, o]
        detail = self.details.get
        siblings = [detail((level, channel, HL)) if o in (LH, HH) else None]
        siblings.append(detail((level, channel, LH)) if o == HH else None)
        for k in (0, 1):
            earlier = self.smooth[k] if o == LL and k < channel else detail((level, k, o))
            siblings.append(earlier if k < channel else None)
        parent = None if o == LL else detail((level + 1, channel, o))
        grandparent = None if o == LL else detail((level + 2, channel, o))

        def there(band: _Band | None, x: int, y: int) -> bool:
            return band is not None and 0 <= x < band.width and begin <= y < min(end, band.height)

        def near(band: _Band | None, x: int, y: int) -> int:
            return int(band.magnitudes[y, x]) if band is not None and there(band, x, y) else 0

        def coarse(band: _Band | None, x: int, y: int) -> int:
            inside = band is not None and 0 <= x < band.width and 0 <= y < band.height
            return int(band.magnitudes[y, x]) if band is not None and inside else 0

        def value(band: _Band, x: int, y: int) -> int:
            return int(band.values[y, x]) if there(band, x, y) else 0

        def inputs(x: int, y: int, offset: int) -> Iterable[int]:
            for dx, dy in ((0, -1), (-1, -1), (1, -1), (0, -2), (-2, -1), (2, -1), (-1, -2), (1, -2)):
                yield near(own, x + dx, y + dy)
            sx, sy = x % 2 * 2 - 1, y % 2 * 2 - 1
            for dx, dy in ((0, 0), (sx, 0), (0, sy), (sx, sy), (-sx, 0), (0, -sy)):
                yield coarse(parent, (x >> 1) + dx, (y >> 1) + dy)
            yield coarse(grandparent, x >> 2, y >> 2)
            for band in siblings:
                yield from (near(band, x + dx, y + dy) for dx, dy in _NEAR)
                yield (sum(near(band, x + dx, y + dy) for dx in (-1, 1) for dy in (-1, 1)) + 2) >> 2
            step = 0 if self.lossless else (10 * (_log2_256(self.step) - 1536) + 128) >> 8
            yield min(127, max(0, min(127, max(0, step)) + math.trunc(5 * offset / 2)))
            yield from (near(own, x - d, y) for d in (1, 2, 3, 4))

        def taps(x: int, y: int) -> Iterable[int]:
            for dx, dy in ((-1, 0), (-2, 0), (0, -1), (-1, -1), (1, -1), (0, -2)):
                yield value(own, x + dx, y + dy)
            low = self.pictures[channel]
            places = [(dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            for dx, dy in (*places, *(((0, -2), (0, 2)) if o == LH else ((-2, 0), (2, 0)))):
                yield low[np.clip(y + dy, 0, len(low) - 1), np.clip(x + dx, 0, low.shape[1] - 1)]
            for band in filter(None, siblings):
                for dx, dy in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)):
                    yield value(band, x + dx, y + dy)

        weights: list[int] = []
        if self.lossless and o != LL and level <= 3 and source.raw(1):
            count = 17 + 5 * sum(band is not None for band in siblings)
            weights = [self._sign(source, self._beyond(source, 0, 0)) for _ in range(count)]
        for y in range(begin, end):
            for x in range(own.width):
                found = np.fromiter(inputs(x, y, self._offset(level, o, x, y)), np.int64)
                table = self._table(4 * channel + o, level, found)
                prediction = 0
                if o == LL:
                    prediction = _median_edge(own.values, x, y)
                elif weights:
                    total = sum(w * t for w, t in zip(weights, taps(x, y), strict=True))
                    prediction = _signed(int(total) + 512) >> 10
                residual = self._residual(source, table, level, channel)
                own.values[y, x] = _signed(prediction + residual)
                own.magnitudes[y, x] = _magnitude(residual)

    def _table(self, net: int, level: int, inputs: np.ndarray) -> _Table:
        w = {name: array[net] for name, array in self.weights.items()}
        a = np.clip(((w["b1"][level - 1] + w["w1"] @ inputs) * w["m1"] + (1 << 15)) >> 16, 0, 127)
        a = np.clip(((w["b2"] + w["w2"] @ a) * w["m2"] + (1 << 14)) >> 15, 0, 127)
        u, v = ((w["b3"] + w["w3"] @ a) * w["m3"] + (1 << 17)) >> 18
        return self.tables[net][2 * int(np.clip(u, 0, 31)) + int(np.clip(v, 0, 1))]

    def _coefficients(self, band: _Band, level: int, o: int) -> np.ndarray:
        out = band.values.copy()
        if self.lossless:
            return out
        for y, x in np.ndindex(out.shape):
            i = self._offset(level, o, x, y) + 16
            step = ((self.step << 21) // _NORMS[o][level - 1] * _QUARTERS[i % 4]) >> (24 - i // 4)
            a = min((abs(out[y, x]) * min(max(step, 16), 1 << 31) + 128) >> 8, 2**30 - 1)
            out[y, x] = -a if out[y, x] < 0 else a
        return out

    def _synthesize(self, level: int) -> None:
        for channel in range(self.colors):
            hl, lh, hh = (self._coefficients(self.details[level, channel, o], level, o) for o in (HL, LH, HH))
            low = self._merge(self.pictures[channel].T, hl.T).T
            self.pictures[channel] = self._merge(low, self._merge(lh.T, hh.T).T)

    def _merge(self, even: np.ndarray, odd: np.ndarray) -> np.ndarray:
        """Undo one split along the first axis."""
        n = len(even) + len(odd)
        x = np.zeros((n, even.shape[1]), object)
        x[0::2], x[1::2] = even, odd
        if n == 1:
            return x

        def sides(i: int) -> np.ndarray:
            return x[abs(i - 1)] + x[i + 1 if i + 1 < n else n - 2]

        steps = ((0, 1817), (1, 3616), (0, -217), (1, -6497))
        for parity, k in ((0, 0), (1, 0)) if self.lossless else steps:
            for i in range(parity, n, 2):
                if not self.lossless:
                    by = -((k * sides(i) + 2048) >> 12)
                else:
                    by = sides(i) >> 1 if parity else -((sides(i) + 2) >> 2)
                x[i] = [_signed(value) for value in x[i] + by]
        return x

    def pixels(self) -> np.ndarray:
        """The colors [height, width, 1 or 3]."""
        y = [picture.astype(np.int64) for picture in self.pictures]
        depth, peak = self.bit_depth, (1 << self.bit_depth) - 1
        down = max(0, 13 - depth)
        if self.lossless:
            out = self._unlift(y)
        elif self.colors == 1:
            out = [((y[0] + (1 << 12) + (1 << down >> 1)) >> down) << max(0, depth - 13)]
        else:
            y = [np.clip(plane, -32768, 32767) for plane in y]
            sums = [sum(int(self.matrix[c][k]) * y[c] for c in range(3)) for k in range(3)]
            rounding = (1 << 26) + (1 << (13 + down))
            out = [((total + rounding) >> (14 + down)) << max(0, depth - 13) for total in sums]
        return np.clip(np.stack(out, axis=2), 0, peak)

    def _unlift(self, y: list[np.ndarray]) -> list[np.ndarray]:
        if self.colors == 1:
            return y
        a, b, c = y
        match self.transform % 4:
            case 1:
                b, c = b + a, c + a
            case 2:
                b, c = b + a + (c >> 1), c + a
            case 3:
                t = a - (c >> 1)
                green, blue = c + t, t - (b >> 1)
                a, b, c = blue + b, green, blue
        out = [a] * 3
        for place, plane in zip(_PERMUTATIONS[self.transform // 4], (a, b, c), strict=True):
            out[place] = plane
        return out


def _median_edge(values: np.ndarray, x: int, y: int) -> int:
    if x == y == 0:
        return 0
    w = values[y, x - 1] if x else values[y - 1, x]
    n = values[y - 1, x] if y else w
    nw = values[y - 1, x - 1] if x and y else w
    if nw >= max(w, n):
        return int(min(w, n))
    return int(max(w, n)) if nw <= min(w, n) else int(w + n - nw)
