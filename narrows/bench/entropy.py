"""Speed and overhead of the entropy coder on Laplacian symbols, one thread, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from narrows import entropy
from narrows.errors import OptionError

Row = dict[str, str | int | float]

_REPEATS = 3
_REACH = 20  # tables hold -20 to 20, the rest escapes
_ADAPTIVE_REACH = 7  # adaptive tables hold at most 16 tokens and the escape


def rows(names: Sequence[str] = ()) -> Iterator[Row]:
    """Yield a row for each case: million symbols a second, and bytes above the ideal code length.

    `names` choose cases, by default all. Times are the least of three. OptionError for an unknown name.

    >>> from narrows.bench import entropy
    >>> [row["case"] for row in entropy.rows(["range"])]
    ['range']
    """
    cases: dict[str, tuple[int, int, Callable[..., Row]]] = {
        "rans-1-table": (1 << 20, 1, _rans),
        "rans-64-tables": (1 << 20, 64, _rans),
        "rans-short": (500, 1, _rans),
        "range": (1 << 18, 64, _range),
        "range-adaptive": (1 << 18, 64, _range_adaptive),
    }
    for name in names:
        if name not in cases:
            raise OptionError(f"no case {name!r}: there are {', '.join(cases)}")
    for name in names or cases:
        count, num_tables, measure = cases[name]
        symbols, index, tables = _sample(
            count, num_tables, _ADAPTIVE_REACH if name == "range-adaptive" else _REACH
        )
        ideal_bits = tables.cost_bits(symbols, index)
        row = measure(symbols, index, tables)
        over = 100 * (float(row["bytes"]) * 8 / ideal_bits - 1)
        head: Row = {"case": name, "symbols": count, "bits_per_symbol": ideal_bits / count}
        yield head | row | {"over_ideal_percent": over}


def _sample(count: int, num_tables: int, reach: int) -> tuple[np.ndarray, np.ndarray, entropy.Tables]:
    rng = np.random.default_rng(1)
    scales = np.geomspace(0.3, reach / 4, num_tables) if num_tables > 1 else np.array([1.0])
    index = rng.integers(0, num_tables, count).astype(np.uint8)
    symbols = np.rint(rng.laplace(0, scales[index])).astype(np.int32)
    values = np.arange(-reach, reach + 1)
    pmfs = [np.exp(-np.abs(values) / scale) for scale in scales]
    tables = entropy.Tables.from_pmf(
        [0.98 * p / p.sum() for p in pmfs], escape=0.02, offsets=[-reach] * num_tables
    )
    return symbols, index, tables


def _rans(symbols: np.ndarray, index: np.ndarray, tables: entropy.Tables) -> Row:
    payload = entropy.encode(symbols, index, tables)
    return _row(
        len(symbols),
        len(payload),
        lambda: entropy.encode(symbols, index, tables),
        lambda: entropy.decode(payload, index, tables),
    )


def _range(symbols: np.ndarray, index: np.ndarray, tables: entropy.Tables, adaptive: bool = False) -> Row:
    def model() -> entropy.Tables | entropy.Adaptive:
        return entropy.Adaptive(tables) if adaptive else tables

    def encode() -> bytes:
        encoder = entropy.RangeEncoder()
        encoder.put(symbols, index, model())
        return encoder.finish()

    payload = encode()
    return _row(len(symbols), len(payload), encode, lambda: entropy.RangeDecoder(payload).get(index, model()))


def _range_adaptive(symbols: np.ndarray, index: np.ndarray, tables: entropy.Tables) -> Row:
    return _range(symbols, index, tables, adaptive=True)


def _row(count: int, size: int, encode: Callable[[], object], decode: Callable[[], object]) -> Row:
    speeds = {name: count / _least_s(call) / 1e6 for name, call in (("encode", encode), ("decode", decode))}
    return {"bytes": size, **{f"{name}_msymbols_per_s": speed for name, speed in speeds.items()}}


def _least_s(call: Callable[[], object]) -> float:
    """Return the least time of three, each of as many calls as take a few milliseconds."""
    began = time.perf_counter()
    call()
    calls = max(1, int(0.005 / max(time.perf_counter() - began, 1e-7)))
    times = []
    for _ in range(_REPEATS):
        began = time.process_time()
        for _ in range(calls):
            call()
        times.append((time.process_time() - began) / calls)
    return max(min(times), 1e-9)
