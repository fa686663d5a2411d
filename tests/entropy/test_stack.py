"""The stack coder: exact, last in first out, and what bits-back coding costs (rows K39, K40)."""

from __future__ import annotations

import array
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.entropy import Adaptive, AdaptiveBits, Stack, Tables
from narrows.errors import CorruptStream, StreamError, TruncatedStream, UnsupportedStream

EVEN = Tables.from_pmf([[1, 1]], offsets=[0], bits=16, escape=False)
QUARTER = Tables.from_pmf([[3, 1], [1, 3]], offsets=[0, 0], bits=16, escape=False)
WIDE = Tables.from_pmf(
    [np.ones(20), np.arange(1, 9), [1.0]],
    offsets=[-3000, 2**31 - 40, 5],
    shift=[9, 2, 0],
    escape=[0.1, 0.01, 0.2],
)


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 300),
    extremes=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20),
)
def test_pops_undo_pushes_whatever_the_tables(seed: int, count: int, extremes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    stack, pushed = Stack(rng.bytes(seed % 9)), []
    states = [stack.tobytes()]
    for tables in (WIDE, QUARTER, WIDE):
        index = rng.integers(0, len(tables), count + len(extremes)).astype(np.uint8)
        near = rng.integers(0, 2 if tables is QUARTER else 12000, count) + tables.offset[index[:count]]
        far = extremes if tables is WIDE else [0] * len(extremes)
        symbols = np.clip(np.concatenate([near, far]), -(2**31), 2**31 - 1)
        stack.push(symbols.astype(np.int64), index, tables)
        pushed.append((symbols, index, tables))
        states.append(stack.tobytes())
    stack = Stack.frombytes(stack.tobytes())
    for (symbols, index, tables), before in zip(pushed[::-1], states[-2::-1], strict=True):
        assert np.array_equal(stack.pop(index, tables), symbols)
        assert stack.tobytes() == before


@given(seed=st.integers(0, 2**32 - 1), escape=st.floats(0.01, 0.9), shift=st.integers(0, 20))
def test_pushes_undo_pops_whatever_the_bits(seed: int, escape: float, shift: int) -> None:
    rng = np.random.default_rng(seed)
    tables = Tables.from_pmf(
        [np.ones(7), [1.0], []],
        offsets=[-(2**31), 2**31 - (1 << shift), 0],
        shift=[shift, shift, 0],
        escape=escape,
    )
    stack = Stack(rng.bytes(4000))
    before, index = stack.tobytes(), rng.integers(0, 3, 300)
    drawn = stack.pop(index, tables)
    assert (tables.offset[index] > drawn).any()  # escapes below a table, and above
    stack.push(drawn, index, tables)
    assert stack.tobytes() == before


def test_symbols_may_be_popped_one_by_one() -> None:
    index = np.arange(100, dtype=np.uint8) % 2
    symbols = (np.arange(100) * 7 % 3 > 0).astype(np.int32)
    stack = Stack()
    stack.push(symbols, index, QUARTER)
    assert [int(stack.pop([i], QUARTER)[0]) for i in index] == symbols.tolist()
    assert stack.size_bits() == 0


def test_the_size_is_the_entropy() -> None:
    rng = np.random.default_rng(1)
    symbols = (rng.random(20000) < 0.25).astype(np.int32)
    stack = Stack()
    stack.push(symbols, np.zeros(20000, np.uint8), QUARTER)
    ideal = QUARTER.cost_bits(symbols, np.zeros(20000, np.uint8))
    assert stack.size_bits() == pytest.approx(ideal, abs=1)
    assert len(stack.tobytes()) * 8 < ideal + 200


def bits_back(count: int, posterior: Tables, seed: int) -> tuple[float, Stack, np.ndarray]:
    """p(z) = 1/2, p(x = z | z) = 3/4: the net bits a symbol, the stack, and the x."""
    rng = np.random.default_rng(seed)
    z = rng.integers(0, 2, count)
    x = np.where(rng.random(count) < 0.75, z, 1 - z)
    stack = Stack(rng.bytes(4096))
    before = stack.size_bits()
    for value in x:
        drawn = stack.pop([value if len(posterior) == 2 else 0], posterior)
        stack.push([value], drawn, QUARTER)
        stack.push(drawn, [0], EVEN)
    return (stack.size_bits() - before) / count, stack, x


def unwound(stack: Stack, count: int, posterior: Tables) -> list[int]:
    found = []
    for _ in range(count):
        z = stack.pop([0], EVEN)
        x = stack.pop(z, QUARTER)
        stack.push(z, x if len(posterior) == 2 else [0], posterior)
        found.append(int(x[0]))
    return found[::-1]


def test_k39_bits_back_with_the_exact_posterior_costs_the_evidence() -> None:
    count = 8192
    net, stack, x = bits_back(count, QUARTER, 3)
    assert net == pytest.approx(1.0, abs=1e-6)
    without = 1 + -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert without == pytest.approx(1.811278, abs=1e-6)
    assert unwound(stack, count, QUARTER) == x.tolist()
    rng = np.random.default_rng(3)
    rng.integers(0, 2, count), rng.random(count)
    start = Stack(rng.bytes(4096))
    assert stack.tobytes() == start.tobytes()


def test_k40_bits_back_with_a_worse_posterior_costs_the_bound() -> None:
    count = 8192
    net, stack, x = bits_back(count, EVEN, 4)
    assert net == pytest.approx(1.207519, abs=4 * 0.79 / math.sqrt(count))
    assert unwound(stack, count, EVEN) == x.tolist()


def test_an_empty_stack_says_so_and_keeps_what_it_has() -> None:
    stack = Stack()
    stack.push([1, 0], [0, 1], QUARTER)
    before = stack.tobytes()
    with pytest.raises(TruncatedStream, match="fewer"):
        stack.pop(np.zeros(10000, np.uint8), QUARTER)
    assert stack.tobytes() == before
    assert stack.pop([0, 1], QUARTER).tolist() == [1, 0]


def test_callers_mistakes_change_nothing() -> None:
    stack = Stack(b"abcd")
    before = stack.tobytes()
    for symbols, index in (([0, 1], [0]), ([0], [2]), ([0, 2], [0, 0]), ([0, -1], [0, 0])):
        with pytest.raises(ValueError, match=r"length|names no table|outside"):
            stack.push(symbols, index, QUARTER)
    with pytest.raises(ValueError, match="names no table"):
        stack.pop([0, 7], QUARTER)
    assert stack.tobytes() == before


def test_models_of_another_kind_are_refused() -> None:
    stack = Stack()
    for other in (Adaptive(Tables.from_pmf([[1, 1]], [0])), AdaptiveBits(2)):
        with pytest.raises(TypeError, match=r"entropy\.Tables"):
            stack.push([0], [0], other)
        with pytest.raises(TypeError, match=r"entropy\.Tables"):
            stack.pop([0], other)
    assert stack.size_bits() == 0


def test_payloads_are_checked() -> None:
    stack = Stack(b"some bytes")
    stack.push([1] * 50, [0] * 50, QUARTER)
    payload = stack.tobytes()
    for end in range(len(payload)):
        with pytest.raises(StreamError):
            Stack.frombytes(payload[:end])
    for at in range(len(payload)):
        with pytest.raises(StreamError):
            Stack.frombytes(payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :])
    bare = stack.tobytes(check=False)
    assert Stack.frombytes(bare, check=False).tobytes() == payload
    with pytest.raises(CorruptStream, match="no checksum"):
        Stack.frombytes(bare)
    with pytest.raises(CorruptStream, match="follow"):
        Stack.frombytes(bare + b"x", check=False)
    with pytest.raises(CorruptStream, match="state"):
        Stack.frombytes(bytes([0x15, 0, 0]) + bytes(8), check=False)
    with pytest.raises(UnsupportedStream):
        Stack.frombytes(bytes([0x25, 0, 0]) + bytes(8))
    with pytest.raises(TruncatedStream):
        Stack.frombytes(bytes([0x15, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]) + bytes(8))


