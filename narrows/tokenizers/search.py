"""Per-sample encoding: the symbols of one picture sought by gradient through the decoder that will read them.

The encoder's symbols are only a first guess. Here the picture's own error, plus a price times its bits, is
lowered: the error by gradient through the decoder, whose weights stay as they are, the bits by the prior that
will code the symbols. `capacity` measures what a decoder can be made to give back, after the cramming of
texts into vectors (Kuratov et al. 2025, arXiv 2502.13063): the same search without a price, from a blank one.

Needs torch (the extra `neural`); what it finds is decoded without.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from narrows.entropy import Autoregressive, Tables
from narrows.errors import MissingExtra
from narrows.nets.exact import SLOPE_BITS, IntegerNetwork
from narrows.signals import Array
from narrows.tokenizers.image import LATENT_BITS, LEVELS, MOST_SYMBOL, OUTPUT_BITS, Ints, Stack
from narrows.transforms import packet

if TYPE_CHECKING:
    from torch import Tensor

_COARSER = 1.15  # the step beside the one asked for, between which a bit is priced
_ESCAPE_BITS = 9.0  # of what follows an escape, about


@dataclass(frozen=True)
class Found:
    """`symbols` [rows, h, w]; errors in squared 8-bit levels and bits, each a position, before and after."""

    symbols: Ints
    error_before: float
    error_after: float
    bits_before: float
    bits_after: float


def search(
    stack: Stack, bands: Any, rate: int, *, steps: int = 20, price: float = 0.5, blank: bool = False
) -> Found:
    """Return the symbols of float32 `bands` that the decoder turns into the least error and bits.

    For tokenizers whose symbols are numbers (`vae`, `wae`, `walloc`). A bit is worth `price` times the error
    that it saves between this rate and the next coarser one. `blank` begins at zero. MissingExtra without
    torch, ValueError for other tokenizers.
    """
    if stack.is_binary:
        raise ValueError(f"the symbols of {stack.kind} are no numbers that a gradient could move")
    if find_spec("torch") is None:
        raise MissingExtra("a search for latents", "neural")
    import torch

    decode = [_decoder(network) for network in stack.decoder]
    wanted = torch.from_numpy(np.ascontiguousarray(bands))[None]
    gains = torch.from_numpy(_gains()).reshape(-1, 1, 1)
    positions = bands[0].size

    def table_of(rate: int) -> Tensor:
        return torch.from_numpy(stack.values(rate).astype(np.float32) * 2.0**-LATENT_BITS)

    def decoded(symbols: Tensor, table: Tensor) -> Tensor:
        """What comes of symbols that lie between integers: of latents linear between the table's."""
        place = (symbols + MOST_SYMBOL).clamp(0, 2 * MOST_SYMBOL - 1e-3)
        low = place.detach().floor().long()
        latent = table[low] + (place - low) * (table[low + 1] - table[low])
        return torch.stack([net(latent[None]) for net in decode]).sum(0)

    def error_of(found: Tensor) -> Tensor:
        return ((found - wanted).square() * gains).sum()

    latent = stack.latent(bands)

    def point(rate: int) -> tuple[Ints, float, Any]:
        symbols = stack.quantize(latent, rate)
        with torch.no_grad():
            error = float(error_of(decoded(torch.from_numpy(symbols.astype(np.float32)), table_of(rate))))
        return symbols, error, costs(stack.prior, symbols, stack.side(rate))

    kept, error_before, (bits, dearer) = point(rate)
    coarse_rate = round(rate * _COARSER) + 1
    _, coarse_error, (coarse_bits, _) = point(coarse_rate)
    bit = price * max(0.0, (coarse_error - error_before) / max(bits - coarse_bits, 1.0))
    if blank:
        kept = np.zeros_like(kept)
        bits, dearer = costs(stack.prior, kept, stack.side(rate))
    bits_before = bits
    table = table_of(rate)
    generator = torch.Generator().manual_seed(0)

    def graded(symbols: Ints) -> tuple[float, Array]:
        place = torch.from_numpy(symbols.astype(np.float32)).requires_grad_()
        error = error_of(decoded(place, table))
        (gradient,) = torch.autograd.grad(error, place)
        return float(error.detach()), gradient.numpy()

    error, gradient = graded(kept)
    error_before = error
    # What a step of one symbol adds to the error beyond its gradient, in each channel.
    curvature = np.ones((len(kept), 1, 1), np.float32)
    with torch.no_grad():
        begun = torch.from_numpy(kept.astype(np.float32))
        base = decoded(begun, table)
        for channel in range(len(kept)):
            moved = begun.clone()
            moved[channel] += torch.randint(0, 2, begun.shape[1:], generator=generator) * 2.0 - 1
            curvature[channel] = float(((decoded(moved, table) - base).square() * gains).sum()) / positions
    share = 0.5
    for _ in range(steps):
        # What a move of one to either side brings by itself. All at once would overshoot, for neighbors share
        # what they decode to and how they are coded: so a part of them moves.
        change = np.stack([curvature - gradient, curvature + gradient]) + bit * dearer
        drawn = torch.rand(kept.shape, generator=generator).numpy() < share
        move = np.where(change[0] < change[1], -1, 1) * ((change.min(0) < 0) & drawn)
        moved_symbols = np.clip(kept + move, -MOST_SYMBOL, MOST_SYMBOL).astype(np.int32)
        if not move.any():
            continue
        new_error, new_gradient = graded(moved_symbols)
        new_bits, new_dearer = costs(stack.prior, moved_symbols, stack.side(rate))
        if new_error + bit * new_bits < error + bit * bits:
            kept, error, gradient, bits, dearer = moved_symbols, new_error, new_gradient, new_bits, new_dearer
            share = min(0.5, 1.2 * share)
        else:
            share /= 2
    return Found(kept, error_before / positions, error / positions, bits_before / positions, bits / positions)


