"""Numbers as callers give them, lists and tensors too, as NumPy arrays; ValueError for what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[Any]


def array_of(values: Any, name: str) -> npt.NDArray[Any]:
    """Return `values` as an array, a tensor's in place.

    Raises ValueError for a tensor that NumPy cannot hold: on a device, with a gradient, of bfloat16.
    """
    try:
        return np.asarray(values.numpy() if hasattr(values, "numpy") else values)
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{name}: {error}") from error


def integers(values: Any, name: str) -> Ints:
    """Return integers of any width, booleans as int64; ValueError for floats."""
    given = array_of(values, name)
    if given.dtype.kind in "iu":
        return given
    if given.size and given.dtype.kind != "b":
        raise ValueError(f"{name} holds integers, not {given.dtype}")
    return given.astype(np.int64)


def integers_of(values: Any, dtype: npt.DTypeLike, name: str) -> Ints:
    """Return `values` as contiguous integers of `dtype`; ValueError where one does not survive."""
    given = integers(values, name)
    wanted = np.iinfo(dtype)
    if given.size and not np.can_cast(given.dtype, wanted.dtype):
        least, most = int(given.min()), int(given.max())
        if least < wanted.min or most > wanted.max:
            beyond = least if least < wanted.min else most
            raise ValueError(f"{name} holds {beyond}, which no {wanted.dtype} can")
    return np.asarray(given, wanted.dtype, order="C")


def int32_of(values: Any, name: str) -> npt.NDArray[np.int32]:
    """Return `values` as contiguous int32; ValueError where one does not survive."""
    return integers_of(values, np.int32, name)
