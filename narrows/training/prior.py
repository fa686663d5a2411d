"""Fits the integer prior of a tokenizer: a context network and tables for its symbols, frozen as integers.

Symbols are [channels, height, width], coded channel by channel; a small network of each channel reads those
already coded around a position. For bits (-1 and 1) it gives a logit, that is one of 64 tables; for
integers a scale, a mean and the mean's fraction. Networks are fitted in float by the code length, rounded,
and the tables counted again at the points that the rounded networks name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from narrows.entropy import Autoregressive, Layer, Tables
from narrows.nets.integer import context_layer

LOGITS, SCALES, FRACTIONS = 64, 24, 9
_LOGIT_STEP, _FRACTION = 0.25, 0.25
_LEAST_SCALE, _LARGEST_SCALE = 0.08, 30.0
_REACH = 63
_HIDDEN = (32, 16)
# Positions drawn from symbols: of integers, which pictures have at two rates, and of bits.
_PLACES = (400, 800)
_MOST_ASTRAY = 0.05  # of the means of a channel that integers may round to another side
_UNIT, _ACTIVATION = 1 / 64, 1 / 24  # of inputs, and of what is between layers


@dataclass(frozen=True)
class Context:
    """What networks read: causal `taps` [n, 4] with their maps, and `num_sides` bytes at the symbol."""

    taps: list[tuple[int, int, int, int]]
    maps: np.ndarray
    grid: tuple[int, ...]
    num_sides: int

    @property
    def mean(self) -> bool:
        return len(self.grid) == 2


_AROUND = ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0))
_CROSS = ((0, 0), (0, -1), (-1, 0), (0, 1), (1, 0))


def context(bits: bool) -> Context:
    """Return what the networks of bits, or of integers, read."""
    taps = [(0, row, column, 0) for row, column in _AROUND]
    if bits:
        taps += [(-back, row, column, 0) for back in range(1, 5) for row, column in _CROSS]
        taps += [(-back, 0, 0, 0) for back in range(5, 16)]
        # Of -2, -1, 0 (outside the picture) and 1.
        return Context(taps, np.array([[0, 0, 64, 127]], np.uint8), (LOGITS,), 0)
    size = 128
    values = np.arange(size) - size // 2
    octaves = np.log2(np.abs(values) + 1)
    maps = [values + size // 2, 64 + np.sign(values) * np.rint(10 * octaves), np.rint(20 * octaves)]
    taps = [(*tap[:3], which) for tap in taps for which in ((0, 1) if tap in taps[:4] else (1,))]
    taps += [(-back, 0, 0, 1) for back in (1, 2, 3)]
    taps += [(-back, row, column, 2) for back in (1, 2) for row, column in _CROSS]
    taps += [(0, row, column, 2) for row, column in _AROUND[:4]]
    return Context(taps, np.minimum(127, maps).astype(np.uint8), (SCALES, FRACTIONS), 1)


def inputs_of(symbols: np.ndarray, context: Context, side: int, places: np.ndarray) -> np.ndarray:
    """Return what the networks read at flat `places` of symbols: uint8 [channels, n, inputs]."""
    channels, height, width = symbols.shape
    half = context.maps.shape[1] // 2
    mapped = [table[np.clip(symbols + half, 0, 2 * half - 1)] for table in context.maps]
    outside = [int(table[half]) for table in context.maps]
    rows, columns = places // width, places % width
    out = np.empty((channels, len(places), len(context.taps) + context.num_sides), np.uint8)
    for i, (back, row, column, which) in enumerate(context.taps):
        y, x = rows + row, columns + column
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        values = mapped[which][:, np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
        values = np.where(inside, values, outside[which])
        none = min(-back, channels)  # the first channels have none so far back
        out[:none, :, i] = outside[which]
        out[none:, :, i] = values[: channels - none]
    out[:, :, len(context.taps) :] = side
    return out


class Networks(nn.Module):
    """A network for each channel, all in one: [channels, n, inputs] in 1/64 to [channels, n, outputs].

    Inputs are made even by `center` and `spread`, outputs wide by `reach`: folded into the weights at last.
    """

    def __init__(self, sample: Tensor, outputs: int) -> None:
        super().__init__()
        channels, _, inputs = sample.shape
        widths = (inputs, *_HIDDEN, outputs)
        self.center = sample.mean(1, keepdim=True)
        self.spread = sample.std(1, keepdim=True).clamp(min=0.1)
        self.reach = 6.0
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(channels, b, a) * math.sqrt(2 / a) * (0.1 if b == outputs else 1.0))
            for a, b in pairwise(widths)
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(channels, 1, b)) for b in widths[1:])

    def folded(self, layer: int, exact: bool) -> tuple[Tensor, Tensor]:
        """Return the weights and biases of a layer as it is run; `exact` rounds weights as int8 will."""
        weight, bias = self.weights[layer], self.biases[layer]
        if layer == 0:
            weight = weight / self.spread
        if layer == len(self.weights) - 1:
            weight, bias = weight * self.reach, bias * self.reach
        if exact:
            unit = weight.detach().abs().amax(2, keepdim=True) / 127
            weight = weight + (torch.round(weight / unit) * unit - weight).detach()
        if layer == 0:
            bias = bias - self.center @ weight.transpose(1, 2)
        return weight, bias

    def forward(self, x: Tensor, exact: bool) -> Tensor:
        for layer in range(len(self.weights)):
            weight, bias = self.folded(layer, exact)
            x = torch.baddbmm(bias, x, weight.transpose(1, 2))
            if layer < len(self.weights) - 1:
                x = x.clamp(0, 127 * _ACTIVATION)
                x = x + (torch.round(x / _ACTIVATION) * _ACTIVATION - x).detach() if exact else x
        return x

    @torch.no_grad()
    def layers(self) -> list[Layer]:
        """Return the networks in integers."""
        found = []
        for layer in range(len(self.weights)):
            weight, bias = (part.double().numpy() for part in self.folded(layer, True))
            channels, _, inputs = weight.shape
            units = (_ACTIVATION if layer else _UNIT, 1.0 if layer == len(self.weights) - 1 else _ACTIVATION)
            found.append(context_layer(weight.reshape(-1, inputs), bias.reshape(-1), *units, channels))
        return found


def scale_of(u: Any) -> Any:
    """Return the scale of table row `u`, a number or a tensor, in symbols."""
    ratio = math.log(_LARGEST_SCALE / _LEAST_SCALE) / (SCALES - 1)
    return (
        torch.exp(u * ratio + math.log(_LEAST_SCALE))
        if isinstance(u, Tensor)
        else _LEAST_SCALE * np.exp(u * ratio)
    )


def bits_of(points: Tensor, symbols: Tensor, bits: bool) -> tuple[Tensor, Tensor]:
    """Return the code length of each symbol at the networks' outputs, and how far these are off the grid."""
    top = (LOGITS if bits else SCALES) - 1
    u = points[..., 0]
    outside = torch.relu(-u) + torch.relu(u - top)
    u = u.clamp(0, top)
    if bits:
        logit = (u - top / 2) * _LOGIT_STEP
        return nn.functional.softplus(-logit * symbols) / math.log(2), outside
    v, mean = points[..., 1], points[..., 2]
    outside = outside + torch.relu(-v) + torch.relu(v - (FRACTIONS - 1))
    whole = mean + (mean.round() - mean).detach()
    center = whole + (v.clamp(0, FRACTIONS - 1) - (FRACTIONS - 1) / 2) * _FRACTION
    slope = 1 / scale_of(u)
    low, high = (symbols - 0.5 - center) * slope, (symbols + 0.5 - center) * slope
    sign = torch.where(low + high > 0, -1.0, 1.0)
    mass = (torch.sigmoid(sign * high) - torch.sigmoid(sign * low)).abs()
    return -torch.log2(mass + 1e-6), outside


