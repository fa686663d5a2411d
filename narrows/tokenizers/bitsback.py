"""Pictures without loss by a variational auto-encoder and a stack: bits back (arXiv 1901.04866).

The latent is drawn with bits that lie on the stack, the picture is pushed given the latent, the latent by its
prior; who reads gets the drawn bits back. What a picture costs is then minus its evidence bound, not that
plus the latent's own precision. Everything that names a table runs in integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from narrows.entropy import Stack, Tables, scale_family
from narrows.entropy.distributions import ScaleFamily
from narrows.signals import Array
from narrows.tokenizers.image import LATENT_BITS, LEVELS, ImageTokenizer, Ints, bands_of, pixels_of
from narrows.transforms import packet

GRID = 1 << LATENT_BITS >> 2  # a quarter of the posterior's deviation, in 2^-6
_DEVIATION = 4  # of the posterior, in steps of the grid
_SCALE_BITS = 4
_OCTAVES = 16


@dataclass(frozen=True)
class Side:
    """What is sent of a picture beside the stack: its size, and scales and means that name its tables.

    `error_scales` are those of each color, by how busy the predicted picture is around a pixel.
    """

    height: int
    width: int
    latent_means: tuple[int, ...]
    latent_scales: tuple[int, ...]
    error_scales: tuple[tuple[int, ...], ...]

    @property
    def bits(self) -> int:
        """What this takes when each number has 16 bits."""
        return 16 * (2 + 2 * len(self.latent_means) + sum(map(len, self.error_scales)))


@cache
def posterior() -> Tables:
    """The table of a drawn latent about its mean, in steps of the grid: closed."""
    reach = np.arange(-6 * _DEVIATION, 6 * _DEVIATION + 1)
    # Binomial weights: nearly normal, and integers.
    weights = np.array([_binomial(256, 128 + int(k) * 2) for k in reach], np.float64)
    return Tables.from_pmf([weights / weights.sum()], [int(reach[0])], bits=16, escape=False)


def push(stack: Stack, tokenizer: ImageTokenizer, pixels: Array) -> Side:
    """Put uint8 `pixels` [height, width, 3] on the stack and return what belongs beside it.

    Raises TruncatedStream where the stack holds too few bits to draw a latent from.
    """
    mean = _mean(tokenizer, pixels)
    offset = stack.pop(np.zeros(mean.size, np.uint8), posterior())
    side, parts = _described(tokenizer, pixels, mean + offset.reshape(mean.shape))
    for symbols, index, tables in parts:
        stack.push(symbols, index, tables)
    return side


def pop(stack: Stack, tokenizer: ImageTokenizer, side: Side) -> Array:
    """Take off the picture that was pushed last; the stack is then what it was before."""
    grid = (len(side.latent_means), -(-side.height // 8), -(-side.width // 8))
    high = stack.pop(_latent_index(side, grid), _laplace().tables)
    low = stack.pop(_low_index(side, grid), _even())
    latent = (high << _column(_shifts(side))) + low + _column(side.latent_means)
    predicted = _decoded(tokenizer, latent, (side.height, side.width))
    error = stack.pop(_error_index(side, predicted), _laplace().tables)
    pixels: Array = (predicted + error).astype(np.uint8)
    mean = _mean(tokenizer, pixels)
    stack.push((latent - mean).reshape(-1), np.zeros(mean.size, np.uint8), posterior())
    return pixels


def bound_bits(tokenizer: ImageTokenizer, pixels: Array, *, seed: int = 0) -> tuple[float, float]:
    """Return the bits that a picture should cost with bits back, and what its latent's bits add without.

    By the tables themselves, at a latent drawn with NumPy: the first is minus the evidence bound.
    """
    frequency = np.diff(posterior().cdf[0].astype(np.int64))[1 : posterior().size[0]]
    count = _mean(tokenizer, pixels).size
    drawn = np.random.default_rng(seed).choice(len(frequency), count, p=frequency / frequency.sum())
    return table_bits(tokenizer, pixels, drawn + int(posterior().offset[0]))


def table_bits(tokenizer: ImageTokenizer, pixels: Array, offset: Array) -> tuple[float, float]:
    """Return what `bound_bits` does, for a latent that lies `offset` steps [numbers] from the mean."""
    mean = _mean(tokenizer, pixels)
    _, parts = _described(tokenizer, pixels, mean + offset.reshape(mean.shape))
    cost = sum(tables.cost_bits(symbols, index) for symbols, index, tables in parts)
    returned = posterior().cost_bits(offset, np.zeros(offset.size, np.uint8))
    return float(cost - returned), float(returned)


def draw(stack: Stack, tokenizer: ImageTokenizer, pixels: Array) -> Array:
    """Return how far from the mean the latent would lie that `push` draws, and leave the stack as it was."""
    index = np.zeros(_mean(tokenizer, pixels).size, np.uint8)
    offset: Array = stack.pop(index, posterior())
    stack.push(offset, index, posterior())
    return offset


def _described(
    tokenizer: ImageTokenizer, pixels: Array, latent: Ints
) -> tuple[Side, list[tuple[Ints, Ints, Tables]]]:
    """Return what belongs beside a picture, and its symbols with their tables in the order of pushing."""
    height, width = pixels.shape[:2]
    predicted = _decoded(tokenizer, latent, (height, width))
    error = pixels.astype(np.int32) - predicted
    means = tuple(round(float(channel.mean())) for channel in latent)
    centered = latent - _column(means)
    side = Side(height, width, means, tuple(map(_scale, centered)), _errors(error, _busy(predicted)))
    high, low = _parts(side, centered)
    laplace = _laplace().tables
    return side, [
        (error, _error_index(side, predicted), laplace),
        (low, _low_index(side, latent.shape), _even()),
        (high, _latent_index(side, latent.shape), laplace),
    ]


def _busy(predicted: Ints) -> Ints:
    """How much goes on around each pixel [height, width], 0 to 15: octaves of the differences nearby."""
    padded = np.pad(predicted.astype(np.int64), ((1, 1), (1, 1), (0, 0)), "edge")
    across = np.abs(padded[1:-1, 2:] - padded[1:-1, :-2]) + np.abs(padded[2:, 1:-1] - padded[:-2, 1:-1])
    around = across.sum(2)
    for axis in (0, 1):
        wide = np.pad(around, [(2, 2) if axis == a else (0, 0) for a in (0, 1)], "edge")
        around = sum(np.take(wide, range(i, i + around.shape[axis]), axis) for i in range(5))
    # frexp's exponent is the bit length, exactly.
    octaves: Ints = np.minimum(np.frexp(around.astype(np.float64))[1], _OCTAVES - 1)
    return octaves


def _errors(error: Ints, busy: Ints) -> tuple[tuple[int, ...], ...]:
    counts = np.maximum(np.bincount(busy.reshape(-1), minlength=_OCTAVES), 1)
    found = []
    for color in range(3):
        total = np.bincount(busy.reshape(-1), np.abs(error[:, :, color]).reshape(-1), _OCTAVES)
        found.append(tuple(_scale(mean) for mean in total / counts))
    return tuple(found)


def _mean(tokenizer: ImageTokenizer, pixels: Array) -> Ints:
    """The posterior's means in steps of the grid, int32 [channels, h, w]."""
    return (tokenizer.stack.latent(bands_of(pixels, 255)) + GRID // 2) // GRID


def _decoded(tokenizer: ImageTokenizer, latent: Ints, sides: Sequence[int]) -> Ints:
    """What the decoder makes of a latent on the grid, int32 [height, width, 3]."""
    bands = tokenizer.stack.bands((latent * GRID).astype(np.int32))
    return pixels_of(packet.synthesis(bands, LEVELS), sides[0], sides[1], 3, 255).astype(np.int32)


def _scale(values: Any) -> int:
    """The mean magnitude in 2^-4, 1 to 65,535: what names a table. The writer's choice."""
    return int(np.clip(np.rint(np.abs(values).mean() * (1 << _SCALE_BITS)), 1, 65_535))


@cache
def _laplace() -> ScaleFamily:
    return scale_family("laplace")


def _error_index(side: Side, predicted: Ints) -> Ints:
    index = _laplace().index(np.array(side.error_scales), _SCALE_BITS)
    return np.ascontiguousarray(index.T[_busy(predicted)])


def _shifts(side: Side) -> list[int]:
    """How many low bits of each channel are sent apart, so that what is left has a scale of at most 64."""
    return [max(0, scale.bit_length() - 6 - _SCALE_BITS) for scale in side.latent_scales]


def _parts(side: Side, centered: Ints) -> tuple[Ints, Ints]:
    shifts = _column(_shifts(side))
    high = centered >> shifts
    return high, centered - (high << shifts)


@cache
def _even() -> Tables:
    """Closed tables of 2**k symbols, all alike, for k = 0 to 10."""
    return Tables.from_pmf([np.full(1 << k, 2.0**-k) for k in range(11)], [0] * 11, bits=15, escape=False)


def _low_index(side: Side, shape: Sequence[int]) -> Ints:
    return np.ascontiguousarray(np.broadcast_to(_column(_shifts(side)), shape), np.uint8)


def _latent_index(side: Side, shape: Sequence[int]) -> Ints:
    scales = np.array(side.latent_scales) >> np.array(_shifts(side))
    index = _laplace().index(np.maximum(scales, 1), _SCALE_BITS)
    return np.ascontiguousarray(np.broadcast_to(index[:, None, None], shape))


def _column(values: Sequence[int]) -> Ints:
    return np.array(values, np.int32)[:, None, None]


def _binomial(count: int, chosen: int) -> int:
    from math import comb

    return comb(count, chosen) >> 180 if 0 <= chosen <= count else 0
