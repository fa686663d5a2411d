"""Tables: made by integers alone, checked when given, told apart by their digest."""

import numpy as np
import pytest
from entropy.strategies import messages, tables
from hypothesis import given
from hypothesis import strategies as st

from narrows import entropy
from narrows.entropy import Tables, reference


def parts(made):
    return {"bits": made.bits, "offset": made.offset, "shift": made.shift, "size": made.size, "cdf": made.cdf}


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=60).filter(any), st.integers(8, 16))
def test_frequencies_are_websters(weights, bits):
    made = Tables.from_pmf([np.array(weights, np.uint64)], [0], bits=bits, escape=False)
    units = np.diff(made.cdf[0, 1 : len(weights) + 2].astype(int)).tolist()
    assert units == reference.apportion(weights, bits)
    assert sum(units) == 2**bits
    assert min(units) >= 1
    for i, w in enumerate(weights):
        for j, v in enumerate(weights):
            assert not (w > v and units[i] < units[j])


def test_floats_are_probabilities():
    made = Tables.from_pmf([[0.5, 0.25]], [0], bits=8, escape=[0.25])
    assert made.cdf.tolist() == [[0, 64, 192, 256]]
    assert Tables.from_pmf([[7.0, 1.0]], [0], bits=8, escape=False).cdf.tolist() == [[0, 0, 128, 256]]


def test_shifts_make_multiples():
    made = Tables.from_pmf([[0.7, 0.3], [0.7, 0.3]], [0, 0], bits=12, shift=[3, 9])
    assert (made.cdf[0] % 8 == 0).all()
    assert (made.cdf[1] % 128 == 0).all()


@given(tables())
def test_digest_is_the_twins(made):
    assert made.digest() == reference.digest(made).to_bytes(4, "little")


def test_digest_tells_every_field():
    made = Tables.from_pmf([[0.5, 0.5], [0.5, 0.5]], [0, 0], bits=10, shift=1)
    seen = {made.digest()}
    for changed in (
        {"offset": [0, 1]},
        {"shift": [1, 0]},
        {"cdf": [[0, 2, 512, 1024], [0, 2, 514, 1024]]},
    ):
        seen.add(Tables(**{**parts(made), **changed}).digest())
    assert len(seen) == 4


SOUND = {"bits": 8, "offset": [0], "shift": [0], "size": [3], "cdf": [[0, 1, 100, 256]]}


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 7},
        {"bits": 17},
        {"bits": 8.0},
        {"bits": 9},
        {"offset": []},
        {"offset": [0, 0]},
        {"offset": [2**31]},
        {"offset": [2**31 - 1]},
        {"offset": [0.5]},
        {"shift": [1]},
        {"shift": [21]},
        {"shift": [-1]},
        {"shift": [256]},
        {"size": [0]},
        {"size": [-1]},
        {"size": [2]},
        {"size": [4]},
        {"size": [10**9]},
        {"cdf": [[0, 1, 100, 255]]},
        {"cdf": [[0, 1, 100, 257]]},
        {"cdf": [[1, 2, 100, 256]]},
        {"cdf": [[0, 100, 100, 256]]},
        {"cdf": [[0, 100, 50, 256]]},
        {"cdf": [[0, 1, -1, 256]]},
        {"cdf": [[0, 1, 2**32, 256]]},
        {"cdf": [[0.0, 1, 100, 256]]},
        {"cdf": [0, 1, 100, 256]},
        {"cdf": [[0, 1, 100, 256]] * 2},
        {"cdf": [[0, 1, 256, 256]]},
    ],
    ids=str,
)
def test_hostile_tables_are_value_errors(change):
    Tables(**SOUND)
    with pytest.raises(ValueError):
        Tables(**{**SOUND, **change})


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        ([[0.0, 0.0]], {}),
        ([[-0.1, 1.1]], {}),
        ([[float("nan")]], {}),
        ([[-1, 2]], {}),
        ([], {}),
        ([[]], {}),
        ([[[0.5]]], {}),
        ([["a"]], {}),
        ([np.ones(257)], {"bits": 8}),
        ([np.ones(40)], {"bits": 8, "shift": 3}),
        ([np.ones(3)], {"bits": 7}),
        ([np.ones(3)], {"shift": 21}),
        ([np.ones(3)], {"shift": [0, 0]}),
        ([np.ones(3)], {"escape": -1}),
        ([np.ones(3)], {"escape": True}),
        ([np.ones(3)], {"escape": [0.1, 0.1]}),
    ],
    ids=str,
)
def test_hostile_weights_are_value_errors(rows, options):
    with pytest.raises(ValueError):
        Tables.from_pmf(rows, [0] * len(rows), **options)


def test_tables_are_frozen():
    made = Tables(**SOUND)
    with pytest.raises(ValueError):
        made.cdf[0, 1] = 5
    with pytest.raises(AttributeError):
        made.bits = 9
    mine = np.array(SOUND["cdf"], np.uint32)
    made = Tables(**{**SOUND, "cdf": mine})
    mine[0, 1] = 7
    assert made.cdf[0, 1] == 1


@given(messages(max_size=400))
def test_cost_is_what_the_coder_takes(drawn):
    made, index, symbols = drawn
    cost = made.cost_bits(symbols, index)
    encoder = entropy.RangeEncoder()
    encoder.put(symbols, index, made)
    assert 0.9 * cost - 16 < 8 * len(encoder.finish()) < cost * 1.002 + 16


def test_cost_refuses_what_encode_refuses():
    closed = Tables.from_pmf([[1, 1]], [0], escape=False)
    for symbols, index in (([2], [0]), ([0, 1], [0]), ([0], [1])):
        with pytest.raises(ValueError):
            closed.cost_bits(symbols, index)
    assert closed.cost_bits([], []) == 0
