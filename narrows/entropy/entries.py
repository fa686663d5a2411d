"""The entry index: places where decoders working side by side can enter one payload."""

from __future__ import annotations

import numpy.typing as npt

from narrows import _core
from narrows.entropy.coder import Payload, _index
from narrows.entropy.tables import Tables


def entry_index(
    payload: Payload, index: npt.ArrayLike, tables: Tables, *, check: bool = True, every: int = 16_384
) -> bytes:
    """Return an entry index of `payload`, about `every` symbols from entry to entry.

    It lets a device decode a chunk with many warps (`entropy.cuda.decode(entries=...)`) and costs about 90
    bytes an entry. It is no part of the payload: whoever does not know it decodes without it.

    Decodes the payload on the way, so it raises as `decode` does.

    >>> tables = Tables.from_pmf([[0.25, 0.5, 0.25]], offsets=[-1])
    >>> from narrows.entropy import encode
    >>> symbols, index = [0, 1, 0, -1] * 10_000, [0] * 40_000
    >>> payload = encode(symbols, index, tables)
    >>> len(payload), len(entry_index(payload, index, tables))
    (7633, 167)
    """
    if not 1 <= every < 2**32:
        raise ValueError("every is positive")
    blob: bytes = _core.entry_index(payload, _index(index), tables._held, check, every)
    return blob
