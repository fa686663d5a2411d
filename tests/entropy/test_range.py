"""The range coder: fixed and adaptive tables, raw bits, and the length so far on both sides."""

import numpy as np
import pytest
from entropy.strategies import messages, tables
from hypothesis import given
from hypothesis import strategies as st

from narrows import entropy
from narrows.entropy import Adaptive, AdaptiveBits, RangeDecoder, RangeEncoder, Tables
from narrows.entropy import reference_range as twin
from narrows.errors import CorruptStream, LimitExceeded, StreamError, TruncatedStream
from narrows.limits import Limits

SMALL = tables(most_bits=15, max_tokens=16)


@given(messages(of=SMALL, max_size=60), st.data())
def test_any_sequence_of_steps_comes_back_as_the_twin_says(drawn, data):
    made, index, symbols = drawn
    weight, max_shift = data.draw(st.integers(2, 400)), data.draw(st.integers(1, 12))
    encoder, other = RangeEncoder(), twin.RangeEncoder()
    models = [Adaptive(made, weight=weight, max_shift=max_shift) for _ in range(2)]
    other_models = [twin.Adaptive(made, weight=weight, max_shift=max_shift) for _ in range(2)]
    bits, other_bits = (
        [AdaptiveBits(3), AdaptiveBits(3)],
        [[twin.AdaptiveBit() for _ in range(3)] for _ in range(2)],
    )
    steps, tells = [], []
    for _ in range(data.draw(st.integers(0, 6))):
        kind = data.draw(st.sampled_from(["tables", "adaptive", "bits", "raw"]))
        count = data.draw(st.integers(0, len(symbols)))
        which, some = index[:count], symbols[:count]
        if kind == "tables":
            encoder.put(some, which, made)
            other.put(some.tolist(), which.tolist(), made)
        elif kind == "adaptive":
            encoder.put(some, which, models[0])
            other.put(some.tolist(), which.tolist(), other_models[0])
        elif kind == "bits":
            which, some = which % 3, (some & 1).astype(np.int32)
            encoder.put(some, which, bits[0])
            other.put(some.tolist(), which.tolist(), other_bits[0])
        else:
            which = np.arange(count) % 33
            some = (symbols[:count].astype(np.int64) & ((1 << which) - 1)).astype(np.uint32)
            encoder.put_bits(some, which)
            other.put_bits(some.tolist(), which.tolist())
        assert encoder.tell_bits() == other.tell_bits()
        steps.append((kind, which, some))
        tells.append(encoder.tell_bits())
    payload = encoder.finish()
    assert payload == other.finish()

    decoder, other = RangeDecoder(payload), twin.RangeDecoder(payload)
    for (kind, which, some), tell in zip(steps, tells, strict=True):
        if kind == "raw":
            got, also = decoder.get_bits(which), other.get_bits(which.tolist())
        else:
            model = {"tables": made, "adaptive": models[1], "bits": bits[1]}[kind]
            other_model = {"tables": made, "adaptive": other_models[1], "bits": other_bits[1]}[kind]
            got, also = decoder.get(which, model), other.get(which.tolist(), other_model)
        assert got.tolist() == some.tolist() == also
        assert decoder.tell_bits() == other.tell_bits() == tell
    decoder.finish()
    other.finish()


@given(messages(of=SMALL), st.booleans(), st.booleans())
def test_adaptive_payloads_stand_alone(drawn, check, hash_index):
    made, index, symbols = drawn
    payload = entropy.encode(symbols, index, Adaptive(made), check=check, hash_index=hash_index)
    assert np.array_equal(entropy.decode(payload, index, Adaptive(made), check=check), symbols)
    assert payload == twin.encode_adaptive(
        symbols, index, twin.Adaptive(made), check=check, hash_index=hash_index
    )
    assert twin.decode_adaptive(payload, index, twin.Adaptive(made), check=check) == symbols.tolist()


def test_adaptive_and_fixed_payloads_are_told_apart():
    made = Tables.from_pmf([[0.5, 0.5]], [0])
    symbols, index = [0, 1, 1], [0, 0, 0]
    with pytest.raises(CorruptStream, match="Adaptive"):
        entropy.decode(entropy.encode(symbols, index, Adaptive(made)), index, made)
    with pytest.raises(CorruptStream, match="Adaptive"):
        entropy.decode(entropy.encode(symbols, index, made), index, Adaptive(made))


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("payload", [b"", b"no payload at all", bytes(40), None])
def test_a_bad_index_is_the_callers_mistake_whatever_the_payload(payload, check):
    made = Tables.from_pmf([[4, 2, 1], [1, 1, 1]], [0, 0])
    if payload is None:
        payload = entropy.encode([0, 1, 2], [0, 1, 0], Adaptive(made), check=check, hash_index=True)
    for index in ([0, 2, 0], [0, -1, 0], [0, 65535, 0], [0, 65536, 0]):
        with pytest.raises(ValueError, match=r"names no table|index holds"):
            entropy.decode(payload, index, Adaptive(made), check=check)


def test_adaptive_payloads_are_limited_by_the_int32_that_they_take():
    made = Tables.from_pmf([[4, 2, 1]], [0])
    index = np.zeros(100, np.uint8)
    payload = entropy.encode(index, index, Adaptive(made))
    for dtype in (np.int8, np.int16, np.int32):
        got = entropy.decode(payload, index, Adaptive(made), dtype=dtype, limits=Limits(max_output_bytes=400))
        assert np.array_equal(got, index)
        with pytest.raises(LimitExceeded):
            entropy.decode(payload, index, Adaptive(made), dtype=dtype, limits=Limits(max_output_bytes=399))


