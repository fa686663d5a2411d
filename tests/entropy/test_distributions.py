"""Tables of distributions: made again with 60 digits, held to the exact entropy, chosen by integers."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows import entropy
from narrows.entropy import distributions, reference

mpmath = pytest.importorskip("mpmath", reason="the exact distributions come from mpmath")
from golden import make_distributions as exact  # noqa: E402
from twins import models as twin  # noqa: E402

FAMILIES = distributions.FAMILIES


def test_the_shipped_file_is_what_its_generator_makes() -> None:
    shipped = dict(distributions._data())
    for name, array in exact.arrays():
        kept = shipped.pop(name)
        assert kept.dtype == array.dtype, name
        assert np.array_equal(kept, array), name
    assert shipped == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_shipped_frequencies_are_websters_of_the_exact_masses(family: str) -> None:
    shipped = entropy.scale_family(family)
    for i in (0, 5, 20, 40):
        row = exact.row(family, int(shipped.scales[i]))
        bits = 15 - row.shift
        units = reference.apportion([row.escape, *map(int, row.weights)], bits)
        plain = reference.tables_of(shipped.tables)[i]
        assert [end - start for start, end in pairwise(plain.cdf)] == [unit << row.shift for unit in units]
        assert (plain.offset, plain.shift) == (row.offset, row.shift)


def mass(family: str, first: np.ndarray, last: np.ndarray, scale: float) -> np.ndarray:
    """P(first - 1/2 < X < last + 1/2) in double, from whichever tail is small."""
    special = pytest.importorskip("scipy.special", reason="the exact entropies use SciPy's erf")

    def below(x: np.ndarray) -> np.ndarray:
        if family == "gaussian":
            return special.ndtr(x)
        if family == "laplace":
            return np.where(x < 0, 0.5 * np.exp(-np.abs(x)), 1 - 0.5 * np.exp(-np.abs(x)))
        return special.expit(x)

    low, high = (first - 0.5) / scale, (last + 0.5) / scale
    flip = low + high > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    return below(high) - below(low)


def excess_bits(family: str, tables: entropy.Tables, i: int, scale: float) -> tuple[float, float]:
    """Entropy of a distribution, and what coding it by its table costs above that, escapes paid for."""
    reach = math.ceil(40 * scale) + 40
    values = np.arange(-reach, reach + 1)
    p = mass(family, values, values, scale)
    ideal = -float(np.sum(p[p > 0] * np.log2(p[p > 0])))
    costs = np.array([tables.cost_bits([v], [i]) for v in values[p > 1e-12]])
    return ideal, float(np.sum(p[p > 1e-12] * costs)) - ideal


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("i", [0, 9, 18, 30, 36])
def test_a_table_costs_a_few_thousandths_of_a_bit_above_the_exact_entropy(family: str, i: int) -> None:
    shipped = entropy.scale_family(family)
    scale = float(shipped.scales[i]) / 2**20
    ideal, excess = excess_bits(family, shipped.tables, i, scale)
    whole = shipped.tables.shift[i] == 0
    assert 0 <= excess < (0.0003 if whole else 0.005), (scale, ideal)


@pytest.mark.parametrize(("weights", "limit"), [("W1", 0.0012), ("W2", 0.0015)])
def test_size_is_near_the_exact_gaussian_entropy_everything_counted(weights: str, limit: float) -> None:
    """The workloads W1 and W2 of the benchmarks: 64 scales at random, uniform or mostly narrow."""
    gaussian = entropy.scale_family("gaussian")
    rng = np.random.default_rng(7)
    odds = np.exp(-np.arange(64) / 8.45) if weights == "W2" else np.ones(64)
    index = rng.choice(64, 1 << 22, p=odds / odds.sum()).astype(np.uint8)
    scale = gaussian.scales[index] / 2**20
    symbols = np.rint(rng.normal(0, scale)).astype(np.int32)
    ideal = -np.log2(mass("gaussian", symbols, symbols, scale)).sum() / 8
    payload = entropy.encode(symbols, index, gaussian.tables)
    assert len(payload) / ideal - 1 < limit


@pytest.mark.parametrize("family", FAMILIES)
def test_cumulative_is_within_2_to_the_minus_23_of_the_exact_value(family: str) -> None:
    rng = np.random.default_rng(1)
    scale = rng.integers(1, 2**31, 3000)
    position = np.concatenate([rng.normal(0, 3, 1500), rng.uniform(-33, 33, 1500)])
    distance = np.rint(position * scale).astype(np.int64)
    found = entropy.cumulative(family, distance, scale)
    worst = max(
        abs(int(f) - 2**32 * exact.EXACT[family](mpmath.mpf(int(d)) / int(s)))
        for f, d, s in zip(found, distance, scale, strict=True)
    )
    assert worst < 2**9


@pytest.mark.parametrize("family", FAMILIES)
@given(scale=st.integers(1, 2**31 - 1), distances=st.lists(st.integers(-(2**56), 2**56), min_size=2))
def test_cumulative_never_falls_and_is_symmetric(family: str, scale: int, distances: list[int]) -> None:
    near = [d % (64 * scale) - 32 * scale for d in distances]
    ordered = sorted(distances + near)
    found = entropy.cumulative(family, ordered, scale).astype(np.int64)
    assert (np.diff(found) >= 0).all()
    assert (found + entropy.cumulative(family, [-d for d in ordered], scale).astype(np.int64) == 2**32).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_cumulative_is_what_the_format_says(family: str) -> None:
    rng = np.random.default_rng(2)
    scale = 2 ** rng.integers(0, 31, 2000) + rng.integers(0, 7, 2000)
    distance = (rng.normal(0, 12, 2000) * scale).astype(np.int64)
    found = entropy.cumulative(family, distance, scale).tolist()
    assert found == [twin.cumulative(family, int(d), int(s)) for d, s in zip(distance, scale, strict=True)]


def test_bad_distances_and_scales_are_refused() -> None:
    for distance, scale in ((0, 0), (0, -1), (0, 2**31), (2**56 + 1, 1)):
        with pytest.raises(ValueError):
            entropy.cumulative("gaussian", distance, scale)
    with pytest.raises(ValueError):
        entropy.cumulative("cauchy", 0, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_scales_of_ones_own_give_nearly_the_shipped_tables(family: str) -> None:
    shipped = entropy.scale_family(family)
    made = entropy.scale_family(family, shipped.scales)
    assert (made.tables.shift == shipped.tables.shift).all()
    assert abs(made.tables.size - shipped.tables.size).max() <= 2
    for i in (0, 20, 36):
        ideal, excess = excess_bits(family, made.tables, i, float(made.scales[i]) / 2**20)
        assert excess < 0.005, ideal


def test_wide_scales_and_other_precisions_make_tables() -> None:
    wide = entropy.scale_family("gaussian", [1, 1 << 20, 1 << 26, 2**31 - 1])
    assert wide.tables.shift.tolist() == [0, 0, 4, 8]
    for bits in (8, 10, 12, 14, 16):
        tables = entropy.scale_family("laplace", [1 << 19, 5 << 20, 1 << 26], bits=bits).tables
        symbols = np.arange(-60, 60)
        index = np.arange(120) % 3
        payload = entropy.encode(symbols, index, tables)
        assert (entropy.decode(payload, index, tables) == symbols).all()


@pytest.mark.parametrize("bad", [[], [0, 5], [5, 5], [7, 3], [1, 2**31], 63])
def test_scales_that_do_not_rise_are_refused(bad: object) -> None:
    with pytest.raises(ValueError):
        entropy.scale_family("gaussian", bad)


@pytest.mark.parametrize("num_scales", [64, 128])
@pytest.mark.parametrize("fraction_bits", [4, 8, 16, 20])
def test_thresholds_are_the_geometric_means_rounded_up(num_scales: int, fraction_bits: int) -> None:
    family = entropy.scale_family("gaussian", num_scales)
    unit = 2 ** (20 - fraction_bits)
    for t, a, b in zip(
        family.thresholds(fraction_bits).tolist(),
        family.scales.tolist(),
        family.scales[1:].tolist(),
        strict=False,
    ):
        assert ((t - 1) * unit) ** 2 < a * b <= (t * unit) ** 2


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1)), st.sampled_from([64, 128]), st.sampled_from([0, 8, 16, 20])
)
def test_an_index_is_the_number_of_thresholds_at_or_below(scales, num_scales, fraction_bits) -> None:
    family = entropy.scale_family("gaussian", num_scales)
    thresholds = family.thresholds(fraction_bits)
    given_scales = np.array([*scales, *thresholds, *(thresholds - 1)], np.int32)
    expected = np.searchsorted(thresholds, given_scales, side="right")
    assert np.array_equal(family.index(given_scales, fraction_bits), expected)


def test_thresholds_that_crowd_still_count() -> None:
    family = entropy.scale_family("gaussian", [1000 + i for i in range(300)])
    scales = np.arange(900, 1400, dtype=np.int32)
    found = family.index(scales, 20)
    assert found.dtype == np.uint16
    assert np.array_equal(found, np.searchsorted(family.thresholds(20), scales, side="right"))


def test_floats_are_for_encoders_and_never_for_index() -> None:
    family = entropy.scale_family("gaussian")
    assert family.index_of_floats([0.0, 1.0, 1e9, np.inf]).tolist() == [0, 18, 63, 63]
    with pytest.raises(ValueError):
        family.index_of_floats([np.nan])
    with pytest.raises(ValueError):
        family.index([1.5])
    with pytest.raises(ValueError):
        family.index([2**31])
    scales = np.exp(np.random.default_rng(3).uniform(-4, 7, 10000))
    assert np.array_equal(
        family.index_of_floats(scales), family.index(np.floor(scales * 65536 + 0.5).astype(np.int64))
    )


@given(
    st.lists(st.integers(0, 2**40), min_size=1, max_size=60).filter(lambda row: sum(row) > 0),
    st.integers(8, 16),
)
def test_webster_sums_keeps_a_floor_and_is_monotone(weights: list[int], bits: int) -> None:
    tables = entropy.Tables.from_pmf([np.array(weights, np.uint64)], [0], bits=bits, escape=False)
    frequencies = np.diff(tables.cdf[0].astype(np.int64))[1:]
    assert frequencies.sum() == 2**bits
    assert frequencies.min() >= 1
    for (w, f), (v, g) in pairwise(sorted(zip(weights, frequencies.tolist(), strict=True))):
        assert w == v or f <= g