def costs(prior: Autoregressive, symbols: Ints, side: int) -> tuple[float, Array]:
    """Return the bits of symbols [channels, h, w] by a prior, and how many more the one below or above takes.

    The latter [2, channels, h, w] is of the symbol alone: others are coded in view of it, too. For priors
    of two-sided grids with means, one side and static tables, as tokenizers of numbers have.
    """
    tables = prior.tables
    assert isinstance(tables, Tables)
    taps = np.asarray(prior.taps)
    channels, height, width = symbols.shape
    half = prior.maps.shape[1] // 2
    reach = int(np.abs(taps[:, 1:3]).max())
    mapped = prior.maps[:, np.clip(symbols + half, 0, 2 * half - 1)]
    back = int(-taps[:, 0].min())
    edges = ((back, 0), (reach, reach), (reach, reach))
    padded = [
        np.pad(plane, edges, constant_values=int(entry[half]))
        for plane, entry in zip(mapped, prior.maps, strict=True)
    ]
    inputs = [
        padded[which][
            back + channel : back + channel + channels,
            reach + row : reach + row + height,
            reach + column : reach + column + width,
        ]
        for channel, row, column, which in taps
    ]
    x: Any = np.stack([*inputs, np.full_like(inputs[0], side)], -1).reshape(channels, height * width, -1)
    x = x.astype(np.float32)
    for i, layer in enumerate(prior.layers):
        total = (x @ layer.weights.swapaxes(1, 2).astype(np.float32)).astype(np.int64) + layer.bias[:, None]
        y = (total * layer.multiplier[:, None] + (1 << layer.shift >> 1)) >> layer.shift
        x = np.clip(y, 0, 127).astype(np.float32) if i < len(prior.layers) - 1 else y
    u, v = (np.clip(x[..., axis], 0, prior.grid[axis] - 1) for axis in (0, 1))
    row = u * prior.grid[1] + v
    token = symbols.reshape(channels, -1) - x[..., 2] - tables.offset[row] + 1
    frequencies = np.diff(tables.cdf.astype(np.int64), axis=1)
    lengths = tables.bits - np.log2(np.maximum(frequencies, 1))
    size = tables.size[row]

    def bits_of(token: Ints) -> Array:
        inside = (token >= 1) & (token < size)
        out: Array = lengths[row, np.where(inside, token, 0)] + np.where(inside, 0, _ESCAPE_BITS)
        return out

    now = bits_of(token)
    dearer = np.stack([bits_of(token - 1) - now, bits_of(token + 1) - now]).reshape(2, *symbols.shape)
    return float(now.sum()), dearer


@cache
def _gains() -> Array:
    """What a squared error of one in each plane is in pixels, [192]: the synthesis's squared norms."""
    side, count = 32, 4**LEVELS
    out = np.empty(count, np.float32)
    for band in range(count):
        impulse = np.zeros((count, side, side), np.float32)
        impulse[band, side // 2, side // 2] = 1
        out[band] = np.square(packet.synthesis(impulse, LEVELS), dtype=np.float64).sum()
    return np.tile(out, 3)


def capacity(stack: Stack, bands: Any, rate: int, *, steps: int = 200) -> tuple[float, float, float]:
    """Return what a decoder gives back of `bands` from the best latent: gain, bits, and their ratio.

    In bits a position: the gain is the Gaussian rate of the error with a blank latent over that with the best
    one, plane by plane; bits are the entropy of the symbols found in each channel. It compares decoders at
    one rate and is no bound: planes are taken as if each were by itself, which those that one symbol makes
    are not, so the gain may exceed the bits; and a longer search may find a better latent.
    """
    blank = np.zeros((stack.rows(rate), *bands.shape[1:]), np.int32)
    without = stack.bands(stack.dequantize(blank, rate)) - bands
    found = search(stack, bands, rate, steps=steps, price=0.0, blank=True)
    with_ = stack.bands(stack.dequantize(found.symbols, rate)) - bands
    gain = 0.5 * np.log2(
        np.square(without, dtype=np.float64).mean((1, 2)) / np.square(with_, dtype=np.float64).mean((1, 2))
    )
    bits = 0.0
    for channel in found.symbols:
        _, counts = np.unique(channel, return_counts=True)
        share = counts / counts.sum()
        bits -= float((share * np.log2(share)).sum())
    gained = float(np.maximum(gain, 0).sum())
    return gained, bits, gained / max(bits, 1e-9)


def _decoder(network: IntegerNetwork) -> Any:
    """Return a network as a function of float tensors [batch, channels, h, w]: latents to 8-bit levels."""
    import torch
    from torch.nn import functional

    unit = 2.0**-LATENT_BITS
    layers = []
    for i, layer in enumerate(network.layers):
        factor = layer.multiplier * 2.0**-layer.shift
        weight = torch.from_numpy((layer.weight * factor.reshape(-1, 1, 1, 1)).astype(np.float32))
        bias = torch.from_numpy((layer.bias * factor).astype(np.float32))
        if i == 0:
            weight = weight / unit
        layers.append((weight, bias, layer.slope * 2.0**-SLOPE_BITS, layer.padding))

    def run(x: Tensor) -> Tensor:
        for weight, bias, slope, padding in layers:
            x = functional.conv2d(x, weight, bias, padding=padding)
            x = functional.leaky_relu(x, slope) if slope != 1 else x
        return x * 2.0**-OUTPUT_BITS

    return run