def test_counts_belong_to_the_caller():
    made = Tables.from_pmf([[0.5, 0.5]], [0])
    counts = Adaptive(made, weight=2)
    start = counts.copy()
    entropy.encode(np.ones(500, np.int32), np.zeros(500, np.uint8), counts)
    assert counts.frequency(0, 2) > 30_000 > start.frequency(0, 2)
    assert start.frequency(0, 0) == 1
    assert counts.copy().frequency(0, 2) == counts.frequency(0, 2)


def test_no_frequency_reaches_zero():
    made = Tables.from_pmf([[0.6, 0.2, 0.1, 0.1]], [0])
    for max_shift in range(1, 13):
        counts = Adaptive(made, weight=2, max_shift=max_shift)
        for favorite in (0, 3, 1):
            encoder = RangeEncoder()
            encoder.put(np.full(60_000, favorite), np.zeros(60_000, np.uint8), counts)
            left = [counts.frequency(0, token) for token in range(5)]
            assert min(left) >= 1
            assert sum(left) == 2**15
            assert left[favorite + 1] > 32_700


@pytest.mark.parametrize("options", [{"weight": 1}, {"weight": 40_000}, {"max_shift": 0}, {"max_shift": 13}])
def test_impossible_rates_are_value_errors(options):
    with pytest.raises(ValueError, match="weight"):
        Adaptive(Tables.from_pmf([[0.5, 0.5]], [0]), **options)


def test_tables_that_cannot_adapt_are_value_errors():
    with pytest.raises(ValueError, match="17 tokens"):
        Adaptive(Tables.from_pmf([[1] * 17], [0]))
    with pytest.raises(ValueError, match="15 bits"):
        Adaptive(Tables.from_pmf([[1, 1]], [0], bits=16))
    Adaptive(Tables.from_pmf([[1] * 17], [0], escape=False))


def test_a_refused_put_codes_nothing():
    closed = Tables.from_pmf([[1, 1]], [0], escape=False)
    encoder = RangeEncoder()
    encoder.put([0, 1], [0, 0], closed)
    before = encoder.tell_bits()
    for symbols, index, model in (
        ([0, 2], [0, 0], closed),
        ([0, 1], [0, 1], closed),
        ([0, 1], [0], closed),
        ([0, 2], [0, 0], AdaptiveBits(1)),
        ([0, 1], [0, 1], AdaptiveBits(1)),
        ([0, 2], [0, 0], Adaptive(closed)),
    ):
        with pytest.raises(ValueError):
            encoder.put(symbols, index, model)
    for values, counts in (([4], [2]), ([1], [33]), ([1, 1], [1]), ([-1], [3])):
        with pytest.raises(ValueError):
            encoder.put_bits(values, counts)
    assert encoder.tell_bits() == before
    assert RangeDecoder(encoder.finish()).get([0, 0], closed).tolist() == [0, 1]
    with pytest.raises(ValueError, match="finished"):
        encoder.put([0], [0], closed)


def read_all(decoder, index, model):
    decoder.get(index, model)
    decoder.finish()


@given(messages(of=SMALL, max_size=40), st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused_as_the_twin_does(drawn, payload):
    made, index, _ = drawn
    for model, other in ((made, made), (Adaptive(made), twin.Adaptive(made))):
        decoder, reader = RangeDecoder(payload), twin.RangeDecoder(payload)
        try:
            expected = reader.get(index.tolist(), other)
            reader.finish()
        except StreamError:
            with pytest.raises(StreamError):
                read_all(decoder, index, model)
        else:
            assert decoder.get(index, model).tolist() == expected
            decoder.finish()


def test_bytes_left_over_and_bytes_missing_are_told():
    made = Tables.from_pmf([[0.5, 0.5]], [0])
    index = np.zeros(200, np.uint8)
    encoder = RangeEncoder()
    encoder.put(np.arange(200) % 2, index, made)
    payload = encoder.finish()
    decoder = RangeDecoder(payload + b"\1" * 5)
    decoder.get(index, made)
    with pytest.raises(CorruptStream, match="left over"):
        decoder.finish()
    with pytest.raises(TruncatedStream):
        RangeDecoder(payload[:-5]).get(index, made)
    with pytest.raises(TruncatedStream):
        RangeDecoder(b"").get_bits([32, 32])
    RangeDecoder(b"").finish()


@given(messages(of=SMALL, max_size=30), st.binary(min_size=1, max_size=4))
def test_only_one_ending_is_sound(drawn, junk):
    made, index, symbols = drawn
    encoder = RangeEncoder()
    encoder.put(symbols, index, made)
    payload = encoder.finish()
    for wrong in (payload + junk, payload[:-1] + bytes([payload[-1] ^ junk[0] | 1]) if payload else junk):
        if wrong == payload:
            continue
        for decoder in (RangeDecoder(wrong), twin.RangeDecoder(wrong)):
            try:
                got = list(decoder.get(index, made))
            except CorruptStream:
                continue
            if got == symbols.tolist():
                with pytest.raises(CorruptStream):
                    decoder.finish()


def test_overhead_of_a_packet_is_below_a_byte():
    rng = np.random.default_rng(5)
    made = Tables.from_pmf([rng.random(12) ** 3], [0])
    total = []
    for _ in range(300):
        symbols = rng.integers(0, 12, rng.integers(1, 60))
        encoder = RangeEncoder()
        encoder.put(symbols, np.zeros(symbols.size, np.uint8), made)
        total.append(8 * len(encoder.finish()) - made.cost_bits(symbols, np.zeros(symbols.size, np.uint8)))
    assert 0 < np.mean(total) < 8
