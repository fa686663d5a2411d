"""Networks in integers, run by NumPy: one result on every machine, thread count and tile.

A layer's sums stay below 2^24, or 2^53, whatever the inputs, so a float32, or float64, product of matrices
holds them exactly in any order of additions; what stands between layers is integer arithmetic (Ballé,
Johnston & Minnen 2019). `narrows.nets.integer` makes such networks of torch ones and runs them on devices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from narrows.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

SLOPE_BITS = 15
CONV, TRANSPOSED, LINEAR, SHUFFLE = range(4)
_INT32 = 2**31 - 1
_BAND_BYTES = 16 << 20  # of the unfolded input of one product
_BLOCK = 64


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """clamp(leaky((w x + bias) multiplier + 2^(shift - 1) >> shift)); or a pixel shuffle by `stride`.

    `weight` is laid out as the torch layer's; `bias` and `multiplier` have an entry for each output.
    `slope` in 2^-15 multiplies what is negative (32,768: no activation); `low` and `high` clamp. `most` is
    the largest |input| that the layer before lets through.
    """

    kind: int
    weight: npt.NDArray[np.int64]
    bias: npt.NDArray[np.int64]
    multiplier: npt.NDArray[np.int64]
    shift: int
    slope: int
    low: int
    high: int
    stride: int
    padding: int
    output_padding: int
    most: int

    @cached_property
    def largest_sum(self) -> int:
        """A bound on every partial sum of the layer, in any order."""
        if self.kind == SHUFFLE:
            return 0
        axes = tuple(a for a in range(self.weight.ndim) if a != (1 if self.kind == TRANSPOSED else 0))
        sums = np.abs(self.weight).sum(axis=axes).tolist()
        return max(s * self.most + abs(b) for s, b in zip(sums, self.bias.tolist(), strict=True))

    @cached_property
    def dtype(self) -> type[np.floating[Any]]:
        """The smaller float type that holds every sum exactly."""
        return np.float32 if self.largest_sum < 2**24 else np.float64

    def check(self) -> None:
        """Raise ModelError unless no sum can round and no product leaves int64."""
        whole = 0 <= self.shift <= 40 and 0 <= self.slope <= 1 << SLOPE_BITS and self.low <= 0 <= self.high
        if not CONV <= self.kind <= SHUFFLE or not whole or not 0 <= self.most <= _INT32:
            raise ModelError("an integer layer's kind, shift, slope or bounds are out of range")
        if self.kind == SHUFFLE:
            return
        shape = self.weight.shape
        if len(shape) != (2 if self.kind == LINEAR else 4) or shape[2:3] != shape[3:] or 0 in shape:
            raise ModelError("an integer layer's weight has another shape")
        bound = self.largest_sum
        factor = int(np.abs(self.multiplier).max(initial=0))
        if bound >= 2**53 or bound * factor >= 2**62 or max(-self.low, self.high) > _INT32:
            raise ModelError("a sum of the layer may leave what float64 and int64 hold: use fewer bits")

    def __call__(self, x: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Integers [channels, height, width] to int64; a linear layer is one at each position."""
        if self.kind == SHUFFLE:
            r = self.stride
            outer = x.reshape(-1, r, r, *x.shape[1:]).transpose(0, 3, 1, 4, 2)
            return outer.reshape(len(outer), x.shape[1] * r, x.shape[2] * r)
        if self.kind == TRANSPOSED:
            raise ValueError("transposed convolutions run in torch only")
        kernel, stride = (self.weight.shape[2] if self.kind == CONV else 1), self.stride
        padded = np.pad(x, ((0, 0), *((self.padding, self.padding),) * 2)).astype(self.dtype)
        rows, columns = ((side - kernel) // stride + 1 for side in padded.shape[1:])
        out = np.empty((len(self.bias), rows, columns), np.int64)
        band = max(1, _BAND_BYTES // (kernel * kernel * len(x) * columns * padded.itemsize))
        for top in range(0, rows, band):
            count = min(band, rows - top)
            taps = [
                padded[
                    :,
                    top * stride + i : top * stride + i + (count - 1) * stride + 1 : stride,
                    j : j + (columns - 1) * stride + 1 : stride,
                ]
                for i in range(kernel)
                for j in range(kernel)
            ]
            total = self._product(np.concatenate(taps).reshape(kernel * kernel * len(x), -1))
            out[:, top : top + count] = self._activated(total).reshape(-1, count, columns)
        return out

    @cached_property
    def _blocks(self) -> list[list[npt.NDArray[Any]]]:
        """The weights [outputs, taps x inputs] in blocks, in the type that holds every sum."""
        weight = self.weight if self.kind == CONV else self.weight[:, :, None, None]
        matrix = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1).astype(self.dtype)
        return [
            [
                np.ascontiguousarray(matrix[row : row + _BLOCK, column : column + _BLOCK])
                for column in range(0, matrix.shape[1], _BLOCK)
            ]
            for row in range(0, len(matrix), _BLOCK)
        ]

    def _product(self, unfolded: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return the sums [outputs, positions] of inputs [taps x inputs, positions].

        By blocks so small that BLAS starts no threads for them: on a busy machine these cost more than they
        bring, and how many there are is the caller's to say.
        """
        inputs, positions = unfolded.shape
        width = min(_BLOCK, positions)
        padded = np.pad(unfolded, ((0, 0), (0, -positions % width)))
        columns = padded.reshape(inputs, -1, width).swapaxes(0, 1)
        parts = [np.ascontiguousarray(columns[:, i : i + _BLOCK]) for i in range(0, inputs, _BLOCK)]
        out = []
        for row in self._blocks:
            total = row[0] @ parts[0]
            for block, part in zip(row[1:], parts[1:], strict=True):
                total += block @ part
            out.append(total.transpose(1, 0, 2).reshape(len(row[0]), -1)[:, :positions])
        return np.concatenate(out).astype(np.int64)

    def _activated(self, total: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return what follows the sums [outputs, positions]."""
        y = total + self.bias[:, None]
        y *= self.multiplier[:, None]
        y += 1 << self.shift >> 1
        y >>= self.shift
        if self.slope != 1 << SLOPE_BITS:
            below = (np.clip(y, self.low, 0) * self.slope + (1 << SLOPE_BITS >> 1)) >> SLOPE_BITS
            y = np.where(y < 0, below, y)
        return np.clip(y, self.low, self.high, out=y)


class IntegerNetwork:
    """A sequence of integer layers: integer tensors in, int32 out, equal everywhere. `export` makes one.

    Outputs are in 2^-fraction_bits. `arrays` and `from_arrays` carry it in a weights file. Raises
    ModelError for layers whose sums could round.
    """

    def __init__(self, layers: Sequence[IntegerLayer], fraction_bits: int) -> None:
        reaches = 0
        for i, layer in enumerate(layers):
            layer.check()
            if i and layer.most < reaches:
                raise ModelError("a layer may meet larger inputs than it was checked for")
            before = layers[i - 1] if i else layer
            if (
                i
                and before.kind == layer.kind in (CONV, LINEAR)
                and layer.weight.shape[1] != len(before.weight)
            ):
                raise ModelError("a layer takes other channels than the one before gives")
            reaches = layer.most if layer.kind == SHUFFLE else max(-layer.low, layer.high)
        if not layers:
            raise ModelError("a network has a layer or more")
        self.layers, self.fraction_bits = tuple(layers), fraction_bits

    @overload
    def __call__(self, x: npt.NDArray[Any]) -> npt.NDArray[np.int32]: ...
    @overload
    def __call__(self, x: Tensor) -> Tensor: ...
    def __call__(self, x: Any) -> Any:
        """Return int32 of integers: NumPy [channels, height, width], or torch [batch, channels, ...].

        torch tensors of linear layers are [..., features]. Inputs beyond what the network was exported for
        are clamped, so that no sum can round.
        """
        if not isinstance(x, np.ndarray):
            from narrows.nets.integer import run

            return run(self, x)
        if x.dtype.kind not in "iu" or x.ndim != 3:
            raise ValueError(f"an integer network takes integers [channels, height, width], not {x.dtype}")
        most = self.layers[0].most
        y: npt.NDArray[Any] = np.clip(x.astype(np.int64), -most, most)
        for layer in self.layers:
            y = layer(y)
        return y.astype(np.int32)

    def arrays(self, prefix: str = "") -> dict[str, npt.NDArray[Any]]:
        """Return the network as arrays for a weights file, their names beginning with `prefix`."""
        out: dict[str, npt.NDArray[Any]] = {f"{prefix}fraction_bits": np.array([self.fraction_bits])}
        for i, layer in enumerate(self.layers):
            for name in _FIELDS:
                value = getattr(layer, name)
                out[f"{prefix}{i}.{name}"] = _smallest(np.atleast_1d(np.asarray(value, np.int64)))
        return out

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], prefix: str = "") -> IntegerNetwork:
        """Undo `arrays`. Raises ModelError for what is not such a network."""
        layers: list[IntegerLayer] = []
        try:
            while f"{prefix}{len(layers)}.kind" in arrays:
                given = {name: arrays[f"{prefix}{len(layers)}.{name}"] for name in _FIELDS}
                parts: dict[str, Any] = {
                    name: value.astype(np.int64) if name in _ARRAYS else int(value[0])
                    for name, value in given.items()
                }
                layers.append(IntegerLayer(**parts))
            return cls(layers, int(arrays[f"{prefix}fraction_bits"][0]))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ModelError(f"no integer network is in these arrays: {error!r}") from None


_FIELDS = tuple(IntegerLayer.__dataclass_fields__)
_ARRAYS = ("weight", "bias", "multiplier")


def _smallest(values: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Return `values` in the smallest signed type that holds them."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return values.astype(kind)
    return values
