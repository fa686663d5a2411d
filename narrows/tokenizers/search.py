"""Per-sample encoding: the latent of one picture sought by gradient through the decoder that will read it.

The encoder's latent is only a first guess. Here the picture's own error, at a price of bits, is lowered by
gradient through the decoder, whose weights stay as they are; then the latent is rounded as always. `capacity`
measures what a decoder can be made to give back, after the cramming of texts into vectors (Kuratov et al.
2025, arXiv 2502.13063): the same search without a price, from a blank latent.

Needs torch (the extra `neural`); what it finds is decoded without.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from narrows.errors import MissingExtra
from narrows.nets.exact import SLOPE_BITS, IntegerNetwork
from narrows.tokenizers.image import LATENT_BITS, MOST_SYMBOL, OUTPUT_BITS, Ints, Stack

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Found:
    """`symbols` [rows, h, w], and the error of the bands, in squared 8-bit levels, before and after."""

    symbols: Ints
    error_before: float
    error_after: float


def search(
    stack: Stack, bands: Any, rate: int, *, steps: int = 20, price: float = 1.0, blank: bool = False
) -> Found:
    """Return the symbols of float32 `bands` that the decoder turns into the least error and bits.

    For tokenizers whose symbols are numbers (`vae`, `wae`, `walloc`). A bit is worth `price` times 2 ln 2
    times the error that rounding makes, which is its worth at a high rate. `blank` begins at zero.
    MissingExtra without torch, ValueError for other tokenizers.
    """
    if stack.is_binary:
        raise ValueError(f"the symbols of {stack.kind} are no numbers that a gradient could move")
    if find_spec("torch") is None:
        raise MissingExtra("a search for latents", "neural")
    import torch

    decode = [_decoder(network) for network in stack.decoder]
    wanted = torch.from_numpy(np.ascontiguousarray(bands))[None]
    start = stack.quantize(stack.latent(bands), rate)
    if blank:
        start = np.zeros_like(start)
    table = torch.from_numpy(stack.values(rate).astype(np.float32) * 2.0**-LATENT_BITS)

    def value_of(symbols: Tensor) -> Tensor:
        """The latent of symbols that lie between integers: linear between the table's."""
        place = (symbols + MOST_SYMBOL).clamp(0, 2 * MOST_SYMBOL - 1e-3)
        low = place.detach().floor().long()
        return table[low] + (place - low) * (table[low + 1] - table[low])

    def decoded(symbols: Tensor) -> Tensor:
        latent = value_of(symbols)[None]
        return torch.stack([net(latent) for net in decode]).sum(0)

    def error_of(symbols: Tensor) -> Tensor:
        return (decoded(symbols) - wanted).square().sum(1).mean()

    begun = torch.from_numpy(start.astype(np.float32))
    generator = torch.Generator().manual_seed(0)
    positions = start[0].size
    with torch.no_grad():
        first = error_of(begun)
        base = decoded(begun)
        # What one symbol more or less costs in each channel: the curvature, by which steps are measured.
        curvature = torch.ones(len(start), 1, 1)
        for channel in range(len(start)):
            sign = torch.randint(0, 2, start.shape[1:], generator=generator) * 2.0 - 1
            moved = begun.clone()
            moved[channel] += sign
            curvature[channel] = float((decoded(moved) - base).square().sum() / positions)
    bit = price * 2 * math.log(2) * float(curvature.mean()) / 12

    def graded(symbols: Tensor) -> tuple[float, Tensor]:
        point = symbols.clone().requires_grad_()
        bits = torch.log2(1 + point.square()).sum(0).mean() / 2
        loss = error_of(point) + bit * bits
        (gradient,) = torch.autograd.grad(loss * positions, point)
        return float(loss.detach()), gradient

    kept, share = begun, 0.5
    best, gradient = graded(kept)
    for _ in range(steps):
        # A symbol may move by one where the minimum of its own parabola is nearer to the next integer. All
        # at once would overshoot, for neighbors share what they decode to: so a part of them does.
        reach = gradient / (2 * curvature)
        moving = (reach.abs() > 0.5) & (torch.rand(reach.shape, generator=generator) < share)
        moved = (kept - reach.sign() * moving).clamp(-MOST_SYMBOL, MOST_SYMBOL)
        loss, slope = graded(moved)
        if loss < best:
            best, kept, gradient = loss, moved, slope
        else:
            share /= 2
    with torch.no_grad():
        last = error_of(kept)
    return Found(kept.numpy().astype(np.int32), float(first), float(last))


def capacity(stack: Stack, bands: Any, rate: int, *, steps: int = 200) -> tuple[float, float, float]:
    """Return what a decoder gives back of `bands` from the best latent: information gain and its bound.

    In bits a position: the information gained at the error reached, by the Gaussian rate of the error with a
    blank latent over that with the best one; the bits of the symbols found, by their entropy in each
    channel, which bounds it; and the first divided by the second.
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
