"""rANS payloads: every int32 survives, the twin agrees, and nothing wrong passes."""

import threading

import numpy as np
import pytest
from entropy.strategies import messages, tables
from hypothesis import given
from hypothesis import strategies as st

from narrows import entropy
from narrows.entropy import reference
from narrows.errors import CorruptStream, LimitExceeded, StreamError, TruncatedStream, UnsupportedStream
from narrows.limits import Limits

THREE = entropy.Tables.from_pmf([[0.2, 0.5, 0.3], [0.9, 0.05, 0.05]], offsets=[-1, -1])


def message(size=200, seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(-1, 2, size).astype(np.int32), rng.integers(0, 2, size).astype(np.uint8)


@given(messages(), st.booleans(), st.booleans(), st.sampled_from([64, 1 << 18]))
def test_every_int32_survives_and_the_twin_agrees(drawn, check, hash_index, chunk_bytes):
    made, index, symbols = drawn
    options = {"check": check, "hash_index": hash_index, "chunk_bytes": chunk_bytes}
    payload = entropy.encode(symbols, index, made, **options)
    assert np.array_equal(entropy.decode(payload, index, made, check=check), symbols)
    assert reference.encode(symbols, index, made, **options) == payload
    assert reference.decode(payload, index, made, check=check) == symbols.tolist()


@given(messages(max_size=120))
def test_states_may_carry_side_data(drawn):
    made, index, symbols = drawn
    payload = reference.encode(symbols, index, made, state_payload=True)
    assert np.array_equal(entropy.decode(payload, index, made), symbols)
    assert reference.decode(payload, index, made) == symbols.tolist()


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 5000, 70_000])
def test_every_instruction_set_writes_and_reads_the_same_bytes(size, isa):
    rng = np.random.default_rng(size)
    scales = np.geomspace(0.2, 60, 40)
    x = np.arange(-200, 200)
    made = entropy.Tables.from_pmf(
        [np.exp(-np.abs(x) / s) / (2 * s) for s in scales], [-200] * 40, escape=[1e-4] * 40
    )
    index = rng.integers(0, 40, size).astype(np.uint8)
    symbols = np.rint(rng.laplace(0, scales[index])).astype(np.int16)
    payload = entropy.encode(symbols, index, made)
    if size <= 5000:
        assert payload == reference.encode(symbols, index, made)
    for dtype in (np.int16, np.int32):
        assert np.array_equal(entropy.decode(payload, index, made, dtype=dtype), symbols)
    assert entropy.encode(symbols.astype(np.int32), index.astype(np.uint16), made) == payload