def fit(
    pictures: list[tuple[np.ndarray, int]], bits: bool, *, steps: int, seed: int, batch: int = 512
) -> tuple[Autoregressive, dict[str, float]]:
    """Return the prior of `pictures`, (symbols [channels, h, w], side byte) each, and its float cost."""
    shape = context(bits)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    drawn = [
        (symbols.reshape(len(symbols), -1)[:, places], inputs_of(symbols, shape, side, places))
        for symbols, side in pictures
        for places in [rng.integers(0, symbols[0].size, _PLACES[bits])]
    ]
    symbols = np.concatenate([part[0] for part in drawn], 1)
    inputs = np.concatenate([part[1] for part in drawn], 1)
    count = symbols.shape[1]
    networks = Networks(torch.from_numpy(inputs).float() * _UNIT, len(shape.grid) + shape.mean)
    with torch.no_grad():
        networks.biases[-1][:, 0, 0] = ((LOGITS - 1) / 2 if bits else 8.0) / networks.reach
        if not bits:
            networks.biases[-1][:, 0, 1] = (FRACTIONS - 1) / 2 / networks.reach
    optimizer = torch.optim.Adam(networks.parameters(), 4e-3)
    total = max(steps, 2)  # and two or more to rise in: the schedule divides by one less
    rise = max(0.1, 2 / total)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=total, pct_start=rise)
    wanted = torch.from_numpy(symbols.astype(np.float32))
    given = torch.from_numpy(inputs)
    last = 0.0
    for step in range(steps):
        pick = torch.from_numpy(rng.integers(0, count, batch))
        cost, outside = bits_of(
            networks(given[:, pick].float() * _UNIT, step > 0.4 * steps), wanted[:, pick], bits
        )
        loss = (cost + 0.05 * outside).mean(1).sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(networks.parameters(), 5.0)
        optimizer.step()
        if step + 1 < steps:
            schedule.step()
        last = (
            0.98 * last + 0.02 * float(cost.detach().mean(1).sum())
            if last
            else float(cost.detach().mean(1).sum())
        )
    layers = networks.layers() if bits else _off_edges(networks, inputs)
    points = _points(layers, inputs)
    model = Autoregressive(
        _tables(points, symbols, bits),
        shape.taps,
        shape.maps,
        layers,
        shape.grid,
        shape.num_sides,
        shape.mean,
    )
    return model, {"float_bits": last}


