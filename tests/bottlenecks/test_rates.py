"""What integer tables and counts cost, against closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="bottlenecks are torch modules")

from narrows.bottlenecks.prior import Histogram  # noqa: E402
from narrows.entropy import RangeDecoder, RangeEncoder, Tables  # noqa: E402

Law = Callable[[float], float]


def gaussian(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def laplace(x: float) -> float:
    return math.exp(x) / 2 if x < 0 else 1 - math.exp(-x) / 2


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def masses(law: Law, scale: float, reach: int, mean: float = 0.0) -> np.ndarray:
    edges = [law((k - 0.5 - mean) / scale) for k in range(-reach, reach + 2)]
    return np.diff(edges).clip(min=0)


@pytest.mark.parametrize(
    ("law", "scale", "bits"),
    [
        (gaussian, 1, 2.104832654),
        (laplace, 1, 2.484143360),
        (logistic, 1, 2.905132381),
        (gaussian, 4, 4.050842853),
        (laplace, 4, 4.446115748),
        (logistic, 4, 4.886641249),
        (gaussian, 0.11, 0.000109193),
        (gaussian, 256, 10.047096502),
    ],
)
def test_k18_tables_cost_the_entropy_of_a_rounded_law(law: Law, scale: float, bits: float) -> None:
    reach = min(int(40 * scale) + 8, 2500)
    pmf = masses(law, scale, reach)
    seen = pmf[pmf > 0]
    assert float(-(seen * np.log2(seen)).sum()) == pytest.approx(bits, abs=1e-6)
    tables = Tables.from_pmf([pmf], [-reach], bits=16, escape=False)
    frequency = np.diff(tables.cdf[0].astype(np.int64))[1 : 1 + len(pmf)]
    cost = float((pmf * -np.log2(frequency / 2**16)).sum())
    assert bits <= cost + 1e-9
    # Every symbol has a slot of 2^-16: what the many of a wide table cost the rest.
    assert cost < bits * 1.002 + 1.5 * len(pmf) / 2**16


def test_k19_bits_of_single_symbols() -> None:
    pmf = masses(gaussian, 1.2, 20, mean=0.3)
    tables = Tables.from_pmf([pmf], [-20], bits=16, escape=False)
    for symbol, bits in ((-1, 2.429068206), (0, 1.672582600), (2, 2.996786414)):
        assert -math.log2(pmf[symbol + 20]) == pytest.approx(bits, abs=1e-8)
        cost = float(tables.cost_bits(np.array([symbol]), np.array([0])))
        assert cost == pytest.approx(bits, abs=2e-3)


def test_k62_counts_are_those_of_krichevsky_and_trofimov() -> None:
    counts = Histogram(1, 2, decay=1.0)
    total = 0.0
    for bit in (0, 1, 1, 0, 1, 1, 0, 1):
        symbol = torch.tensor([[[bit]]])
        total += float(counts.element_bits(symbol))
        counts.observe(symbol)
    assert total == pytest.approx(9.508146904, abs=1e-6)


def test_k59_ids_without_a_prior_cost_the_logarithm_of_the_vocabulary() -> None:
    """1,568 ids of 128,256: by digits of 501 x 256, whose even tables are as near as 16 bits allow."""
    vocabulary, count = 128_256, 1568
    assert count * math.log2(vocabulary) == pytest.approx(26_606.9, abs=0.05)
    ids = np.random.default_rng(1).integers(0, vocabulary, count)
    digits = np.stack([ids // 256, ids % 256], 1).astype(np.int32)
    tables = Tables.from_pmf([np.ones(501) / 501, np.ones(256) / 256], [0, 0], bits=16, escape=False)
    index = np.broadcast_to(np.arange(2, dtype=np.uint8), digits.shape)
    encoder = RangeEncoder()
    encoder.put(digits, index, tables)
    payload = encoder.finish()
    assert 8 * len(payload) == pytest.approx(26_606.9, abs=32)
    assert np.array_equal(RangeDecoder(payload).get(index, tables), digits)


@pytest.mark.parametrize(
    ("sides", "patch", "channels", "tokens", "numbers"),
    [((256, 256), (16, 16), 16, 256, 4096), ((16, 128, 128), (4, 8, 8), 16, 1024, 16_384)],
)
def test_k59_numbers_of_a_latent(
    sides: tuple[int, ...], patch: tuple[int, ...], channels: int, tokens: int, numbers: int
) -> None:
    """A strided convolution of patches has as many positions as the rule says, and channels for each."""
    module = {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[len(sides)](1, channels, patch, stride=patch)
    latent = module(torch.zeros(1, 1, *sides))
    assert latent[0, 0].numel() == tokens
    assert latent.numel() == numbers
