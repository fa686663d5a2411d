"""A plain decoder of `speech` and `music` packets, written from docs/format.md: slow, to be read.

Integers and coefficients are exact; transforms and resampling are floating point, so that samples come within
a few units of the last place of what the fixed-point decoder gives. Only the range coder's twin is imported.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from narrows.entropy.reference_range import RangeDecoder

RATES_HZ = (16_000, 24_000, 44_100, 48_000)
LOW = (0, 4, 8, 12, 16, 20, 25, 30, 36, 43, 51, 61, 73, 88, 106, 130)
HIGH = (
    0, 4, 8, 12, 16, 20, 24, 30, 36, 44, 52, 62, 74, 88, 106, 128, 154, 186, 224, 270, 330, 410, 520, 680
)  # fmt: skip
EDGES = {
    16_000: (*LOW, 160),
    24_000: (*LOW, 160, 176, 194, 216, 240),
    44_100: (*HIGH, 882),
    48_000: (*HIGH, 960),
}  # fmt: skip
TRANSFORMS = {16_000: 2, 24_000: 2, 44_100: 1, 48_000: 1}
PARTS = {16_000: 0, 24_000: 0, 44_100: 7, 48_000: 8}
LEVEL_CONTEXTS = (48, 32, 91, 91, 170, 192)
BAND_CONTEXTS = (48, 192, 80, 81)
COEFFICIENT_CONTEXTS = (64, 64, 144, 144, 192, 384, 243, 97, 243)
CLASS_STARTS = (0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 23, 36)
SILENT, TRANSIENT, STEREO, FULL, ZERO, SIGN, MORE = 0, 3, 5, 8, 16, 17, 18


def toward_zero(a: int, b: int) -> int:
    return -(-a // b) if a < 0 else a // b


def within(x: int, low: int, high: int) -> int:
    return min(max(x, low), high)


def clamp(x: int, n: int) -> int:
    return within(x, -n, n) + n


def log2(n: int) -> int:
    exponent = n.bit_length() - 1
    leading = n << 8 >> exponent if exponent >= 8 else n << 8 - exponent
    return 256 * exponent + math.floor(256 * math.log2(leading / 256))


@cache
def exp2(x: int) -> int:
    """16 times 2^(x / 256), rounded down: by repeated square roots of 2, in 1/2^256."""
    value, root = 16 << x // 256 + 256, 2 << 256
    for bit in range(7, -1, -1):
        root = math.isqrt(root << 256)
        if x >> bit & 1:
            value = value * root >> 256
    return value >> 256


@cache
def probability(logit: int) -> int:
    """`squash`: of a 1, in 1/2^16."""
    x = within(logit, -2815, 2815)
    return within(round(65536 / (1 + math.exp(-x / 256))), 1, 65535)


def count_class(n: int) -> int:
    return sum(n >= start for start in CLASS_STARTS[1:])


def level_log(level: int) -> int:
    return 1792 + 192 * (level - 1) if level else 1600


class Decoder:
    """Packets of one stream, each pushed in its turn."""

    def __init__(self, params: bytes, channels: int, arrays: dict[str, Any]) -> None:
        self.rate_hz = RATES_HZ[params[0]]
        self.packet_frames = params[1]
        self.step = int.from_bytes(params[2:4], "little")
        self.varying = params[4]
        self.gamma, self.fill, self.floor = params[5:8]
        self.channels = channels
        self.arrays = {name: array.tolist() for name, array in arrays.items()}
        self.edges = EDGES[self.rate_hz]
        self.bands = len(self.edges) - 1
        self.size, self.transforms = self.edges[-1], TRANSFORMS[self.rate_hz]
        self.parts = PARTS[self.rate_hz]
        self.frames = 0
        self.left = np.zeros((channels, self.size // 2))  # mixed left halves of the block begun
        self.places = [self.place(i) for i in range(self.size)]

    def width(self, b: int) -> int:
        return self.edges[b + 1] - self.edges[b]

    def place(self, i: int) -> tuple[int, int]:
        """The band n whose center is at or below bin i, and how far i is on the way to the next, in 1/256."""
        center = [self.edges[b] + self.edges[b + 1] - 1 for b in range(self.bands)]
        n = max((b for b in range(self.bands - 1) if center[b] <= 2 * i), default=0)
        return n, within(toward_zero((2 * i - center[n]) * 256, center[n + 1] - center[n]), 0, 255)

    # ---- decisions

    def flag(self, number: int) -> int:
        return self.coder.decode_bit(probability(self.arrays["flags"][number]))

    def decide(
        self, name: str, sizes: tuple[int, ...], depth: int, which: int, contexts: list[int], j: int
    ) -> int:
        at, logit = which * sum(sizes) * depth, 0
        for size, context in zip(sizes, contexts, strict=True):
            assert 0 <= context < size
            logit += self.arrays[name][at + context * depth + j]
            at += size * depth
        return self.coder.decode_bit(probability(logit))

    # ---- packets

    def push(self, payload: bytes) -> Any:
        """Samples [time, channels] at the rate inside, in 24-bit units, unrounded; the end is not cut."""
        self.coder = RangeDecoder(payload)
        count = self.packet_frames
        if self.packet_frames > 1 and not self.flag(FULL):
            count = self.coder.decode_raw(8)
        self.offset = self.read_offset() if self.varying else 0
        groups = [range(c, min(c + 2, self.channels)) for c in range(0, self.channels, 2)]
        before: list[dict[str, Any] | None] = [None] * len(groups)
        blocks = []
        for _ in range(count):
            block = np.zeros((self.transforms * self.size, self.channels))
            for g, group in enumerate(groups):
                before[g] = frame = self.read_frame(len(group), before[g])
                spectra = [self.dequantized(frame, c, group[c]) for c in range(len(group))]
                if len(group) == 2:
                    self.unmix(frame, spectra)
                for c, spectrum in zip(group, spectra, strict=True):
                    block[:, c] = self.synthesized(spectrum, frame["transient"], c)
            blocks.append(block[self.size :] if self.frames == 0 else block)
            self.frames += 1
        assert self.coder.at <= len(payload) + 4
        assert not any(payload[self.coder.at :])
        return np.concatenate(blocks)

    def read_offset(self) -> int:
        if self.flag(ZERO):
            return 0
        negative, distance = self.flag(SIGN), 1
        while distance < 128 and self.flag(MORE + min(distance - 1, 29)):
            distance += 1
        return -distance if negative else distance

    def read_frame(self, channels: int, before: dict[str, Any] | None) -> dict[str, Any]:
        nothing = [[0] * self.size for _ in range(self.transforms)]
        frame: dict[str, Any] = {
            "silent": self.flag(SILENT + (0 if before is None else 1 + before["silent"])),
            "transient": 0,
            "stereo": [0] * self.bands,
            "levels": [[0] * self.bands for _ in range(channels)],
            "q": [[list(row) for row in nothing] for _ in range(channels)],
        }
        if frame["silent"]:
            return frame
        frame["transient"] = self.flag(TRANSIENT) if self.parts else 0
        if channels == 2:
            for b in range(self.bands):
                frame["stereo"][b] = self.flag(STEREO + (1 + frame["stereo"][b - 1] if b else 0))
        for c in range(channels):
            self.read_levels(frame, c, before)
        for c in range(channels):
            self.read_coefficients(frame, c, before)
        return frame

    def read_levels(self, frame: dict[str, Any], c: int, frame_before: dict[str, Any] | None) -> None:
        level = frame["levels"][c]
        before = frame_before["levels"][c] if frame_before else None
        for b in range(self.bands):
            one = level[b - 1] if b > 0 else 12
            two = level[b - 2] if b > 1 else one
            three = level[b - 3] if b > 2 else two
            predicted, time, other = one, 0, 0
            if before:
                predicted = toward_zero(3 * before[b] + one - before[b - 1] + 1, 3) if b else before[0]
                predicted = within(predicted, 0, 31)
                beyond = before[b + 1] - before[b] if b + 1 < self.bands else 0
                time = 7 * clamp(before[b] - predicted, 6) + clamp(beyond, 3)
            if c:
                f = frame["levels"][0]
                other = 1 + 13 * clamp(f[b] - f[b - 1] if b else 0, 6) + clamp(f[b] - predicted, 6)
            contexts = [
                2 * b + c, one, 7 * clamp(one - two, 6) + clamp(two - three, 3), time, other, 8 * b + one // 4
            ]  # fmt: skip
            level[b] = self.read_level(predicted, before is not None, contexts)

    def read_level(self, predicted: int, which: bool, contexts: list[int]) -> int:
        def decide(j: int) -> int:
            return self.decide("envelope", LEVEL_CONTEXTS, 16, which, contexts, j)

        if decide(0):
            return predicted
        above = predicted == 0 or (predicted < 31 and decide(1) == 1)
        room, first = (31 - predicted, 2) if above else (predicted, 9)
        distance = 1
        while distance < room and decide(first + min(distance - 1, 6)):
            distance += 1
        return predicted + distance if above else predicted - distance

    def step_log(self, b: int, level: int) -> int:
        log = self.step + 32 * self.offset + self.arrays["steps"][b] + 3 * self.gamma * (level - 1)
        return within(log, 1536, 7680)

    def smooth(self, level: list[int], i: int, b: int) -> int:
        """L between band centers, less the step of band b."""
        n, weight = self.places[i]
        low = level_log(level[n])
        return low + ((level_log(level[n + 1]) - low) * weight >> 8) - self.step_log(b, level[b])

    def read_coefficients(self, frame: dict[str, Any], c: int, before: dict[str, Any] | None) -> None:
        level = frame["levels"][c]
        over = [level_log(level[b]) - self.step_log(b, level[b]) for b in range(self.bands)]
        energy = [
            exp2(2 * over[b] + 1024) * self.width(b) * self.transforms if 2 * over[b] + 1024 >= 0 else 0
            for b in range(self.bands)
        ]
        parts = self.parts if frame["transient"] else 0
        for t in range(self.transforms):
            own = frame["q"][c][t]
            earlier = None
            if t:
                earlier = frame["q"][c][t - 1]
            elif before and not before["transient"]:
                earlier = before["q"][c][-1]
            other = frame["q"][0][t] if c else None
            which = 2 if parts else 1 if earlier else 0
            below = 0
            for b in range(self.bands):
                beside = 9 * clamp(level[b - 1] - level[b] if b else 0, 4)
                beside += clamp(level[b + 1] - level[b] if b + 1 < self.bands else 0, 4)
                possible = 2 * over[b] + log2(self.width(b) * self.transforms) >= -570 and level[b]
                contexts = [
                    within(2 * over[b] + log2(self.width(b)) + 640 >> 6, 0, 47),
                    4 * (2 * b + t) + below,
                    5 * (4 * (0 if parts else self.filled(earlier, b)) + below)
                    + (1 + self.filled(other, b) if other else 0),
                    beside,
                ]
                below = 0
                if possible and self.decide("bands", BAND_CONTEXTS, 1, which, contexts, 0):
                    left = self.width(b) * (self.transforms - t)
                    nearby = (own, own if parts else earlier, other, parts)
                    energy[b] = self.read_band(level, over[b], b, t, which, beside, energy[b], left, nearby)
                    below = self.filled(own, b)

    def filled(self, q: list[int] | None, b: int) -> int:
        return min(3, sum(v != 0 for v in q[self.edges[b] : self.edges[b + 1]])) if q else 0

    def read_band(
        self, level: list[int], over: int, b: int, t: int, which: int, beside: int, energy: int, left: int,
        nearby: tuple[list[int], list[int] | None, list[int] | None, int],
    ) -> int:  # fmt: skip
        own, earlier, other, parts = nearby
        for i in range(self.edges[b], self.edges[b + 1]):
            smooth = self.smooth(level, i, b)
            fine = within(smooth + 1024 >> 6, 0, 63)
            coarse = within(toward_zero(smooth + 768, 192), 0, 15)
            shift = within((smooth >> 8) - 2, 0, 12)

            def m(row: list[int] | None, at: int, shift: int = shift) -> int:
                inside = row is not None and 0 <= at < self.size
                return min(abs(row[at]), 65535) >> shift if inside else 0  # type: ignore[index]

            a1, a2, a3, a4 = (m(own, i - k) for k in range(1, 5))
            p = {k: m(earlier, i - parts + k) for k in range(-2, 3)}
            near, past = 2 * a1 + a2, 2 * p[0] + p[1] + p[-1]
            spare = max(0, (log2(energy) if energy else 0) - log2(left))
            around = 2 * m(other, i) + m(other, i + 1) + m(other, i - 1)
            digits = [min(v, 2) for v in (a1, a2, p[0], p[-1], p[1])]
            contexts = [
                fine,
                min(spare >> 7, 63),
                12 * count_class(near) + count_class(past),
                12 * count_class(a1 + a2 + a3 + a4) + count_class(sum(p.values())),
                12 * coarse + count_class(near + past),
                8 * (2 * b + t) + coarse // 2,
                3 * beside + 3 * (i - self.edges[b]) // self.width(b),
                1 + 8 * count_class(around) + coarse // 2 if other else 0,
                sum(digit * 3 ** (4 - k) for k, digit in enumerate(digits)),
            ]
            own[i] = self.read_value(which, contexts, shift)
            energy = max(0, energy - 256 * own[i] ** 2)
            left -= 1
        return energy

    def read_value(self, which: int, contexts: list[int], shift: int) -> int:
        value = 0
        while value < 15 and self.decide("coefficients", COEFFICIENT_CONTEXTS, 16, which, contexts, value):
            value += 1
        if value == 15:
            bits = 1
            while self.coder.decode_raw(1):
                bits += 1
            assert bits <= 24
            value += (1 << bits) + self.coder.decode_raw(bits) - 2
        value = value << shift | self.coder.decode_raw(shift)
        assert value < 1 << 24
        return -value if value and self.coder.decode_raw(1) else value

    # ---- samples

    def dequantized(self, frame: dict[str, Any], c: int, channel: int) -> Any:
        """Coefficients [transform][size] of a channel, zeros filled."""
        level, out = frame["levels"][c], np.zeros((self.transforms, self.size))
        x = ((self.frames & 0xFFFF) * 0x9E3779B1 + channel * 0x85EBCA6B + 1) % 2**32
        x ^= x >> 15
        x = x * 0x2C1B3C6D % 2**32
        x ^= x >> 12
        for b in range(self.bands):
            step_16 = exp2(self.step_log(b, level[b]))
            places = [(t, i) for t in range(self.transforms) for i in range(*self.edges[b : b + 2])]
            found = 0
            for t, i in places:
                q = frame["q"][c][t][i]
                if q:
                    value = abs(q) * step_16 - (step_16 * 13 >> 8) + 8 >> 4
                    out[t, i] = value if q > 0 else -value
                    found += value * value >> 8
            zeros = [(t, i) for t, i in places if not frame["q"][c][t][i]]
            if not zeros or not level[b]:
                continue
            level_of_b, step_of_b = level_log(level[b]), self.step_log(b, level[b])
            s = {}
            for _, i in zeros:
                s[i] = exp2(within(self.smooth(level, i, b) + step_of_b - level_of_b, -512, 512) + 2048)
            rms = exp2(level_of_b) >> 4
            full = (rms * rms >> 8) * self.width(b) * self.transforms
            lacking = max(0, full - found)
            weight = sum(s[i] ** 2 for _, i in zeros) >> 16
            e = math.isqrt(min((lacking << 8) // weight, 1 << 54) << 8)
            r = (lacking << 6) // full
            share = self.fill + toward_zero((self.floor - self.fill) * r * r, 4096)
            if not e:
                continue
            for t, i in zeros:
                x = (1_664_525 * x + 1_013_904_223) % 2**32
                value = min(e * s[i] >> 12, step_16 >> 5) * share >> 6
                out[t, i] = -value if x >> 31 else value
        return out

    def unmix(self, frame: dict[str, Any], spectra: list[Any]) -> None:
        for b in range(self.bands):
            if frame["stereo"][b]:
                part = np.s_[:, self.edges[b] : self.edges[b + 1]]
                middle, side = spectra[0][part].copy(), spectra[1][part].copy()
                spectra[0][part] = (middle + side) / math.sqrt(2)
                spectra[1][part] = (middle - side) / math.sqrt(2)

    def synthesized(self, spectrum: Any, transient: int, channel: int) -> Any:
        """The blocks that a frame completes."""
        blocks = []
        half = self.size // 2
        for row in spectrum:
            if transient:
                parts = [dct4(row[s :: self.parts]) for s in range(self.parts)]
                folded = np.concatenate(parts)
                length = self.size // self.parts
                for edge in range(length, self.size, length):
                    around = np.s_[edge - length // 2 : edge + length // 2]
                    folded[around] = unfolded(folded[around])
            else:
                folded = dct4(row)
            blocks.append(unfolded(np.concatenate([self.left[channel], folded[:half]])))
            self.left[channel] = folded[half:]
        return np.concatenate(blocks)


@cache
def cosines(size: int) -> Any:
    n = np.arange(size) + 0.5
    return math.sqrt(2 / size) * np.cos(np.pi / size * np.outer(n, n))


def dct4(values: Any) -> Any:
    """The orthonormal DCT-IV, its own inverse."""
    return cosines(len(values)) @ values


def unfolded(block: Any) -> Any:
    """A block mixed about its middle, taken apart again."""
    size = len(block)
    angle = np.pi * (size + 2 * np.arange(size // 2) + 1) / (4 * size)
    c, s = np.sin(angle), np.cos(angle)
    left, right = block[: size // 2][::-1], block[size // 2 :]
    return np.concatenate([(c * left + s * right)[::-1], c * right - s * left])


def resampled(samples: Any, from_hz: int, to_hz: int, count: int) -> Any:
    """`count` samples [time, channels] at another rate, from a signal that is silent outside."""
    crossings, points = 32, 256
    ratio = min(1.0, to_hz / from_hz)
    t = np.arange(crossings * points + 1) / points
    angle = np.pi * (t / crossings + 1)
    window = sum(
        a * np.cos(n * angle) * sign
        for n, (a, sign) in enumerate(((0.35875, 1), (0.48829, -1), (0.14128, 1), (0.01168, -1)))
    )
    kernel = np.sinc(0.97 * t) * window
    kernel[-1] = 0
    reach = math.ceil(crossings / ratio)
    out = np.zeros((count, samples.shape[1]))
    for m in range(count):
        position, phase = divmod(m * from_hz, to_hz)
        first = position - reach + 1
        distance = np.abs(np.arange(first, first + 2 * reach) - position - phase / to_hz) * ratio
        taps = np.interp(distance, t, kernel, right=0)
        inside = np.arange(first, first + 2 * reach)
        known = (inside >= 0) & (inside < len(samples))
        out[m] = (taps / taps.sum())[known] @ samples[inside[known]]
    return out
