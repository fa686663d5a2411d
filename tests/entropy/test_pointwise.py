"""Symbols with distributions of their own, against their plain twins; mixtures' tables; damage and lies."""

from __future__ import annotations

import doctest
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twins import models as twin

from narrows import entropy
from narrows.entropy import autoregressive, pointwise
from narrows.errors import CorruptStream, LimitExceeded, UnsupportedStream


@pytest.mark.parametrize("module", [pointwise, autoregressive], ids=lambda module: module.__name__)
def test_examples_run(module: Any) -> None:
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 5
    assert found.failed == 0


def drawn_rows(seed: int, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = (rng.dirichlet(np.full(size, 0.3), count) * 2 ** rng.integers(1, 32)).astype(np.uint64)
    rows[np.arange(count), rng.integers(0, size, count)] += 1
    return rng.integers(0, size, count), rows.clip(0, 2**32 - 1)


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.sampled_from([1, 2, 3, 17, 300]))
def test_rows_go_round_by_the_twins_bytes(seed: int, count: int, size: int) -> None:
    symbols, rows = drawn_rows(seed, count, size)
    payload = entropy.encode_symbols(entropy.Categorical(), symbols, rows)
    assert payload == twin.encode_rows(symbols.tolist(), rows.astype(np.int64))
    assert np.array_equal(entropy.decode_symbols(entropy.Categorical(), payload, (count,), rows), symbols)


def test_rows_cost_their_entropy() -> None:
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.full(64, 0.5), 20000)
    symbols = (rows.cumsum(axis=1) > rng.random((20000, 1))).argmax(axis=1)
    ideal = -np.log2(rows[np.arange(20000), symbols]).sum() / 8
    assert len(entropy.encode_symbols(entropy.Categorical(), symbols, rows)) < 1.002 * ideal


def test_the_widest_row_and_shapes_with_a_batch_go_round() -> None:
    rows = np.arange(2 * 3 * 32768, dtype=np.uint32).reshape(2, 3, 32768)
    symbols = np.array([[0, 32767, 5], [1, 2, 3]])
    payload = entropy.encode_symbols(entropy.Categorical(), symbols, rows)
    assert np.array_equal(entropy.decode_symbols(entropy.Categorical(), payload, (2, 3), rows), symbols)


def test_impossible_rows_are_refused() -> None:
    model = entropy.Categorical()
    for symbols, rows in (
        ([0], [[0, 0]]),
        ([2], [[1, 1]]),
        ([-1], [[1, 1]]),
        ([0, 0], [[1, 1]]),
        ([0], [[-1, 2]]),
        ([0], [[2**32, 2]]),
        ([0], [[math.nan, 2.0]]),
        ([0], np.ones((1, 32769))),
        ([0], np.ones((1, 0))),
    ):
        with pytest.raises(ValueError):
            entropy.encode_symbols(model, symbols, np.array(rows))


def drawn_mixtures(seed: int, count: int, k: int, f: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 2**15 // k + 1, (count, k))
    weights[weights.sum(axis=1) == 0, 0] = 1
    means = rng.normal(0, 2 ** rng.integers(0, 29), (count, k)).astype(np.int64).clip(-(2**31), 2**31 - 1)
    scales = (2.0 ** rng.uniform(0, 29.9, (count, k))).astype(np.int64)
    symbols = np.rint((means[:, 0] + rng.standard_cauchy(count) * scales[:, 0]) / 2**f)
    symbols = symbols.clip(-(2**31), 2**31 - 1).astype(np.int64)
    symbols[rng.random(count) < 0.05] = rng.choice([-(2**31), 2**31 - 1])
    return symbols, np.stack([weights, means, scales])


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 3, 16]), st.sampled_from([0, 4, 8, 16, 20]))
@pytest.mark.parametrize("family", ["gaussian", "laplace", "logistic"])
def test_mixtures_go_round_by_the_twins_bytes(family: str, seed: int, k: int, f: int) -> None:
    symbols, side = drawn_mixtures(seed, 8, k, f)
    model = entropy.Mixture(family, f)
    payload = entropy.encode_symbols(model, symbols, side)
    assert payload == twin.encode_mixtures(family, f, symbols.tolist(), side)
    assert np.array_equal(entropy.decode_symbols(model, payload, (8,), side), symbols)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["gaussian", "laplace", "logistic"]), st.integers(0, 20))
def test_a_mixtures_slots_are_sixteen_bits_and_none_is_empty(seed: int, family: str, f: int) -> None:
    _, side = drawn_mixtures(seed, 1, 3, f)
    _, begin = twin.slots(family, f, side[:, 0].T.tolist())
    assert (begin[0], begin[-1]) == (0, 65536)
    assert (np.diff(begin) >= 1).all()


