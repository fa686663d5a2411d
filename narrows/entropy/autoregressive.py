"""Autoregressive coding: an integer network reads symbols already coded and names the table of the next.

The loop is C++ (`core/src/context`), since a network runs between any two symbols; `docs/format.md`,
"Context networks", defines it, and any weights of that form will do. `narrows.nets.integer.export_context`
makes them of a torch network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from narrows import _core
from narrows._core import crc32c
from narrows.entropy.arrays import Ints, array_of, int32_of, integers
from narrows.entropy.coder import Adaptive
from narrows.entropy.framing import STREAM, ModelPayload, checked_shape
from narrows.entropy.tables import Tables
from narrows.errors import CorruptStream
from narrows.limits import Limits

_LIMITS = Limits()


def identity_map(size: int = 128) -> npt.NDArray[np.uint8]:
    """Return the map that clamps a symbol to size values around 0 and adds size // 2: signed inputs.

    >>> identity_map(4).tolist()  # symbols -2, -1, 0, 1
    [0, 1, 2, 3]
    """
    if not 1 <= size <= 128:
        raise ValueError(f"a map's values are 0 to 127: {size} do not fit")
    return np.arange(size, dtype=np.uint8)


def magnitude_map() -> npt.NDArray[np.uint8]:
    """Return the map of `wave`: 12 log2(|symbol| + 1) of up to 2,047, at most 127.

    >>> table = magnitude_map()
    >>> [int(table[v + 2048]) for v in (-1, 0, 1, 2, 100)]
    [12, 0, 12, 19, 80]
    """
    from narrows.entropy.reference import log2_256

    values = np.array([min(127, (12 * log2_256(size + 1) + 128) >> 8) for size in range(2049)], np.uint8)
    return values[np.abs(np.arange(-2048, 2048))]


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer in integers: clamp((w x + bias) multiplier + 2^(shift - 1) >> shift, 0, 127) of bytes x.

    `weights` int8 [outputs, inputs], or [num_nets, outputs, inputs]; `bias` and `multiplier` int32 of
    [outputs] likewise; `shift` 1 to 30. The last layer of a network is not clamped.
    """

    weights: npt.NDArray[np.int8]
    bias: npt.NDArray[np.int32]
    multiplier: npt.NDArray[np.int32]
    shift: int

    def __post_init__(self) -> None:
        weights = array_of(self.weights, "weights")
        if weights.ndim not in (2, 3) or weights.dtype != np.int8:
            raise ValueError("weights are int8 [outputs, inputs] or [num_nets, outputs, inputs]")
        if not 1 <= index(self.shift) <= 30:
            raise ValueError(f"a shift is 1 to 30, not {self.shift}")
        object.__setattr__(self, "weights", weights)
        for name in ("bias", "multiplier"):
            value = int32_of(np.atleast_1d(array_of(getattr(self, name), name)), name)
            if value.shape != weights.shape[:-1]:
                raise ValueError(f"{name} has shape {weights.shape[:-1]}, not {value.shape}")
            object.__setattr__(self, name, value)

    @property
    def num_nets(self) -> int:
        return 1 if self.weights.ndim == 2 else len(self.weights)


