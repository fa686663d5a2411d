"""The functions of torchac on this coder: change the import, keep the calls.

    from narrows.entropy.compat import torchac

    payload = torchac.encode_float_cdf(cdf, symbols)        # cdf [..., L + 1] float32, symbols [...] int16
    symbols = torchac.decode_float_cdf(cdf, payload)

The same probabilities, this project's bytes: some 16 more a call, by which damage, or a CDF that is not bit
for bit the encoder's, raises CorruptStream instead of giving garbage. Takes torch tensors or NumPy arrays and
compiles nothing.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from narrows import _core
from narrows.entropy.arrays import array_of
from narrows.errors import CorruptStream

PRECISION = 16


def encode_float_cdf(
    cdf_float: Any, sym: Any, needs_normalization: bool = True, check_input_bounds: bool = False
) -> bytes:
    """Code each of `sym` [...] with its row of `cdf_float` [..., L + 1]: sym[i] in 0 .. L - 1.

    With `needs_normalization` every symbol gets a slot, so that none is impossible. Bounds are checked in any
    case; `check_input_bounds` is there for the call's sake. A CDF expanded from one row costs one row.

    Raises ValueError for shapes that do not fit, rows that fall or leave [0, 1], and symbols without
    probability.

    >>> import numpy as np
    >>> cdf = np.tile(np.float32([0, 0.7, 0.9, 1]), (1000, 1))
    >>> symbols = np.arange(1000, dtype=np.int16) % 3
    >>> bool((decode_float_cdf(cdf, encode_float_cdf(cdf, symbols)) == symbols).all())
    True
    """
    rows = _rows(cdf_float, np.float32)
    return _encode(_core.model_of_float_cdf(rows, bool(needs_normalization)), cdf_float, sym)


def decode_float_cdf(cdf_float: Any, byte_stream: bytes, needs_normalization: bool = True) -> Any:
    """Return the int16 symbols that `encode_float_cdf` was given with this CDF.

    Raises CorruptStream for damage and for any other CDF.
    """
    rows = _rows(cdf_float, np.float32)
    return _decode(_core.model_of_float_cdf(rows, bool(needs_normalization)), cdf_float, byte_stream)


def encode_int16_normalized_cdf(cdf_int: Any, sym: Any) -> bytes:
    """As `encode_float_cdf`, with CDFs in 2**-16 as int16 read as unsigned; each row's last entry means 1."""
    return _encode(_core.model_of_short_cdf(_rows(cdf_int, np.int16)), cdf_int, sym)


def decode_int16_normalized_cdf(cdf_int: Any, byte_stream: bytes) -> Any:
    """Return the int16 symbols that `encode_int16_normalized_cdf` was given with this CDF."""
    return _decode(_core.model_of_short_cdf(_rows(cdf_int, np.int16)), cdf_int, byte_stream)


def _array(values: Any, name: str) -> npt.NDArray[Any]:
    if getattr(values, "is_cuda", False):
        raise ValueError(f"{name} must be on CPU")
    return array_of(values.detach() if hasattr(values, "detach") else values, name)


def _rows(cdf: Any, dtype: Any) -> npt.NDArray[Any]:
    """Return the CDF as a matrix: one row if all are the same row in memory."""
    given = _array(cdf, "CDF")
    if given.dtype != dtype or given.ndim < 1 or not 2 <= given.shape[-1] <= 2**PRECISION:
        raise ValueError(f"a CDF is {np.dtype(dtype)} [..., L + 1], not {given.dtype} {given.shape}")
    if given.size and given.ndim > 1 and not any(given.strides[:-1]):
        given = given[(0,) * (given.ndim - 1)]
    return np.ascontiguousarray(given).reshape(-1, given.shape[-1])


def _encode(model: Any, cdf: Any, sym: Any) -> bytes:
    symbols = _array(sym, "symbols")
    if symbols.dtype != np.int16:
        raise ValueError("Symbols must be int16!")
    if tuple(cdf.shape[:-1]) != symbols.shape:
        raise ValueError(f"Invalid shapes of cdf={tuple(cdf.shape)}, sym={symbols.shape}!")
    queue = _core.IntervalQueue(PRECISION)
    queue.put(np.ascontiguousarray(symbols, np.int32).reshape(-1), model)
    return bytes(queue.payload().astype("<u4").tobytes())


def _decode(model: Any, cdf: Any, byte_stream: bytes) -> Any:
    if len(byte_stream) % 4:
        raise CorruptStream("the payload is cut")
    stack = _core.IntervalStack(PRECISION)
    stack.open(np.frombuffer(byte_stream, "<u4").astype(np.uint32))
    shape = tuple(cdf.shape[:-1])
    if prod(shape) > len(stack):
        raise CorruptStream("the payload holds fewer symbols than the CDF has rows")
    symbols = np.empty(shape, np.int32)
    stack.pop(symbols.reshape(-1), model)
    if len(stack):
        raise CorruptStream("the payload holds more symbols than the CDF has rows")
    narrow = symbols.astype(np.int16)
    if not hasattr(cdf, "detach"):
        return narrow
    import torch

    return torch.from_numpy(narrow)
