"""The full wavelet packet of one to three dimensions, in torch and differentiable; sides wrap around.

Filters, signs and order are those of PyWavelets' `periodization` mode, so that its results are an oracle.
"""

from __future__ import annotations

from functools import cache
from math import sqrt

import torch
from torch import Tensor
from torch.nn import functional as F

from narrows.errors import OptionError, SignalError

# Half of each symmetric filter of CDF 9/7, from its center outward, scaled to a sum of sqrt(2): Cohen,
# Daubechies and Feauveau 1992, to double precision.
_ANALYSIS_LOW = (
    0.852698679009403,
    0.37740285561265,
    -0.110624404418422,
    -0.023849465019380,
    0.037828455506995,
)
_SYNTHESIS_LOW = (0.788485616405664, 0.418092273222212, -0.040689417609558, -0.064538882628938)

WAVELETS = ("haar", "bior4.4")


@cache
def _filters(wavelet: str) -> tuple[Tensor, Tensor]:
    """Return the analysis and the synthesis filters, [2, length] float64 each: low, high."""
    if wavelet == "haar":
        half = 1 / sqrt(2)
        return (
            torch.tensor([[half, half], [-half, half]], dtype=torch.float64),
            torch.tensor([[half, half], [half, -half]], dtype=torch.float64),
        )
    if wavelet != "bior4.4":
        raise OptionError(f"the wavelet is haar or bior4.4, not {wavelet!r}")
    low = torch.tensor([0.0, *_ANALYSIS_LOW[:0:-1], *_ANALYSIS_LOW], dtype=torch.float64)
    back = torch.tensor([0.0, *_SYNTHESIS_LOW[:0:-1], *_SYNTHESIS_LOW, 0.0, 0.0], dtype=torch.float64)
    signs = torch.tensor([-1.0, 1.0] * 5, dtype=torch.float64)
    return torch.stack([low, back * signs]), torch.stack([back, -low * signs])


def packet(x: Tensor, levels: int, wavelet: str = "bior4.4") -> Tensor:
    """Return the bands of `x` [batch, channels, ...]: [batch, channels * 2**(dims * levels), ...] smaller.

    Each channel's bands follow each other, the last level's choice fastest; within a level the first spatial
    dimension's is (in 2-D PyWavelets' a, h, v, d). SignalError unless sides are multiples of 2**levels.
    """
    dims = x.ndim - 2
    if not 1 <= dims <= 3 or levels < 0:
        raise SignalError("a packet has one to three spatial dimensions and no fewer than 0 levels")
    if any(side == 0 or side % 2**levels for side in x.shape[2:]):
        raise SignalError(f"sides are multiples of {2**levels}, not {list(x.shape[2:])}")
    analysis, _ = _filters(wavelet)
    for _ in range(levels):
        for axis in range(dims):
            x = _split(x, axis + 2, analysis.to(x))
        x = _interleaved(x, dims)
    return x


def inverse_packet(bands: Tensor, levels: int, wavelet: str = "bior4.4") -> Tensor:
    """Return the signal whose `packet` is `bands`."""
    dims = bands.ndim - 2
    if not 1 <= dims <= 3 or levels < 0 or bands.shape[1] % 2 ** (dims * levels):
        raise SignalError("the channels are a multiple of 2**(dims * levels)")
    _, synthesis = _filters(wavelet)
    for _ in range(levels):
        bands = _split_by_axis(bands, dims)
        for axis in range(dims - 1, -1, -1):
            bands = _joined(bands, axis + 2, synthesis.to(bands))
    return bands


def padded(x: Tensor, multiple: int) -> tuple[Tensor, tuple[int, ...]]:
    """Return `x` with sides extended by their last value to multiples of `multiple`, and the old sides."""
    sides = tuple(x.shape[2:])
    if 0 in sides:
        raise SignalError("the signal is empty")
    for axis, side in enumerate(sides):
        missing = -side % multiple
        if missing:
            edge = x.narrow(axis + 2, side - 1, 1)
            x = torch.cat([x, edge.expand(*x.shape[: axis + 2], missing, *x.shape[axis + 3 :])], axis + 2)
    return x, sides


def _split(x: Tensor, axis: int, filters: Tensor) -> Tensor:
    """Return [2 * batch, ...] with `axis` halved: all lows, then all highs."""
    side, length = x.shape[axis], filters.shape[1]
    # Coefficient k is the sum over j of filter[j] x[(2k + length / 2 - j) mod side].
    place = torch.arange(side + length - 2, device=x.device) - (length // 2 - 1)
    lines = x.movedim(axis, -1)
    shape = lines.shape[:-1]
    wrapped = lines.reshape(-1, 1, side)[..., place % side]
    both = F.conv1d(wrapped, filters.flip(1)[:, None], stride=2)
    return both.transpose(0, 1).reshape(2 * shape[0], *shape[1:], -1).movedim(-1, axis)


def _joined(x: Tensor, axis: int, filters: Tensor) -> Tensor:
    """Return the inverse of `_split`: [batch, ...] with `axis` doubled."""
    lines = x.movedim(axis, -1)
    half, length = lines.shape[-1], filters.shape[1]
    shape = (lines.shape[0] // 2, *lines.shape[1:-1])
    pairs = lines.reshape(2, -1, half).transpose(0, 1)
    spread = F.conv_transpose1d(pairs, filters[:, None], stride=2)[:, 0]
    place = (torch.arange(spread.shape[1], device=x.device) - (length // 2 - 1)) % (2 * half)
    whole = spread.new_zeros(len(spread), 2 * half).index_add_(1, place, spread)
    return whole.reshape(*shape, 2 * half).movedim(-1, axis)


def _interleaved(x: Tensor, dims: int) -> Tensor:
    """Return [2**dims * batch, channels, ...] as [batch, channels * 2**dims, ...], the split fastest."""
    batch = x.shape[0] // 2**dims
    return x.reshape(2**dims, batch, *x.shape[1:]).movedim(0, 2).reshape(batch, -1, *x.shape[2:])


def _split_by_axis(x: Tensor, dims: int) -> Tensor:
    channels = x.shape[1] // 2**dims
    apart = x.reshape(x.shape[0], channels, 2**dims, *x.shape[2:]).movedim(2, 0)
    return apart.reshape(2**dims * x.shape[0], channels, *x.shape[2:])
