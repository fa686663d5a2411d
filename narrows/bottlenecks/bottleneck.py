"""What every bottleneck promises: symbols are integers, and decoded values depend on them alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from narrows.entropy import EntropyModel, Plan, Tables, decode_symbols, encode_symbols
from narrows.errors import SignalError
from narrows.limits import Limits

Ints = npt.NDArray[Any]


@dataclass(frozen=True)
class Relaxed:
    """A latent after a bottleneck, as a training step sees it.

    `z_hat` has the shape of the latent, `rate_bits` is [batch] and in eval mode what the entropy coder will
    spend; `losses` are terms to be weighted and added to the objective.
    """

    z_hat: Tensor
    rate_bits: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)


def check_latent(z: Tensor, channels: int) -> None:
    """Raise SignalError unless `z` is finite, not empty and [batch, channels, ...]."""
    if z.ndim < 2 or z.shape[1] != channels:
        raise SignalError(f"the latent is [batch, {channels}, ...], not {list(z.shape)}")
    if not z.is_floating_point():
        raise SignalError(f"the latent is floating point, not {z.dtype}")
    if z.numel() == 0:
        raise SignalError("the latent is empty")
    if not torch.isfinite(z).all():
        raise SignalError("the latent holds NaN or infinity")


def _check_rank(shape: Sequence[int]) -> None:
    """Raise ValueError where `shape` is not [batch, rows, ...]."""
    if len(shape) < 2:
        raise ValueError(f"symbols are [batch, rows, ...], not {list(shape)}")


def check_symbols(symbols: Tensor, rows: int, sizes: Tensor | int | None = None) -> None:
    """Raise ValueError unless `symbols` are integers, [batch, rows, ...] and, given `sizes`, in [0, size)."""
    if symbols.ndim < 2 or symbols.shape[1] != rows:
        raise ValueError(f"symbols are [batch, {rows}, ...], not {list(symbols.shape)}")
    if symbols.is_floating_point() or symbols.is_complex():
        raise ValueError(f"symbols are integers, not {symbols.dtype}")
    if sizes is None or symbols.numel() == 0:
        return
    above = symbols >= (sizes if isinstance(sizes, int) else along_channels(sizes, symbols.ndim))
    if bool(((symbols < 0) | above).any()):
        raise ValueError("a symbol lies outside the code")


def along_channels(values: Tensor, ndim: int) -> Tensor:
    """Return `values` [channels] as [1, channels, 1, ...] of `ndim` dimensions."""
    return values.reshape(1, -1, *[1] * (ndim - 2))


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """Return the value of `hard` with the gradient of `soft`. Not for decoding: its last bits differ."""
    return soft + (hard - soft).detach()


def widened(z: Tensor) -> Tensor:
    """Return `z` in float32 where it is of half the width; wider as it is."""
    return z.float() if z.dtype in (torch.float16, torch.bfloat16) else z


class Kept(nn.Module):
    """A module whose buffers keep their precision when the model around it is cast to a narrower type.

    Counts in bfloat16 stop at 256, and running means stop moving.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, old in before.items():
            new = self._buffers[name]
            if old is not None and new is not None and old.is_floating_point():
                self._buffers[name] = old.to(new.device) if new.itemsize < old.itemsize else new
        return self


class Indexed(EntropyModel, Protocol):
    """An entropy model that names each symbol's table from whole arrays too, as the rate needs."""

    def index(self, symbols: Ints) -> Ints: ...


@dataclass(frozen=True, eq=False)
class ByRow:
    """An entropy model of symbols [batch, rows, ...]: each row has its table."""

    tables: Tables
    passes = 1

    def plan(self, k: int, known: Ints, side: Any) -> Plan:
        return Plan(..., self.index(known))

    def index(self, symbols: Ints) -> Ints:
        """Return the table of each of `symbols` [batch, rows, ...], in a shape that broadcasts to theirs."""
        return row_index(symbols.shape)