@given(messages(max_size=60), st.data())
def test_a_single_wrong_bit_is_noticed(drawn, data):
    made, index, symbols = drawn
    payload = bytearray(entropy.encode(symbols, index, made))
    bit = data.draw(st.integers(0, 8 * len(payload) - 1))
    payload[bit // 8] ^= 1 << bit % 8
    with pytest.raises(StreamError):
        entropy.decode(bytes(payload), index, made)


@given(messages(max_size=60), st.data())
def test_damage_without_a_checksum_is_refused_or_harmless(drawn, data):
    made, index, symbols = drawn
    payload = bytearray(entropy.encode(symbols, index, made, check=False))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        expected = reference.decode(bytes(payload), index, made, check=False)
    except UnsupportedStream:
        with pytest.raises(UnsupportedStream):
            entropy.decode(bytes(payload), index, made, check=False)
    except CorruptStream:
        with pytest.raises(CorruptStream):
            entropy.decode(bytes(payload), index, made, check=False)
    else:
        assert entropy.decode(bytes(payload), index, made, check=False).tolist() == expected


def test_every_prefix_and_every_suffix_byte_raises():
    symbols, index = message()
    symbols[7] = 2**31 - 1
    payload = entropy.encode(symbols, index, THREE)
    for size in range(len(payload)):
        with pytest.raises(CorruptStream):
            entropy.decode(payload[:size], index, THREE)
    with pytest.raises(CorruptStream):
        entropy.decode(payload + b"\0", index, THREE)
    with pytest.raises(TruncatedStream):
        entropy.decode(b"", index, THREE)


def test_wrong_tables_are_named():
    symbols, index = message()
    other = entropy.Tables.from_pmf([[0.2, 0.5, 0.3], [0.9, 0.04, 0.06]], offsets=[-1, -1])
    payload = entropy.encode(symbols, index, THREE)
    with pytest.raises(
        CorruptStream, match=f"stream {THREE.digest().hex()}, installed {other.digest().hex()}"
    ):
        entropy.decode(payload, index, other)


def test_wrong_indexes_are_noticed():
    symbols, index = message()
    payload = entropy.encode(symbols, index, THREE, hash_index=True)
    with pytest.raises(CorruptStream, match="indexes differ"):
        entropy.decode(payload, 1 - index, THREE)
    with pytest.raises(CorruptStream):
        entropy.decode(entropy.encode(symbols, index, THREE), 1 - index, THREE)


@pytest.mark.parametrize("wrong", [0, 1, 199, 201, 5000])
def test_another_number_of_symbols_is_refused(wrong):
    symbols, index = message()
    payload = entropy.encode(symbols, index, THREE)
    with pytest.raises(CorruptStream, match="symbols than there are indexes"):
        entropy.decode(payload, np.zeros(wrong, np.uint8), THREE)


def test_a_count_from_the_data_allocates_nothing():
    sure = entropy.Tables.from_pmf([[1]], offsets=[0], escape=False)
    payload = bytearray(entropy.encode(np.zeros(1000, np.int8), np.zeros(1000, np.uint8), sure, check=False))
    assert payload[7:9] == b"\xe8\x07"
    payload[7:9] = b"\xff\xff\xff\xff\x0f"
    with pytest.raises(CorruptStream, match="more symbols"):
        entropy.decode(payload, np.zeros(1000, np.uint8), sure, check=False)


def test_a_checksum_may_be_demanded_or_not():
    symbols, index = message()
    bare = entropy.encode(symbols, index, THREE, check=False)
    assert len(entropy.encode(symbols, index, THREE)) == len(bare) + 4
    with pytest.raises(CorruptStream, match="no checksum"):
        entropy.decode(bare, index, THREE)
    assert np.array_equal(entropy.decode(bare, index, THREE, check=False), symbols)


@pytest.mark.parametrize(
    ("symbols", "index"),
    [
        ([1, 2], [0]),
        ([1], [2]),
        ([1], [-1]),
        ([1], [70_000]),
        ([2**31], [0]),
        ([-(2**31) - 1], [0]),
        ([0.5], [0]),
        ([1], [0.5]),
        (["a"], [0]),
    ],
)
def test_the_callers_mistakes_are_value_errors(symbols, index):
    with pytest.raises(ValueError) as refused:
        entropy.encode(symbols, index, THREE)
    assert not isinstance(refused.value, StreamError)


def test_an_index_out_of_range_is_the_callers_mistake_when_decoding_too():
    symbols, index = message()
    payload = entropy.encode(symbols, index, THREE)
    with pytest.raises(ValueError, match="an index names no table"):
        entropy.decode(payload, index + 2, THREE)


def test_closed_tables_refuse_what_lies_outside():
    closed = entropy.Tables.from_pmf([[1, 1, 1]], offsets=[0], escape=False)
    with pytest.raises(ValueError, match="outside"):
        entropy.encode([3], [0], closed)
    assert entropy.decode(entropy.encode([2, 0], [0, 0], closed), [0, 0], closed).tolist() == [2, 0]


def test_limits_hold():
    symbols, index = message()
    payload = entropy.encode(symbols, index, THREE)
    with pytest.raises(LimitExceeded):
        entropy.decode(payload, index, THREE, limits=Limits(max_output_bytes=799))
    assert len(entropy.decode(payload, index, THREE, limits=Limits(max_output_bytes=800))) == 200


def test_arrays_of_any_layout_are_accepted_and_left_alone():
    symbols, index = message(600)
    expected = entropy.encode(symbols, index, THREE)
    assert entropy.encode(symbols.tolist(), index.tolist(), THREE) == expected
    assert entropy.encode(symbols.astype(">i8"), index.astype(np.int64), THREE) == expected
    wide = np.repeat(symbols, 2)[::2]
    assert not wide.flags.c_contiguous
    assert entropy.encode(wide, np.repeat(index, 3)[::3], THREE) == expected
    frozen = symbols.copy()
    frozen.flags.writeable = False
    assert entropy.encode(frozen, index, THREE) == expected
    grid = index.reshape(20, 30)
    assert entropy.encode(symbols.reshape(20, 30), grid, THREE) == expected
    assert np.array_equal(entropy.decode(memoryview(expected), grid, THREE), symbols.reshape(20, 30))

    class Tensor:
        def __init__(self, array):
            self.array = array

        def numpy(self):
            return self.array

    assert entropy.encode(Tensor(symbols), Tensor(index), THREE) == expected
    assert np.array_equal(entropy.decode(expected, Tensor(index), THREE), symbols)


def test_narrow_dtypes_are_filled_or_refused():
    symbols, index = np.array([100, -3, 300, 70_000]), np.zeros(4, np.uint8)
    for size, dtype in ((2, np.int8), (3, np.int16), (4, np.int32)):
        payload = entropy.encode(symbols[:size], index[:size], THREE)
        got = entropy.decode(payload, index[:size], THREE, dtype=dtype)
        assert got.dtype == dtype
        assert np.array_equal(got, symbols[:size])
    with pytest.raises(CorruptStream, match="does not fit"):
        entropy.decode(entropy.encode(symbols[:3], index[:3], THREE), index[:3], THREE, dtype=np.int8)
    with pytest.raises(CorruptStream, match="does not fit"):
        entropy.decode(entropy.encode(symbols, index, THREE), index, THREE, dtype=np.int16)
    with pytest.raises(ValueError, match="int8, int16 or int32"):
        entropy.decode(b"", index, THREE, dtype=np.float32)


def test_threads_change_nothing():
    symbols, index = message(300_000)
    one = entropy.encode(symbols, index, THREE, chunk_bytes=4096)
    for threads in (2, 7):
        assert entropy.encode(symbols, index, THREE, chunk_bytes=4096, threads=threads) == one
        assert np.array_equal(entropy.decode(one, index, THREE, threads=threads), symbols)


def test_calls_from_many_threads_do_not_meet():
    symbols, index = message(100_000)
    expected = entropy.encode(symbols, index, THREE)
    wrong = []

    def work():
        wrong.extend(1 for _ in range(5) if entropy.encode(symbols, index, THREE) != expected)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_unlikely_symbols_do_not_blow_up():
    rng = np.random.default_rng(3)
    symbols = rng.integers(-(2**31), 2**31, 10_000)
    payload = entropy.encode(symbols, np.zeros(10_000, np.uint8), THREE)
    assert len(payload) < 40_000 + 40
    assert np.array_equal(entropy.decode(payload, np.zeros(10_000, np.uint8), THREE), symbols)


def test_newer_versions_and_profiles_are_unsupported():
    symbols, index = message()
    payload = bytearray(entropy.encode(symbols, index, THREE, check=False))
    for first in (0x00, 0x20, 0x13, 0x1F):
        payload[0] = first
        with pytest.raises(UnsupportedStream):
            entropy.decode(payload, index, THREE, check=False)
    payload[0], payload[2] = 0x10, payload[2] | 0x80
    with pytest.raises(UnsupportedStream):
        entropy.decode(payload, index, THREE, check=False)


@given(messages(of=tables(closed=True)))
def test_closed_tables_survive_too(drawn):
    made, index, symbols = drawn
    payload = entropy.encode(symbols, index, made)
    assert payload == reference.encode(symbols, index, made)
    assert np.array_equal(entropy.decode(payload, index, made), symbols)
