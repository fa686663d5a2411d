"""A plain decoder of `tokens/NAME`, written from docs/format.md alone: slow, to be read. Colors only.

The symbols come from the entropy core's autoregressive model, by its public interface; all else is here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from narrows.entropy import Autoregressive, Layer, Tables

Arrays = Mapping[str, np.ndarray]


def pixels(name: str, weights: Arrays, params: bytes, payload: bytes, dims: tuple[int, int, int, int]) -> Any:
    """Return the pixels [height, width, 1 or 3] of a DATA payload; `dims` ends in channels and peak."""
    height, width, channels, peak = dims
    rate = _varint(params)
    channels_inside = weights["decoder.linear.0.weight"].shape[1]
    rows = {"vq": 10 * rate, "bsq": rate}.get(name, channels_inside)
    shape = (rows, math.ceil(height / 8), math.ceil(width / 8))
    side = None if name in ("vq", "bsq") else np.full((1, *shape), _step(weights["rates"], rate), np.uint8)
    symbols = _prior(weights).decode(payload, shape, side, check=False)
    latent = _latent(name, weights, symbols.astype(np.int64), rate)
    planes = sum(_network(weights, f"decoder.{part}", latent) for part in ("linear", "net"))
    planes = (planes / 64).astype(np.float32)
    for _ in range(3):
        ll, lh, hl, hh = (planes[i::4] for i in range(4))
        planes = _joined(_joined(ll, lh, 2), _joined(hl, hh, 2), 1)
    planes = planes[:, :height, :width]
    if channels == 1:
        planes = (((planes[0] + planes[1]) + planes[2]) / np.float32(3))[None]
    levels = (planes + np.float32(127.5)) * np.float32(peak) / np.float32(255)
    return np.clip(np.round(levels), 0, peak).astype(int).transpose(1, 2, 0)


def _varint(data: bytes) -> int:
    return sum((byte & 127) << 7 * place for place, byte in enumerate(data))


def _log2_256(value: int) -> int:
    place = value.bit_length() - 1
    return 256 * place + math.floor(256 * math.log2(1 + ((value << 8 >> place) & 255) / 256) + 1e-9)


def _step(rates: np.ndarray, rate: int) -> int:
    low, high = sorted(_log2_256(int(value)) for value in rates)
    r = (high - low) // 4 + 1
    return min(127, max(0, 127 * (_log2_256(rate) - low + r) // (high - low + 2 * r)))


def _prior(weights: Arrays) -> Autoregressive:
    layers = []
    while f"prior.{len(layers)}.weights" in weights:
        names = (f"prior.{len(layers)}.{part}" for part in ("weights", "bias", "multiplier", "shift"))
        *three, shift = (weights[each] for each in names)
        layers.append(Layer(*three, int(shift[0])))
    starts = np.pad(np.cumsum(weights["prior.frequencies"].astype(int), axis=1), ((0, 0), (1, 0)))
    offset, size = weights["prior.offset"].astype(np.int32), weights["prior.size"].astype(np.int32)
    bits = int(weights["prior.bits"][0])
    tables = Tables(bits, offset, np.zeros(len(offset), np.uint8), size, starts.astype(np.uint32))
    u, v, sides, mean = (int(value) for value in weights["prior.form"])
    taps = weights["prior.taps"].astype(np.int32)
    return Autoregressive(
        tables, taps, weights["prior.maps"], layers, (u, v)[: 1 + (v > 1)], sides, bool(mean)
    )


def _latent(name: str, weights: Arrays, symbols: np.ndarray, rate: int) -> np.ndarray:
    if name in ("vae", "wae"):
        return symbols * rate
    if name == "bsq":
        unsent = weights["decoder.linear.0.weight"].shape[1] - rate
        return np.pad(64 * symbols, ((0, unsent), (0, 0), (0, 0)))
    code = weights["code"].astype(np.int64)
    if name == "walloc":
        place = 2032 + symbols * rate
        last = len(code) - 1
        return code[np.clip(place, 0, last)] + np.minimum(place, 0) + np.maximum(place - last, 0)
    total = 0
    for stage, bits in enumerate(np.split(symbols, rate)):
        ids = sum((bit > 0).astype(int) << 9 - place for place, bit in enumerate(bits))
        total = total + code[stage][ids].transpose(2, 0, 1)
    return np.asarray(total)


def _network(weights: Arrays, name: str, x: np.ndarray) -> Any:
    most = int(weights[f"{name}.0.most"][0])
    x = np.clip(x, -most, most)
    number = 0
    while f"{name}.{number}.weight" in weights:
        fields = ("shift", "slope", "low", "high")
        shift, slope, low, high = (int(weights[f"{name}.{number}.{field}"][0]) for field in fields)
        w = weights[f"{name}.{number}.weight"].astype(np.int64)
        around = w.shape[2] // 2
        padded = np.pad(x, ((0, 0), (around, around), (around, around)))
        y = np.zeros((len(w), *x.shape[1:]), np.int64)
        for i in range(w.shape[2]):
            for j in range(w.shape[3]):
                part = padded[:, i : i + x.shape[1], j : j + x.shape[2]]
                y += np.einsum("oc,chw->ohw", w[:, :, i, j], part)
        bias, multiplier = (weights[f"{name}.{number}.{part}"].astype(int) for part in ("bias", "multiplier"))
        y = ((y + bias[:, None, None]) * multiplier[:, None, None] + 2 ** (shift - 1)) >> shift
        if slope != 1 << 15:
            y = np.where(y < 0, (np.maximum(y, low) * slope + (1 << 14)) >> 15, y)
        x = np.clip(y, low, high)
        number += 1
    return x


def _joined(s: np.ndarray, d: np.ndarray, axis: int) -> np.ndarray:
    """Halves side by side along `axis`, s the even lines; each operation in float32."""
    s, d = np.moveaxis(s, axis, 0), np.moveaxis(d, axis, 0)
    gain = 1.230174104914001 / math.sqrt(2)
    s, d = s * np.float32(gain), d * np.float32(1 / gain)

    def lift_even(constant: float) -> np.ndarray:
        return s + (np.concatenate([d[:1], d[:-1]]) + d) * np.float32(constant)

    def lift_odd(constant: float) -> np.ndarray:
        return d + (s + np.concatenate([s[1:], s[-1:]])) * np.float32(constant)

    s = lift_even(-0.443506852043971)
    d = lift_odd(-0.882911075530934)
    s = lift_even(0.052980118572961)
    d = lift_odd(1.586134342059924)
    whole = np.stack([s, d], 1).reshape(-1, *s.shape[1:])
    return np.moveaxis(whole, 0, axis)