@pytest.mark.parametrize("scale", [0.15, 1.0, 7.0, 90.0, 3000.0])
@pytest.mark.parametrize("family", ["gaussian", "laplace", "logistic"])
def test_mixtures_cost_nearly_their_entropy(family: str, scale: float) -> None:
    special = pytest.importorskip("scipy.special", reason="the exact entropies use SciPy's erf")
    below = {
        "gaussian": special.ndtr,
        "laplace": lambda x: np.where(x < 0, np.exp(-np.abs(x)) / 2, 1 - np.exp(-np.abs(x)) / 2),
        "logistic": special.expit,
    }[family]
    rng = np.random.default_rng(5)
    count, centers = 20000, np.array([-2.25 * scale, 3.5 * scale])
    which = (rng.random(count) < 0.25).astype(int)
    noise = {"gaussian": rng.normal, "laplace": rng.laplace, "logistic": rng.logistic}[family]
    symbols = np.rint(centers[which] + noise(0, scale, count)).astype(np.int64)

    def mass(center: float) -> np.ndarray:
        low, high = (symbols - 0.5 - center) / scale, (symbols + 0.5 - center) / scale
        flip = low + high > 0
        return below(np.where(flip, -low, high)) - below(np.where(flip, -high, low))

    ideal = -np.log2(0.75 * mass(centers[0]) + 0.25 * mass(centers[1])).sum() / 8
    f = 8
    side = np.empty((3, count, 2), np.int64)
    side[0], side[1], side[2] = (3, 1), np.rint(centers * 256), round(scale * 256)
    payload = entropy.encode_symbols(entropy.Mixture(family, f), symbols, side)
    assert len(payload) < ideal * 1.01 + 20
    tables = entropy.mixture_tables(family, [[3, 1]], side[1, :1], side[2, :1], fraction_bits=np.int64(8))
    assert tables.cost_bits(symbols, np.zeros(count, int)) / 8 < ideal * 1.01 + 20


def test_impossible_mixtures_are_refused() -> None:
    model = entropy.Mixture()
    good = np.array([[[1, 1]], [[0, 5]], [[7, 9]]])
    entropy.encode_symbols(model, [3], good)
    for at, value in (
        ((0, 0), 0),
        ((0, 0), 2**15),
        ((0, 0), -1),
        ((2, 0), 0),
        ((2, 0), 2**30),
        ((1, 0), 2**31),
    ):
        bad = good.copy()
        bad[at[0], 0, at[1]] = value
        if value == 0 and at[0] == 0:
            bad[0] = 0
        with pytest.raises(ValueError):
            entropy.encode_symbols(model, [3], bad)
    for side in (good[:2], good[:, 0], good.astype(float), np.ones((3, 1, 17), int), np.ones((3, 1, 0), int)):
        with pytest.raises(ValueError):
            entropy.encode_symbols(model, [3], side)
    for family, bits in (("cauchy", 8), ("gaussian", 21), ("gaussian", -1)):
        with pytest.raises(ValueError):
            entropy.Mixture(family, bits)
    for arguments in (
        ([[0]], [[0]], [[1]]),
        ([[1]], [[0]], [[0]]),
        ([1], [0], [1]),
        ([[2**15 + 1]], [[0]], [[1]]),
    ):
        with pytest.raises(ValueError):
            entropy.mixture_tables("gaussian", *arguments)


CASES = [
    (entropy.Categorical(), np.arange(12) % 5, np.random.default_rng(0).integers(1, 99, (12, 5))),
    (entropy.Mixture("laplace", 4), *drawn_mixtures(4, 12, 2, 4)),
]


@pytest.mark.parametrize(("model", "symbols", "side"), CASES, ids=["rows", "mixtures"])
def test_damage_and_other_sides_raise(model: Any, symbols: np.ndarray, side: np.ndarray) -> None:
    payload = entropy.encode_symbols(model, symbols, side)
    for end in range(len(payload)):
        with pytest.raises(CorruptStream):
            entropy.decode_symbols(model, payload[:end], (12,), side)
    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptStream, UnsupportedStream)):
            entropy.decode_symbols(model, damaged, (12,), side)
    other = side.copy()
    other.flat[-1] += 1
    with pytest.raises(CorruptStream, match="tables differ"):
        entropy.decode_symbols(model, payload, (12,), other)
    with pytest.raises(LimitExceeded):
        entropy.decode_symbols(model, payload, (2**40,), side)


@pytest.mark.parametrize(("model", "symbols", "side"), CASES, ids=["rows", "mixtures"])
@given(data=st.data())
def test_unchecked_damage_raises_or_gives_symbols(
    model: Any, symbols: np.ndarray, side: np.ndarray, data: st.DataObject
) -> None:
    payload = bytearray(model.encode(symbols, side, check=False))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        back = model.decode(bytes(payload), (12,), side, check=False)
    except (CorruptStream, UnsupportedStream):
        return
    assert back.shape == (12,)
