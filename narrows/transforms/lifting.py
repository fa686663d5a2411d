"""Two-dimensional lifting wavelets on integers, as `wave` runs them: 5/3, and 9/7 without its final scaling.

CDF 9/7 in lifting steps: Daubechies & Sweldens 1998, constants in 1/4096; LeGall 5/3: as in JPEG 2000's
reversible path. Symmetric extension. Arithmetic is modulo 2^32, so both are exactly reversible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from narrows import _core
from narrows.contracts import check_choice, check_range
from narrows.errors import SignalError
from narrows.signals import Array


@dataclass(frozen=True)
class Lifting:
    """`wavelet` is "5/3" or "9/7"; `levels` 0 to 16. Integers in, integers out.

    >>> import numpy
    >>> from narrows.transforms.lifting import Lifting
    >>> transform, plane = Lifting("5/3", levels=2), numpy.arange(35).reshape(5, 7)
    >>> bands = transform.analysis(plane)
    >>> [band.shape for band in bands]
    [(2, 2), (2, 2), (1, 2), (1, 2), (3, 3), (2, 4), (2, 3)]
    >>> bool((transform.synthesis(bands, (5, 7)) == plane).all())
    True
    """

    wavelet: str = "9/7"
    levels: int = 6
    reversible = True

    def __post_init__(self) -> None:
        check_choice("wavelet", self.wavelet, ("5/3", "9/7"))
        check_range("levels", self.levels, 0, 16)

    def analysis(self, x: Array) -> list[Array]:
        """Bands of int32 `x` [height, width], coarsest first: LL, then HL, LH, HH of each level.

        HL is high along rows. Raises SignalError for other ranks, empty or non-integer arrays.
        """
        if x.ndim != 2 or x.size == 0 or not np.issubdtype(x.dtype, np.integer):
            raise SignalError(f"a plane of integers [height, width] is needed, not {x.dtype} {list(x.shape)}")
        low = np.array(x, np.int32)
        bands: list[Array] = []
        for _ in range(self.levels):
            split = [np.empty(shape, np.int32) for shape in _shapes(low.shape)]
            _core.lifting_analyze(self.wavelet == "5/3", low, *split)
            low = split[0]
            bands[:0] = split[1:]
        return [low, *bands]

    def synthesis(self, bands: list[Array], shape: tuple[int, ...]) -> Array:
        """The int32 plane of `shape` whose analysis gave `bands`. Raises ValueError where they do not fit."""
        if len(bands) != 1 + 3 * self.levels:
            raise ValueError(f"{self.levels} levels have {1 + 3 * self.levels} bands, not {len(bands)}")
        shapes = [tuple(shape)]
        for _ in range(self.levels):
            shapes.append(_shapes(shapes[-1])[0])
        low = np.ascontiguousarray(bands[0], np.int32)
        for level in range(self.levels):
            details = [np.ascontiguousarray(band, np.int32) for band in bands[1 + 3 * level : 4 + 3 * level]]
            rows = np.empty(shapes[self.levels - 1 - level], np.int32)
            _core.lifting_synthesize(self.wavelet == "5/3", low, *details, rows)
            low = rows
        return low


def _shapes(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    height, width = shape
    tall, wide = (height + 1) // 2, (width + 1) // 2
    return [(tall, wide), (tall, width // 2), (height // 2, wide), (height // 2, width // 2)]
