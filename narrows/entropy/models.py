"""Entropy models: which table codes which symbol, decided by integers that the decoder knows as well.

A model codes an array in passes. Before each it plans, from the symbols of earlier passes and from side
integers (hyper-latents, the frame before), which positions come now, with which table, and about which
integer mean. `encode_symbols` and `decode_symbols` run the passes and are the same for every model.

>>> import numpy as np
>>> from narrows import entropy
>>> model = entropy.Hyperprior(entropy.scale_family("gaussian"))
>>> symbols = np.random.default_rng(0).normal(5, 2, (1, 3, 4, 4)).round().astype(np.int32)
>>> side = np.stack([np.full(symbols.shape, 2 << 16), np.full(symbols.shape, 5)])  # scale 2, mean 5: integers
>>> payload = entropy.encode_symbols(model, symbols, side)
>>> bool((entropy.decode_symbols(model, payload, symbols.shape, side) == symbols).all())
True
>>> entropy.decode_symbols(model, payload, symbols.shape, side * 2)
Traceback (most recent call last):
narrows.errors.CorruptStream: indexes differ in pass 1: your model computed other indexes or means than ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from narrows.entropy.arrays import Ints, int32_of, integers
from narrows.entropy.coder import RangeDecoder, RangeEncoder, decode, encode
from narrows.entropy.distributions import SCALE_BITS, ScaleFamily
from narrows.entropy.framing import PASSES, STREAM, ModelPayload, bytes_of, checked_shape, hash_of
from narrows.entropy.tables import Tables
from narrows.errors import CorruptStream
from narrows.limits import Limits

Mask = npt.NDArray[np.bool_] | EllipsisType | tuple[int | slice | EllipsisType, ...]
Parameters = Callable[[int, npt.NDArray[np.int32], Any], tuple[Ints, Ints | None]]
"""(pass, known symbols, side) to integer scales, and means or None: each has the shape of the symbols, or of
what the pass codes, or broadcasts to the former."""

_LIMITS = Limits()
# Below so many symbols a pass the fields of rANS payloads would cost over 1 %; the range coder has none.
_FEW = 1 << 16


@dataclass(frozen=True, eq=False)
class Plan:
    """What one pass codes, and how.

    `mask` selects positions (booleans, a tuple of slices, or ... for all), `index` names their tables and
    `mean` is subtracted before coding. The latter two have the shape of what the mask selects, or one that
    broadcasts to all symbols.
    """

    mask: Mask
    index: npt.ArrayLike
    mean: npt.ArrayLike = 0


@runtime_checkable
class EntropyModel(Protocol):
    """What `encode_symbols` and `decode_symbols` want of a model that codes in passes.

    `plan` is called for k = 0 .. passes - 1 with the symbols of earlier passes (0 where unknown, read only)
    and the caller's `side`; it gives a Plan, or the tuple (mask, index). Every position belongs to one
    pass. Equal integers must give equal plans on every machine: no float may decide.

    >>> class FrameBefore:
    ...     '''A symbol's table follows from the same place in the frame before: side.'''
    ...     passes = 1
    ...     def __init__(self, family):
    ...         self.tables, self.family = family.tables, family
    ...     def plan(self, k, known, side):
    ...         return ..., self.family.index(abs(side) + 1, fraction_bits=0)
    >>> from narrows import entropy
    >>> model = FrameBefore(entropy.scale_family("laplace"))
    >>> isinstance(model, EntropyModel)
    True
    >>> payload = entropy.encode_symbols(model, np.array([3, 0, -7]), np.array([2, 0, -9]))
    >>> entropy.decode_symbols(model, payload, (3,), np.array([2, 0, -9]))
    array([ 3,  0, -7], dtype=int32)
    """

    @property
    def tables(self) -> Tables: ...
    @property
    def passes(self) -> int: ...
    def plan(self, k: int, known: npt.NDArray[np.int32], side: Any) -> Plan | tuple[Mask, npt.ArrayLike]: ...


class SymbolModel(Protocol):
    """A model that changes after each symbol, or has a distribution for each, and codes by itself."""

    def encode(self, symbols: npt.ArrayLike, side: Any = None, *, check: bool = True) -> bytes: ...
    def decode(
        self,
        payload: bytes,
        shape: Sequence[int],
        side: Any = None,
        *,
        check: bool = True,
        limits: Limits = _LIMITS,
    ) -> npt.NDArray[np.int32]: ...


def _selected(values: npt.ArrayLike, name: str, mask: Mask, shape: tuple[int, ...], part: Ints) -> Ints:
    """The entries of `values` at the mask, in the form of `part`."""
    given = integers(values, name)
    if given.shape == part.shape:
        return given
    try:
        whole = np.broadcast_to(given, shape)
    except ValueError:
        raise ValueError(f"{name} of shape {given.shape} is neither for all symbols nor for a pass") from None
    return np.ascontiguousarray(whole[mask])


def _part(known: npt.NDArray[np.int32], mask: Any) -> npt.NDArray[np.int32]:
    """What is known at a mask, once each; ValueError for a mask of another kind or shape."""
    parts = mask if isinstance(mask, tuple) else (mask,)
    plain = all(isinstance(part, int | slice | EllipsisType) and not isinstance(part, bool) for part in parts)
    if not plain and getattr(mask, "dtype", None) != np.bool_:
        raise ValueError("a mask is booleans, a tuple of slices and numbers, or ...")
    try:
        part: npt.NDArray[np.int32] = known[mask]
    except IndexError as error:
        raise ValueError(f"a mask does not fit the symbols: {error}") from None
    return part


@dataclass(frozen=True, eq=False)
class _Step:
    mask: Mask
    index: Ints
    mean: npt.NDArray[np.int32] | None
    symbols: npt.NDArray[np.int32]  # a view or copy of what is known there


def _steps(model: EntropyModel, known: npt.NDArray[np.int32], side: Any) -> Iterator[_Step]:
    """Plan each pass, and see to it that each position has exactly one; the caller fills `known` between."""
    shown = known.view()
    shown.flags.writeable = False
    seen = np.zeros(known.shape, bool) if model.passes > 1 else None
    num_seen = 0
    for k in range(model.passes):
        planned = model.plan(k, shown, side)
        plan = planned if isinstance(planned, Plan) else Plan(*planned)
        part = _part(known, plan.mask)
        index = _selected(plan.index, "an index", plan.mask, known.shape, part)
        mean = None
        if np.ndim(plan.mean) or plan.mean != 0:
            mean = int32_of(_selected(plan.mean, "a mean", plan.mask, known.shape, part), "a mean")
        if seen is not None:
            if np.any(seen[plan.mask]):
                raise ValueError(f"pass {k + 1} codes positions that an earlier pass has coded")
            seen[plan.mask] = True
        num_seen += part.size
        yield _Step(plan.mask, index, mean, part)
    if num_seen != known.size:
        raise ValueError(f"the model's passes code {num_seen:,} of {known.size:,} symbols")


def _check_model(model: Any) -> None:
    if not (hasattr(model, "encode") and hasattr(model, "decode")):
        what = "a model has tables, passes and plan, or encode and decode"
        raise TypeError(f"{what}: {type(model).__name__} has neither")


def encode_symbols(
    model: EntropyModel | SymbolModel,
    symbols: npt.ArrayLike,
    side: Any = None,
    *,
    check: bool = True,
    hash_index: bool = True,
    threads: int = 1,
) -> bytes:
    """Code integer `symbols` of any shape (a batch too) by `model` into a payload that stands alone.

    Every int32 survives, unless the model's tables are closed. `check` ends the payload with a checksum of
    4 bytes; `hash_index` adds 2 to 4 bytes a pass, by which a decoder tells a model that computes other
    indexes or means from sound data before it decodes garbage. The bytes depend on neither threads nor
    processor.

    Raises ValueError for symbols beyond int32, an index that names no table, and a plan that codes a position
    twice or never.
    """
    if threads < 1:
        raise ValueError("threads is positive")
    if not isinstance(model, EntropyModel):
        _check_model(model)
        return model.encode(symbols, side, check=check)
    given = int32_of(symbols, "symbols")
    tables, known = model.tables, np.zeros(given.shape, np.int32)
    stream = RangeEncoder() if given.size <= _FEW * model.passes else None
    out = ModelPayload(
        PASSES if stream is None else STREAM, tables.digest(), given.size, model.passes, hash_index
    )
    for step in _steps(model, known, side):
        coded = given[step.mask]
        known[step.mask] = coded
        if coded.size == 0:
            if stream is None:
                out.pieces.append(b"")
            continue
        if step.mean is not None:
            coded = coded - step.mean  # modulo 2^32, as is the sum that undoes it
        digest = hash_of(step.index, step.mean) if hash_index else 0
        if stream is not None:
            if hash_index:
                stream.put_bits([digest & 0xFFFF], [16])
            stream.put(coded, step.index, tables)
        else:
            piece = encode(coded, step.index, tables, check=False, threads=threads)
            out.pieces.append(digest.to_bytes(4, "little") + piece if hash_index else piece)
    if stream is not None:
        out.pieces.append(stream.finish())
    return out.to_bytes(check)


def decode_symbols(
    model: EntropyModel | SymbolModel,
    payload: bytes | bytearray | memoryview,
    shape: Sequence[int],
    side: Any = None,
    *,
    check: bool = True,
    threads: int = 1,
    limits: Limits = _LIMITS,
) -> npt.NDArray[np.int32]:
    """Return the int32 symbols [*shape] that `encode_symbols` was given, with the same model and side.

    Raises CorruptStream (TruncatedStream, UnsupportedStream) for anything but a whole and sound payload of
    that many symbols. "tables differ" and "indexes differ" mean sound data and a model that has or computed
    others. Raises ValueError as `encode_symbols` does, LimitExceeded above `limits.max_output_bytes`.
    """
    wanted, num_symbols = checked_shape(shape, limits)
    if threads < 1:
        raise ValueError("threads is positive")
    if not isinstance(model, EntropyModel):
        _check_model(model)
        return model.decode(bytes_of(payload), wanted, side, check=check, limits=limits)
    tables = model.tables
    parsed = ModelPayload.read(payload, check, num_symbols, tables.digest(), (PASSES, STREAM), model.passes)
    known = np.zeros(wanted, np.int32)
    stream = RangeDecoder(parsed.pieces[0]) if parsed.profile == STREAM else None
    for k, step in enumerate(_steps(model, known, side)):
        piece = b"" if stream is not None else parsed.pieces[k]
        if step.symbols.size == 0:
            if piece:
                raise CorruptStream(f"pass {k + 1} has bytes but no symbols")
            continue
        if parsed.hashed:
            if stream is not None:
                told, width = int(stream.get_bits([16])[0]), 16
            else:
                told, width, piece = int.from_bytes(piece[:4], "little"), 32, piece[4:]
            if told != hash_of(step.index, step.mean) & ((1 << width) - 1):
                if step.index.min() < 0 or step.index.max() >= len(tables):
                    raise ValueError("an index names no table")
                raise CorruptStream(
                    f"indexes differ in pass {k + 1}: your model computed other indexes or means than "
                    "the encoder's, or was given another side"
                )
        if stream is not None:
            coded = stream.get(step.index, tables)
        else:
            coded = decode(piece, step.index, tables, check=False, threads=threads)
        known[step.mask] = coded if step.mean is None else coded + step.mean
    if stream is not None:
        stream.finish()
    return known


@dataclass(frozen=True)
class Static:
    """Each position has its table for good: factorised densities, one table a channel.

    `index` broadcasts to the symbols' shape; None means table c for channel c of [..., channels, height,
    width].

    >>> from narrows import entropy
    >>> tables = entropy.Tables.from_pmf([[0.5, 0.5], [0.1, 0.8, 0.1]], offsets=[0, -1])
    >>> model = Static(tables)
    >>> payload = entropy.encode_symbols(model, np.zeros((2, 2, 8, 8), np.int32))
    >>> entropy.decode_symbols(model, payload, (2, 2, 8, 8)).any()
    np.False_
    """

    tables: Tables
    index: Ints | None = None
    passes = 1

    def plan(self, k: int, known: npt.NDArray[np.int32], side: Any) -> Plan:
        if self.index is not None:
            return Plan(..., self.index)
        if known.ndim < 3 or known.shape[-3] > len(self.tables):
            raise ValueError(f"symbols are [..., at most {len(self.tables)} channels, height, width]")
        return Plan(..., np.arange(known.shape[-3], dtype=np.uint16)[:, None, None])


@dataclass(frozen=True)
class _Conditional:
    """A table by integer scale, about an integer mean."""

    family: ScaleFamily
    parameters: Parameters | None = None
    fraction_bits: int = 16
    mean_bits: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.fraction_bits <= SCALE_BITS or not 0 <= self.mean_bits <= 31:
            raise ValueError(f"fraction_bits is 0 to {SCALE_BITS}, mean_bits 0 to 31")

    @property
    def tables(self) -> Tables:
        return self.family.tables

    def _planned(self, mask: Mask, k: int, known: npt.NDArray[np.int32], side: Any) -> Plan:
        if self.parameters is not None:
            scales, means = self.parameters(k, known, side)
        else:
            given = integers(side, "side")
            if given.shape == known.shape:
                scales, means = given, None
            elif given.shape == (2, *known.shape):
                scales, means = given
            else:
                raise ValueError(f"side is scales, or [scales, means], of {known.shape}, not {given.shape}")
        index = self.family.index(scales, self.fraction_bits)
        if means is None:
            return Plan(mask, index)
        whole = integers(means, "a mean")
        if self.mean_bits:
            whole = (whole.astype(np.int64) + (1 << self.mean_bits >> 1)) >> self.mean_bits
        return Plan(mask, index, whole)


@dataclass(frozen=True)
class Hyperprior(_Conditional):
    """Scale and mean of every symbol follow from side integers (Ballé et al. 2018, Minnen et al. 2018).

    `side` holds the integer scales in 2^-fraction_bits, [*shape], or scales and means [2, *shape]; or
    whatever `parameters(k, known, side)` makes scales and means of, such as an integer network on
    hyper-latents (see `narrows.nets.integer`). Means are in 2^-mean_bits and rounded; symbols are coded
    less their mean.
    """

    @property
    def passes(self) -> int:
        return 1

    def plan(self, k: int, known: npt.NDArray[np.int32], side: Any) -> Plan:
        return self._planned(..., k, known, side)


def _squares(shape: tuple[int, ...], odd: int) -> npt.NDArray[np.bool_]:
    if len(shape) < 2:
        raise ValueError("a checkerboard needs symbols [..., height, width]")
    rows, columns = np.ogrid[: shape[-2], : shape[-1]]
    return np.broadcast_to((rows + columns) % 2 == odd, shape)


@dataclass(frozen=True)
class Checkerboard(_Conditional):
    """Two passes (He et al. 2021): first where row + column is even, then the rest with its neighbors known.

    `parameters(k, known, side)` gives scales and means for k = 0 and 1; `known` is 0 on squares not yet
    coded.

    >>> from narrows import entropy
    >>> def parameters(k, known, side):
    ...     '''A scale by the size of the four neighbors.'''
    ...     around = np.abs(np.pad(known, 1))
    ...     total = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
    ...     return (total if k else np.full(known.shape, 4)) + 1, None
    >>> model = Checkerboard(entropy.scale_family("laplace"), parameters, fraction_bits=2)
    >>> symbols = np.random.default_rng(1).integers(-3, 4, (9, 7))
    >>> payload = entropy.encode_symbols(model, symbols)
    >>> bool((entropy.decode_symbols(model, payload, (9, 7)) == symbols).all())
    True
    """

    @property
    def passes(self) -> int:
        return 2

    def plan(self, k: int, known: npt.NDArray[np.int32], side: Any) -> Plan:
        if self.parameters is None:
            raise ValueError("a checkerboard's scales depend on what is known: give parameters")
        return self._planned(_squares(known.shape, k), k, known, side)


@dataclass(frozen=True)
class ChannelGroups(_Conditional):
    """Groups of channels one after the other (Minnen & Singh 2020), each knowing those before.

    `groups` holds the number of channels of each, in order; symbols are [..., channels, height, width]. With
    `checkerboard` each group takes two passes (He et al. 2022): pass k then belongs to group k // 2.

    >>> from narrows import entropy
    >>> def parameters(k, known, side):
    ...     return np.full(known.shape, 1 + k), None
    >>> model = ChannelGroups(entropy.scale_family("gaussian"), parameters, 0, groups=(1, 3))
    >>> symbols = np.zeros((2, 4, 5, 5), np.int8)
    >>> payload = entropy.encode_symbols(model, symbols)
    >>> entropy.decode_symbols(model, payload, (2, 4, 5, 5)).any()
    np.False_
    """

    groups: Sequence[int] = (1,)
    checkerboard: bool = False

    @property
    def passes(self) -> int:
        return len(self.groups) * (2 if self.checkerboard else 1)

    def plan(self, k: int, known: npt.NDArray[np.int32], side: Any) -> Plan:
        if self.parameters is None:
            raise ValueError("a group's scales depend on what is known: give parameters")
        if known.ndim < 3 or known.shape[-3] != sum(self.groups):
            raise ValueError(f"symbols are [..., {sum(self.groups)} channels, height, width]")
        group = k // 2 if self.checkerboard else k
        first = sum(self.groups[:group])
        chosen: Mask = (..., slice(first, first + self.groups[group]), slice(None), slice(None))
        if self.checkerboard:
            squares = np.zeros(known.shape, bool)
            squares[chosen] = _squares(known.shape, k % 2)[chosen]
            chosen = squares
        return self._planned(chosen, k, known, side)