@dataclass(frozen=True, eq=False)
class Gated:
    """An entropy model of symbols whose first `gates` rows are flags that the rows after them depend on.

    A value row has the flag of its number, or the only one, and is coded where that is set, by table
    `value_tables[row]`; elsewhere by the last table, which costs nothing. Flags have the first tables.
    """

    tables: Tables
    gates: int
    value_tables: Ints
    passes = 2

    def plan(self, k: int, known: Ints, side: Any) -> Plan:
        half = (slice(None), slice(0, self.gates) if k == 0 else slice(self.gates, None))
        return Plan(half, np.ascontiguousarray(self.index(known)[half]))

    def index(self, symbols: Ints) -> Ints:
        """Return the table of each of `symbols` [batch, rows, ...]: those of values follow from the flags."""
        flags = symbols[:, : self.gates]
        ones = [1] * (symbols.ndim - 2)
        chosen = np.where(flags > 0, self.value_tables.reshape(-1, *ones), len(self.tables) - 1)
        return np.concatenate([np.broadcast_to(row_index(flags.shape), flags.shape), chosen], 1).astype(
            np.uint16
        )


def row_index(shape: Sequence[int]) -> Ints:
    """Return the row of each symbol of `shape` [batch, rows, ...], as an array that broadcasts to it."""
    return np.arange(shape[1], dtype=np.uint16).reshape(-1, *[1] * (len(shape) - 2))


class Bottleneck(Kept, ABC):
    """Where a latent becomes symbols: [batch, channels, ...] floats to [batch, rows, ...] int64 and back.

    A subclass gives the symbols, the values, and `tables`, one frozen integer table a row of symbols.
    """

    def __init__(self, latent_channels: int) -> None:
        super().__init__()
        self.latent_channels = latent_channels

    def quantize(self, z: Tensor) -> Tensor:
        """Return the symbols of `z`, without gradient. SignalError for NaN, empty, wrong rank."""
        check_latent(z, self.latent_channels)
        with torch.no_grad():
            return self._symbols(z)

    @abstractmethod
    def _symbols(self, z: Tensor) -> Tensor:
        """Return the symbols of a checked latent."""

    @abstractmethod
    def dequantize(self, symbols: Tensor) -> Tensor:
        """Return the latent that `symbols` stand for. ValueError for symbols outside the code."""

    @abstractmethod
    def tables(self) -> Tables:
        """Return what has been learned of the symbols so far, a table for each row, frozen as integers."""

    @abstractmethod
    def _relaxed(self, z: Tensor) -> Relaxed:
        """Return a differentiable stand-in; called in training mode with a checked latent."""

    def relax(self, z: Tensor) -> Relaxed:
        """Return `z` after the bottleneck: with gradients in training, what a decoder gets in eval mode."""
        check_latent(z, self.latent_channels)
        if self.training:
            return self._relaxed(z)
        with torch.no_grad():
            symbols = self._symbols(z)
        return Relaxed(self.dequantize(symbols), self.rate_bits(symbols))

    def entropy_model(self) -> Indexed:
        """Return which table codes which symbol, frozen as integers."""
        return ByRow(self.tables())

    def coded(self, symbols: Tensor) -> Tensor:
        """Return `symbols` as the entropy model knows them: as they are, or with flags before them."""
        return symbols

    def encode(self, symbols: Tensor) -> bytes:
        """Return `symbols` as bytes that `decode` reads, by the entropy model as it is now."""
        _check_rank(symbols.shape)
        return encode_symbols(self.entropy_model(), self.coded(symbols).cpu().numpy(), hash_index=False)

    def decode(self, payload: bytes, shape: Sequence[int], *, limits: Limits = Limits()) -> Tensor:
        """Return the symbols of `shape` that `encode` was given.

        Raises CorruptStream for damage and where the tables are others, as after further training.
        """
        _check_rank(shape)
        found = decode_symbols(self.entropy_model(), payload, shape, limits=limits)
        return torch.from_numpy(found.astype(np.int64))

    def rate_bits(self, symbols: Tensor) -> Tensor:
        """Return the ideal code length of each batch item under `tables`, [batch] float64."""
        _check_rank(symbols.shape)
        model, values = self.entropy_model(), self.coded(symbols).cpu().numpy()
        index = np.broadcast_to(model.index(values), values.shape)
        items = zip(values, index, strict=True)
        return torch.tensor([model.tables.cost_bits(*item) for item in items], dtype=torch.float64)
