"""Numbers as callers give them, lists and tensors too, as NumPy arrays; ValueError for what does not fit."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[Any]


def array_of(values: Any, name: str) -> npt.NDArray[Any]:
    """Return `values` as an array, a tensor's or bytes in place.

    Raises ValueError for a tensor that NumPy cannot hold: on a device, with a gradient, of bfloat16.
    """
    if isinstance(values, (bytes, bytearray)):
        return np.frombuffer(values, np.uint8)
    try:
        return np.asarray(values.numpy() if hasattr(values, "numpy") else values)
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{name}: {error}") from error


def floats_of(values: Any, name: str) -> npt.NDArray[np.float64]:
    """Return integers or floats as float64; ValueError for anything else."""
    given = array_of(values, name)
    if given.size and given.dtype.kind not in "iuf":
        raise ValueError(f"{name} holds numbers, not {given.dtype}")
    return given.astype(np.float64, copy=False)


def integers(values: Any, name: str) -> Ints:
    """Return integers of any width, booleans as int64; ValueError for floats."""
    given = array_of(values, name)
    if given.dtype.kind in "iu":
        return given
    if given.size and given.dtype.kind != "b":
        raise ValueError(f"{name} holds integers, not {given.dtype}")
    return given.astype(np.int64)


def integers_of(values: Any, dtype: type[np.integer[Any]], name: str) -> Ints:
    """Return `values` as contiguous integers of `dtype`; ValueError where one does not survive."""
    if type(values) is np.ndarray and values.dtype == dtype and values.flags.c_contiguous:
        return values
    given = integers(values, name)
    wanted, least, most = _range_of(np.dtype(dtype))
    if given.size and not _fits(given.dtype, wanted):
        low, high = int(given.min()), int(given.max())
        if low < least or high > most:
            raise ValueError(f"{name} holds {low if low < least else high}, which no {wanted} can")
    return np.asarray(given, wanted, order="C")


@cache
def _range_of(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], int, int]:
    """Asking NumPy takes a microsecond."""
    info = np.iinfo(dtype)
    return info.dtype, int(info.min), int(info.max)


@cache
def _fits(held: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    return np.can_cast(held, wanted)


def int32_of(values: Any, name: str) -> npt.NDArray[np.int32]:
    """Return `values` as contiguous int32; ValueError where one does not survive."""
    return integers_of(values, np.int32, name)
