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


@dataclass(frozen=True)
class Side:
    """What is sent of a picture beside the stack: its size, and scales and means that name its tables."""

    height: int
    width: int
    latent_means: tuple[int, ...]
    latent_scales: tuple[int, ...]
    error_scales: tuple[int, int, int]

    @property
    def bits(self) -> int:
        """What this takes when each number has 16 bits."""
        return 16 * (2 + 2 * len(self.latent_means) + 3)


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
    offset = stack.pop(np.zeros(mean.size, np.uint8), posterior()).reshape(mean.shape)
    latent = mean + offset
    error = pixels.astype(np.int32) - _decoded(tokenizer, latent, pixels.shape[:2])
    height, width = pixels.shape[:2]
    side = Side(
        height,
        width,
        tuple(round(float(channel.mean())) for channel in latent),
        tuple(_scale(channel - round(float(channel.mean()))) for channel in latent),
        _errors(error),
    )
    stack.push(error, _error_index(side, error.shape), _laplace().tables)
    high, low = _parts(side, latent - _column(side.latent_means))
    stack.push(low, _low_index(side, latent.shape), _even())
    stack.push(high, _latent_index(side, latent.shape), _gaussian().tables)
    return side


def pop(stack: Stack, tokenizer: ImageTokenizer, side: Side) -> Array:
    """Take off the picture that was pushed last; the stack is then what it was before."""
    grid = (len(side.latent_means), -(-side.height // 8), -(-side.width // 8))
    high = stack.pop(_latent_index(side, grid), _gaussian().tables)
    low = stack.pop(_low_index(side, grid), _even())
    latent = (high << _column(_shifts(side))) + low + _column(side.latent_means)
    predicted = _decoded(tokenizer, latent, (side.height, side.width))
    error = stack.pop(_error_index(side, predicted.shape), _laplace().tables)
    pixels: Array = (predicted + error).astype(np.uint8)
    mean = _mean(tokenizer, pixels)
    stack.push((latent - mean).reshape(-1), np.zeros(mean.size, np.uint8), posterior())
    return pixels


def bound_bits(tokenizer: ImageTokenizer, pixels: Array, *, seed: int = 0) -> tuple[float, float]:
    """Return the bits that a picture should cost with bits back, and what its latent's bits add without.

    By the tables themselves, at a latent drawn with NumPy: the first is minus the evidence bound.
    """
    mean = _mean(tokenizer, pixels)
    frequency = np.diff(posterior().cdf[0].astype(np.int64))[1 : posterior().size[0]]
    drawn = np.random.default_rng(seed).choice(len(frequency), mean.size, p=frequency / frequency.sum())
    offset = drawn.reshape(mean.shape) + int(posterior().offset[0])
    latent = mean + offset
    error = pixels.astype(np.int32) - _decoded(tokenizer, latent, pixels.shape[:2])
    centered = np.stack([channel - round(float(channel.mean())) for channel in latent])
    height, width = pixels.shape[:2]
    scales = tuple(_scale(channel) for channel in centered)
    side = Side(height, width, (0,) * len(latent), scales, _errors(error))
    cost = _laplace().tables.cost_bits(error, _error_index(side, error.shape))
    high, low = _parts(side, centered)
    cost += _gaussian().tables.cost_bits(high, _latent_index(side, latent.shape))
    cost += _even().cost_bits(low, _low_index(side, latent.shape))
    returned = posterior().cost_bits(offset, np.zeros(offset.shape, np.uint8))
    return float(cost - returned), float(returned)


def _errors(error: Ints) -> tuple[int, int, int]:
    red, green, blue = (_scale(error[:, :, c]) for c in range(3))
    return red, green, blue


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


@cache
def _gaussian() -> ScaleFamily:
    return scale_family("gaussian")


def _error_index(side: Side, shape: Sequence[int]) -> Ints:
    index = _laplace().index(np.array(side.error_scales), _SCALE_BITS)
    return np.ascontiguousarray(np.broadcast_to(index, shape))


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
    # A normal distribution's deviation is 1.25 times its mean magnitude.
    scales = np.array(side.latent_scales) * 5 // 4 >> np.array(_shifts(side))
    index = _gaussian().index(np.maximum(scales, 1), _SCALE_BITS)
    return np.ascontiguousarray(np.broadcast_to(index[:, None, None], shape))


def _column(values: Sequence[int]) -> Ints:
    return np.array(values, np.int32)[:, None, None]


def _binomial(count: int, chosen: int) -> int:
    from math import comb

    return comb(count, chosen) >> 180 if 0 <= chosen <= count else 0
