"""The full wavelet packet of pictures in NumPy, with mirrored borders: what the image tokenizers stand on.

CDF 9/7 by lifting (Daubechies & Sweldens 1998), scaled so that both bands have about the gain of an
orthonormal transform. Every step is an addition or a product of arrays, each rounded once as IEEE 754 has
it, in a fixed order: the result is the same on every machine. The filters are those of
`narrows.nets.wavelet_packet` with "bior4.4", whose borders wrap around and whose signs differ.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from narrows.errors import SignalError
from narrows.signals import Array

_STEPS = (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971)
_GAIN = sqrt(2) / 1.230174104914001


def analysis(planes: Array, levels: int) -> Array:
    """Return the bands of float32 `planes` [channels, height, width]: [channels * 4**levels, ...] smaller.

    A channel's bands follow each other, the last level's choice fastest (low low, low high, high low, high
    high; rows first). Raises SignalError unless both sides are multiples of 2**levels and not 0.

    >>> import numpy
    >>> planes = numpy.arange(3 * 16 * 8, dtype=numpy.float32).reshape(3, 16, 8)
    >>> bands = analysis(planes, 2)
    >>> bands.shape, bool(abs(synthesis(bands, 2) - planes).max() < 1e-3)
    ((48, 4, 2), True)
    """
    _, height, width = planes.shape
    if not planes.size or height % (1 << levels) or width % (1 << levels):
        raise SignalError(f"sides are multiples of {1 << levels} and not 0, not {height} x {width}")
    bands = np.ascontiguousarray(planes, np.float32)
    for _ in range(levels):
        parts = [part for half in _split(bands, 1) for part in _split(half, 2)]
        bands = np.stack(parts, 1).reshape(-1, *parts[0].shape[1:])
    return bands


def synthesis(bands: Array, levels: int) -> Array:
    """Return the float32 planes whose `analysis` is `bands`. SignalError for a wrong number of bands."""
    if not bands.size or len(bands) % 4**levels:
        raise SignalError(f"bands are a multiple of {4**levels} and not 0, not {len(bands)}")
    planes = np.ascontiguousarray(bands, np.float32)
    for _ in range(levels):
        low_low, low_high, high_low, high_high = planes.reshape(-1, 4, *planes.shape[1:]).swapaxes(0, 1)
        planes = _join(_join(low_low, low_high, 2), _join(high_low, high_high, 2), 1)
    return planes


def _split(x: Array, axis: int) -> tuple[Array, Array]:
    """Return the low and the high half of `x` along `axis`, whose length is even."""
    whole = np.moveaxis(x, axis, 0)
    low, high = whole[0::2].copy(), whole[1::2].copy()
    for step, lifted in zip(_STEPS, (high, low, high, low), strict=True):
        _lift(lifted, low if lifted is high else high, np.float32(step), forward=lifted is high)
    low *= np.float32(_GAIN)
    high *= np.float32(1 / _GAIN)
    return np.moveaxis(low, 0, axis), np.moveaxis(high, 0, axis)


def _join(low: Array, high: Array, axis: int) -> Array:
    """Return the array that `_split` halved."""
    shape = list(low.shape)
    shape[axis] *= 2
    out = np.empty(shape, np.float32)
    whole = np.moveaxis(out, axis, 0)
    even = np.moveaxis(low, axis, 0) * np.float32(1 / _GAIN)
    odd = np.moveaxis(high, axis, 0) * np.float32(_GAIN)
    for step, lifted in zip(_STEPS[::-1], (even, odd, even, odd), strict=True):
        _lift(lifted, even if lifted is odd else odd, np.float32(-step), forward=lifted is odd)
    whole[0::2], whole[1::2] = even, odd
    return out


def _lift(lifted: Array, other: Array, step: np.float32, *, forward: bool) -> None:
    """Add `step` times both neighbors, of the other half, to each line; borders mirror."""
    if forward:  # line k has neighbors k and k + 1
        lifted[:-1] += (other[:-1] + other[1:]) * step
        lifted[-1] += (other[-1] + other[-1]) * step
    else:  # line k has neighbors k - 1 and k
        lifted[1:] += (other[:-1] + other[1:]) * step
        lifted[0] += (other[0] + other[0]) * step