@torch.no_grad()
def _off_edges(networks: Networks, inputs: np.ndarray) -> list[Layer]:
    """Return networks in integers whose means are rounded as the fitted ones' are.

    A mean may end where it is rounded up or down by the last bits of a float, and its table then fits one
    side only: where integers fall to the other side, its bias is moved a little.
    """
    sample = inputs[:, :: max(1, inputs.shape[1] // 4096)]
    wanted = networks(torch.from_numpy(sample).float() * _UNIT, True)[..., 2].round().numpy()
    best = networks.layers()
    bias = networks.biases[-1][:, 0, 2].clone()
    least = (_points(best, sample)[..., 2] != wanted).mean(1)
    if (least <= _MOST_ASTRAY).all():
        return best
    moves, edge = np.zeros(len(least)), least > _MOST_ASTRAY
    for move in (-0.04, -0.02, 0.02, 0.04):
        networks.biases[-1][:, 0, 2] = bias + torch.from_numpy(edge * move).float() / networks.reach
        astray = (_points(networks.layers(), sample)[..., 2] != wanted).mean(1)
        moves = np.where(edge & (astray < least), move, moves)
        least = np.minimum(astray, least)
    networks.biases[-1][:, 0, 2] = bias + torch.from_numpy(moves).float() / networks.reach
    return networks.layers()


def _points(layers: list[Layer], inputs: np.ndarray) -> np.ndarray:
    """Return what the integer networks give for inputs [channels, n, inputs], likewise."""
    x: Any = inputs.astype(np.float64)
    for i, layer in enumerate(layers):
        total = (x @ layer.weights.swapaxes(1, 2).astype(np.float64)).astype(np.int64) + layer.bias[:, None]
        y = (total * layer.multiplier[:, None] + (1 << layer.shift >> 1)) >> layer.shift
        x = np.clip(y, 0, 127).astype(np.float64) if i < len(layers) - 1 else y
    return x


def _tables(points: np.ndarray, symbols: np.ndarray, bits: bool) -> Tables:
    """Return a table for each cell of the grid: the law it stands for, corrected by counts."""
    if bits:
        u = np.clip(points[..., 0], 0, LOGITS - 1)
        law = 1 / (1 + np.exp(-(np.arange(LOGITS) - (LOGITS - 1) / 2) * _LOGIT_STEP))
        ones = 40 * law + np.bincount(u.ravel(), (symbols > 0).ravel(), LOGITS)
        share = ones / (40 + np.bincount(u.ravel(), minlength=LOGITS))
        rows = [np.array([1 - p, 0.0, p]) for p in share]
        return Tables.from_pmf(rows, [-1] * LOGITS, escape=False)
    u, v = np.clip(points[..., 0], 0, SCALES - 1), np.clip(points[..., 1], 0, FRACTIONS - 1)
    rest = symbols - points[..., 2]
    cells, span = SCALES * FRACTIONS, 2 * _REACH + 1
    inside = np.abs(rest) <= _REACH
    place = ((u * FRACTIONS + v) * span + rest + _REACH)[inside]
    counts = np.bincount(place.ravel(), minlength=cells * span).reshape(cells, span)
    rows, offsets, escapes = [], [], []
    for cell in range(cells):
        scale = scale_of(cell // FRACTIONS)
        center = (cell % FRACTIONS - (FRACTIONS - 1) / 2) * _FRACTION
        reach = int(min(_REACH, math.ceil(2 + 9 * scale)))
        edges = (1 + np.tanh((np.arange(-reach, reach + 2) - 0.5 - center) / (2 * scale))) / 2
        law = np.diff(edges).clip(min=1e-6)
        seen = counts[cell, _REACH - reach : _REACH + reach + 1]
        whole = 60 * law / law.sum() + seen
        escape = 0.02 + counts[cell].sum() - seen.sum()
        rows.append(whole / (whole.sum() + escape))
        offsets.append(-reach)
        escapes.append(escape / (whole.sum() + escape))
    return Tables.from_pmf(rows, offsets, escape=escapes)


def blank(bits: bool) -> Autoregressive:
    """Return a prior that knows nothing: what stands in until one is fitted."""
    shape = context(bits)
    outputs = len(shape.grid) + shape.mean
    layer = Layer(
        np.zeros((outputs, len(shape.taps) + shape.num_sides), np.int8),
        np.zeros(outputs, np.int32),
        np.ones(outputs, np.int32),
        1,
    )
    cells = int(np.prod(shape.grid))
    tables = Tables.from_pmf([np.ones(3) / 3] * cells, [-1] * cells)
    return Autoregressive(tables, shape.taps, shape.maps, [layer], shape.grid, shape.num_sides, shape.mean)
