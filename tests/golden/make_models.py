"""Write the golden payloads of entropy models: one for each model and kind of payload.

Run by `make golden` only; its difference is reviewed. The plain twins write them. What they hold follows from
integers that any language can draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from golden.make_entropy import draws
from twins import models as twin

from narrows import entropy

FOLDER = Path(__file__).parent / "models"


class Case(NamedTuple):
    name: str
    model: Any
    symbols: np.ndarray
    side: Any
    kind: int  # 3 a piece for each pass, 4 one

    def payload(self) -> bytes:
        """What the twin writes."""
        if isinstance(self.model, entropy.Autoregressive):
            return twin.encode_autoregressive(self.model, self.symbols, self.side)
        if isinstance(self.model, entropy.Categorical):
            return twin.encode_rows(self.symbols.tolist(), self.side)
        if isinstance(self.model, entropy.Mixture):
            return twin.encode_mixtures(
                self.model.family, self.model.fraction_bits, self.symbols.tolist(), self.side
            )
        return twin.encode_passes(self.model, self.symbols, self.side, self.kind)


def numbers(seed: int, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    """Return integers low .. high - 1."""
    drawn = np.array(draws(seed, int(np.prod(shape))), np.int64)
    return (drawn % (high - low) + low).reshape(shape)


def by_known(k: int, known: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
    """Scales and means of the symbols known: sums over channels, and the neighbor to the left."""
    total = np.abs(known.clip(-99, 99)).sum(axis=-3, keepdims=True)
    return np.broadcast_to(total + 1 + k, known.shape) << 12, np.roll(known, 1, axis=-1) >> 1


def layers(seed: int, sizes: list[int], num_nets: int = 1) -> list[entropy.Layer]:
    """Return a network of integers drawn."""
    made = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        shape = (num_nets, outputs) if num_nets > 1 else (outputs,)
        weights = numbers(seed + 3 * i, (*shape, inputs), -128, 128).astype(np.int8)
        bias = numbers(seed + 3 * i + 1, shape, -5000, 9000)
        made.append(entropy.Layer(weights, bias, numbers(seed + 3 * i + 2, shape, 1, 9), 10))
    return made


def cases() -> Iterator[Case]:
    gaussian, shape = entropy.scale_family("gaussian"), (2, 3, 5, 6)
    symbols = numbers(1, shape, -9, 10)
    symbols[0, 0, 0, :2] = -(2**31), 2**31 - 1
    side = np.stack([numbers(2, shape, 0, 8 << 16), numbers(3, shape, -5, 6)])
    for kind, name in ((3, "passes"), (4, "stream")):
        for which in entropy.distributions.FAMILIES:
            model = entropy.Hyperprior(entropy.scale_family(which, 128))
            yield Case(f"{which}-{name}", model, symbols, side, kind)
        groups = entropy.ChannelGroups(gaussian, by_known, groups=(2, 0, 1), checkerboard=True)
        yield Case(f"groups-{name}", groups, symbols, None, kind)
        yield Case(f"checkerboard-{name}", entropy.Checkerboard(gaussian, by_known), symbols, None, kind)
    rows = numbers(4, (40, 7), 0, 2**31)
    yield Case("rows", entropy.Categorical(), numbers(5, (40,), 0, 7), rows, 4)
    for which in entropy.distributions.FAMILIES:
        mixtures = np.stack(
            [numbers(6, (40, 2), 1, 9000), numbers(7, (40, 2), -3000, 3000), numbers(8, (40, 2), 1, 2000)]
        )
        yield Case(f"mixture-{which}", entropy.Mixture(which, 6), numbers(9, (40,), -60, 60), mixtures, 4)
    laplace = entropy.scale_family("laplace", [1 << i for i in range(17, 29)]).tables
    maps = np.stack([entropy.identity_map(40), entropy.magnitude_map()[2028:2068]])
    taps = [(0, -1, 0, 0), (0, 0, -1, 1), (-1, 0, 1, 0), (0, -1, 2, 1), (-2, 1, -1, 1), (0, 0, -3, 0)]
    yield Case(
        "context",
        entropy.Autoregressive(laplace, taps, maps, layers(20, [7, 9, 3]), (3, 4), 1, mean=True),
        symbols,
        numbers(10, (1, *shape), 0, 128),
        4,
    )
    tables = entropy.Tables.from_pmf([[1, 5, 9, 5, 1], [4, 4, 4, 4, 4]] * 2, [-2] * 4, escape=0.1)
    yield Case(
        "context-adaptive",
        entropy.Autoregressive(entropy.Adaptive(tables), taps, maps, layers(40, [6, 2, 1], 2), (2,)),
        numbers(11, shape, -3, 4),
        np.zeros((0, *shape), np.int64),
        4,
    )


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for case in cases():
        (FOLDER / f"{case.name}.bin").write_bytes(case.payload())


if __name__ == "__main__":
    main()