@dataclass(frozen=True, eq=False)
class Autoregressive:
    """Symbols [..., channels, height, width], each with the table its neighbors name; coded in that order.

    `taps` [num_taps, 3 or 4] are (channel, row, column, map) relative to the symbol, which they must come
    before: channel < 0, or 0 and row < 0, or both 0 and column < 0. Outside the array a symbol is 0. `maps`
    uint8 [num_maps, size] of 0..127: symbol v reads as entry v + size // 2, clamped. The network's inputs
    are the taps, then `num_sides` bytes 0..127 of side information at the symbol itself: `side` uint8
    [num_sides, *shape].

    `grid` (u,) or (u, v): the network's outputs, clamped to 0 .. u - 1 and 0 .. v - 1, name table out[0] v
    + out[1]. With `mean`, its last output is subtracted from the symbol before coding. Where layers hold
    several networks, channel c has network c (the last for all beyond), and there may be a grid of tables
    for each. `tables` that are `Adaptive` follow the symbols: each call works on a copy.

    Raises ValueError for a tap that is not causal, shapes that do not fit, and weights with which a sum could
    leave int32.

    >>> from narrows import entropy
    >>> family = entropy.scale_family("laplace", [1 << 19, 1 << 20, 1 << 21, 1 << 22])
    >>> taps = [(0, -1, 0), (0, 0, -1)]  # above and left
    >>> half = Layer(np.array([[12, 12]], np.int8), np.array([0]), np.array([1]), 8)
    >>> model = Autoregressive(family.tables, taps, magnitude_map()[None], [half], grid=(4,))
    >>> symbols = np.random.default_rng(0).integers(-2, 3, (2, 1, 8, 8))
    >>> payload = entropy.encode_symbols(model, symbols)
    >>> bool((entropy.decode_symbols(model, payload, symbols.shape) == symbols).all())
    True
    """

    tables: Tables | Adaptive
    taps: Sequence[Sequence[int]] | Ints
    maps: npt.NDArray[np.uint8]
    layers: Sequence[Layer]
    grid: tuple[int, ...]
    num_sides: int = 0
    mean: bool = False
    _held: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.tables, Tables | Adaptive):
            raise TypeError(f"tables are Tables or Adaptive, not {type(self.tables).__name__}")
        taps = integers(self.taps if len(self.taps) else np.zeros((0, 4), int), "a tap")
        if taps.ndim != 2 or taps.shape[1] not in (3, 4):
            raise ValueError("taps are [num_taps, 3 or 4]: channel, row, column, map")
        taps = int32_of(np.pad(taps, ((0, 0), (0, 4 - taps.shape[1]))), "a tap")
        maps = array_of(self.maps, "maps")
        if maps.ndim != 2 or maps.dtype != np.uint8:
            raise ValueError("maps are uint8 [num_maps, size]")
        if not all(isinstance(layer, Layer) for layer in self.layers):
            raise TypeError("layers are of the class Layer")
        nets = {layer.num_nets for layer in self.layers}
        if len(nets) != 1:
            raise ValueError("all layers hold equally many networks")
        counts = [index(n) for n in (self.num_sides, *self.grid)]
        if len(counts) not in (2, 3) or min(counts) < 0 or max(counts) >= 2**31:
            raise ValueError("a grid has one side or two; they and num_sides are counts")
        layers = [
            (
                layer.weights.shape[-1],
                layer.weights.shape[-2],
                np.ascontiguousarray(layer.weights).reshape(-1),
                layer.bias.reshape(-1),
                layer.multiplier.reshape(-1),
                int(layer.shift),
            )
            for layer in self.layers
        ]
        held = _core.Context(
            taps.reshape(-1),
            counts[0],
            np.ascontiguousarray(maps).reshape(-1),
            len(maps),
            nets.pop(),
            layers,
            [*counts[1:], 1][:2],
            bool(self.mean),
        )
        object.__setattr__(self, "_held", held)

    def digest(self) -> bytes:
        """Return 4 bytes that tell this network and its tables from others."""
        tables = self.tables.tables if isinstance(self.tables, Adaptive) else self.tables
        return int(crc32c(tables.digest(), self._held.digest)).to_bytes(4, "little")

    def _arguments(self, side: Any, shape: tuple[int, ...]) -> tuple[list[int], Ints, Any]:
        if len(shape) < 3:
            raise ValueError(f"symbols are [..., channels, height, width], not {shape}")
        given = integers(side if side is not None else np.zeros((0, *shape), np.uint8), "side")
        if given.shape != (self.num_sides, *shape):
            raise ValueError(f"side is [{self.num_sides}, *{shape}], not {given.shape}")
        if given.size and (given.min() < 0 or given.max() > 127):
            raise ValueError("a side holds 0 to 127")
        items = int(np.prod(shape[:-3], dtype=np.int64))
        tables = self.tables.copy() if isinstance(self.tables, Adaptive) else self.tables
        return [items, *shape[-3:]], np.ascontiguousarray(given, np.uint8).reshape(-1), tables._held

    def encode(
        self, symbols: npt.ArrayLike, side: Any = None, *, check: bool = True, hash_index: bool = True
    ) -> bytes:
        """Code int32 `symbols` [..., channels, height, width]; all survive where tables have escapes."""
        given = int32_of(symbols, "symbols")
        sizes, sides, tables = self._arguments(side, given.shape)
        stream = self._held.encode(sizes, given.reshape(-1), sides, tables, hash_index)
        return ModelPayload(STREAM, self.digest(), given.size, 1, hash_index, [stream]).to_bytes(check)

    def decode(
        self,
        payload: bytes,
        shape: Sequence[int],
        side: Any = None,
        *,
        check: bool = True,
        limits: Limits = _LIMITS,
    ) -> npt.NDArray[np.int32]:
        """Return the symbols [*shape], given the same network, tables and side."""
        wanted, num_symbols = checked_shape(shape, limits)
        sizes, sides, tables = self._arguments(side, wanted)
        if num_symbols:
            limits.check("max_output_bytes", 4 * num_symbols + self._held.working_bytes(sizes))
        parsed = ModelPayload.read(payload, check, num_symbols, self.digest())
        out = np.zeros(wanted, np.int32)
        try:
            self._held.decode(sizes, parsed.pieces[0], sides, tables, parsed.hashed, out.reshape(-1))
        except CorruptStream as error:
            if not check:
                raise
            said = "the payload is sound: was the model given another side, or tables that had adapted?"
            raise CorruptStream(f"{error}; {said}") from None
        return out