def test_the_form_is_this() -> None:
    stack = Stack()
    stack.push([0, 1, 1], [0, 0, 0], EVEN)
    assert stack.tobytes(check=False) == bytes.fromhex("15 00 00 00 00 03 00 08 00 00 00")
    sizes = [Stack(bytes(4 * n)).size_bits() for n in range(3)]
    assert [b - a for a, b in pairwise(sizes)] == [32, 32]


@pytest.mark.parametrize(("symbol", "distance", "size"), [(14, 2, 2), (3, 2**32 - 9, 1)])
@pytest.mark.parametrize("state", [0x1_0000_0001, 0x2_0000_0003, 2**64 - 1])
def test_the_form_of_an_escape_is_this(symbol: int, distance: int, size: int, state: int) -> None:
    """The values 8 to 11 stand in the table; its escape owns the first 64 of 256 slots."""
    tables = Tables.from_pmf([[3]], offsets=[8], shift=[2], bits=8, escape=np.array([1], np.uint64))
    assert tables.cdf.tolist() == [[0, 64, 256]]
    words, x = [], state
    if x >= size << 32:
        words, x = [x % 2**32], x >> 32
    x = (x // size << 32) + distance + x % size * (2**32 - 4)
    if x >= 64 << 56:
        words, x = [*words, x % 2**32], x >> 32
    stack = Stack()
    stack._held.set(state, b"")
    stack.push([symbol], [0], tables)
    assert stack._held.state() == (x // 64 << 8) + x % 64
    assert stack._held.words() == b"".join(word.to_bytes(4, "little") for word in words)
    assert stack.pop([0], tables).tolist() == [symbol]
    assert stack._held.state() == state


def test_a_stack_starts_from_any_bytes():
    data = bytes(range(1, 13))
    started = Stack(data).tobytes()
    assert Stack(memoryview(array.array("I", data))).tobytes() == started
    assert Stack(np.frombuffer(data, np.uint8)).tobytes() == started
    assert Stack(np.zeros(4, np.uint8)).tobytes() == Stack(bytes(4)).tobytes()
