"""Make `narrows/entropy/distributions.safetensors`: tables of distributions, computed with 60 digits.

Run by hand where mpmath is installed (`python tests/golden/make_distributions.py`); its arrays never
change, and tests/entropy/test_distributions.py makes them again and compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import mpmath
import numpy as np
from mpmath import mpf

import narrows.entropy
from narrows.entropy import distributions

mpmath.mp.dps = 60
FILE = Path(narrows.entropy.__file__).with_name("distributions.safetensors")
GRIDS = {64: ("0.11", "256"), 128: ("0.11", "16")}
_ONE = 1 << 32


def nearest(x: mpf) -> int:
    return int(mpmath.floor(x + mpf(1) / 2))


def gaussian(x: mpf) -> mpf:
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def laplace(x: mpf) -> mpf:
    return mpmath.exp(x) / 2 if x < 0 else 1 - mpmath.exp(-x) / 2


def logistic(x: mpf) -> mpf:
    return 1 / (1 + mpmath.exp(-x))


EXACT = {"gaussian": gaussian, "laplace": laplace, "logistic": logistic}
DEVIATION = {
    "gaussian": mpf(1),
    "laplace": mpmath.sqrt(2),
    "logistic": mpmath.pi / mpmath.sqrt(3),
}


def scales(count: int) -> list[int]:
    """Return `count` scales in 2^-20, log-spaced."""
    low, high = (mpmath.log(mpf(end)) for end in GRIDS[count])
    return [nearest(2**20 * mpmath.exp(low + (high - low) * i / (count - 1))) for i in range(count)]


def row(family: str, scale: int) -> distributions.Row:
    """Return the weights of one table at 15 bits."""
    exact, width = EXACT[family], mpf(scale) / 2**20

    @cache
    def below(edge: int) -> mpf:  # P(X < edge - 1/2)
        return exact((edge - mpf(1) / 2) / width)

    def mass(first: int, last: int) -> int:
        return int(mpmath.floor(_ONE * (below(last + 1) - below(first))))

    deviation = nearest(DEVIATION[family] * scale)
    return distributions.symmetric_row(mass, deviation, 15)


def arrays() -> Iterator[tuple[str, np.ndarray]]:
    """Yield each array of the file by its name."""
    tail = [nearest(_ONE * gaussian(-mpf(i) / 1024)) for i in range(6657)]
    yield "gaussian_tail", np.array(tail, np.uint32)
    powers = [nearest(2 ** (31 - mpf(i) / 1024)) for i in range(1025)]
    yield "exponential", np.array(powers, np.uint32)
    for count in GRIDS:
        grid = scales(count)
        yield f"scales.{count}", np.array(grid, np.int64)
        for family in distributions.FAMILIES:
            tables = distributions.tables_of([row(family, scale) for scale in grid], 15)
            key = f"{family}.{count}"
            yield f"{key}.offset", tables.offset.astype(np.int16)
            yield f"{key}.shift", tables.shift
            yield f"{key}.size", tables.size.astype(np.uint8)
            units = np.diff(tables.cdf.astype(np.int64), axis=1) >> tables.shift[:, None]
            inside = np.arange(units.shape[1]) < tables.size[:, None]
            yield f"{key}.frequency", units[inside].astype(np.uint16)


if __name__ == "__main__":
    from safetensors.numpy import save_file

    save_file(dict(arrays()), FILE)
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")
