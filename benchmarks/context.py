"""Speed of the autoregressive loop with one of `wave`'s networks: `python benchmarks/context.py`.

The network, its 44 inputs and its tables are those of the HH bands of the first channel; where `wave` reads
its parent and step, this reads side information. CPU time of one thread, the least of three.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from narrows import _core, entropy, models
from narrows.codecs import wave

SHAPE = (1, 4, 512, 512)
_NET = 2
_OWN = ((0, -1), (-1, -1), (1, -1), (0, -2), (-2, -1), (2, -1), (-1, -2), (1, -2))
_NEAR = ((0, 0), (1, 0), (-1, 0), (0, -1), (0, 1), (1, 1))


def model(adaptive: bool) -> entropy.Autoregressive:
    """Return the network with 8 taps above, 24 in four channels before, 4 to the left, and 8 sides."""
    weights = {k.removeprefix("lossy."): v for k, v in models.load("wave", bytes.fromhex(wave.MODEL)).items()}
    taps = [(0, row, column) for column, row in _OWN]
    taps += [(-channel, row, column) for channel in (1, 2, 3, 4) for column, row in _NEAR]
    taps += [(0, 0, -distance) for distance in (1, 2, 3, 4)]
    order = [*range(8), *range(15, 39), *range(40, 44), *range(8, 15), 39]
    layers = [
        entropy.Layer(
            np.ascontiguousarray(weights[f"w{i}"][_NET][:, order] if i == 1 else weights[f"w{i}"][_NET]),
            weights["b1"][_NET, 0] if i == 1 else weights[f"b{i}"][_NET],
            weights[f"m{i}"][_NET],
            shift,
        )
        for i, shift in ((1, 16), (2, 15), (3, 18))
    ]
    pmfs = np.exp2(-weights["costs"][_NET].astype(float) / 16)
    tables = entropy.Tables.from_pmf(pmfs[:, :16], [0] * 64, escape=pmfs[:, 16])
    return entropy.Autoregressive(
        entropy.Adaptive(tables) if adaptive else tables,
        taps,
        entropy.magnitude_map()[None],
        layers,
        (32, 2),
        num_sides=8,
    )


def _least_s(call: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return min(times)


def main() -> None:
    rng = np.random.default_rng(0)
    scale = np.exp(rng.normal(0, 1, (*SHAPE[:2], 32, 32))).repeat(16, 2).repeat(16, 3)
    symbols = np.abs(np.rint(rng.laplace(0, scale))).astype(np.int32)
    sides = rng.integers(0, 60, (8, *SHAPE)).astype(np.uint8)
    print("| instructions | tables | bits a symbol | encode, M symbols/s | decode, M symbols/s |")
    print("|---|---|---|---|---|")
    for isa in _core.available_isas():
        _core.set_isa(isa)
        for adaptive in (False, True):
            net = model(adaptive)
            payload = entropy.encode_symbols(net, symbols, sides)
            encode = _least_s(lambda net=net: entropy.encode_symbols(net, symbols, sides))
            decode = _least_s(
                lambda net=net, payload=payload: entropy.decode_symbols(net, payload, SHAPE, sides)
            )
            million = symbols.size / 1e6
            print(
                f"| {isa} | {'adaptive' if adaptive else 'fixed'} | {8 * len(payload) / symbols.size:.2f} "
                f"| {million / encode:.1f} | {million / decode:.1f} |"
            )


if __name__ == "__main__":
    main()
