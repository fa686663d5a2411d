"""Arrays of every layout and width, packed symbols, and chunks one at a time."""

import array
import ctypes
import threading

import numpy as np
import pytest
from entropy.strategies import messages, tables
from hypothesis import given
from hypothesis import strategies as st

from narrows import entropy
from narrows.entropy import reference
from narrows.errors import CorruptStream, LimitExceeded
from narrows.limits import Limits

TABLES = entropy.Tables.from_pmf(
    [[0.1, 0.2, 0.4, 0.2, 0.1], [0.1] * 9, [0.05, 0.9, 0.05]], offsets=[-2, -4, -1], escape=2.0**-10
)
DTYPES = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]


def message(shape, low=-5, high=6, seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(low, high, shape), rng.integers(0, 3, shape)


@pytest.mark.parametrize("symbol_dtype", DTYPES)
@pytest.mark.parametrize("index_dtype", DTYPES)
def test_every_width_gives_the_same_bytes(symbol_dtype, index_dtype):
    symbols, index = message(9000, low=0 if symbol_dtype(0).dtype.kind == "u" else -5)
    expected = entropy.encode(symbols.astype(np.int32), index.astype(np.uint8), TABLES)
    given_symbols, given_index = symbols.astype(symbol_dtype), index.astype(index_dtype)
    assert entropy.encode(given_symbols, given_index, TABLES) == expected
    assert np.array_equal(entropy.decode(expected, given_index, TABLES, dtype=np.int16), symbols)


@given(
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    steps=st.lists(st.sampled_from([1, 2, 3, -1, -2]), min_size=4, max_size=4),
    order=st.permutations(range(4)),
    dtypes=st.tuples(st.sampled_from([np.int8, np.int16, np.int32, np.int64]), st.sampled_from(DTYPES)),
    big=st.booleans(),
)
def test_views_are_read_as_their_copies(shape, steps, order, dtypes, big):
    axes = [axis for axis in order if axis < len(shape)]
    cuts = tuple(slice(None, None, step) for step in steps[: len(shape)])
    symbols, index = message([3 * size for size in shape])
    view = symbols.astype(dtypes[0])[cuts].transpose(axes)
    which = index.astype(dtypes[1])[cuts].transpose(axes)
    if big:
        view, which = np.broadcast_to(view, (40, *view.shape)), np.broadcast_to(which, (40, *which.shape))
    before = view.copy()
    payload = entropy.encode(view, which, TABLES, hash_index=True)
    assert payload == entropy.encode(
        np.ascontiguousarray(view), np.ascontiguousarray(which), TABLES, hash_index=True
    )
    got = entropy.decode(payload, which, TABLES, dtype=np.int8)
    assert got.shape == view.shape
    assert np.array_equal(got, before)
    assert np.array_equal(view, before)


def test_broadcast_indexes_need_no_copy():
    index = np.broadcast_to(np.array([0, 1, 2], np.uint8)[:, None, None], (4, 3, 50, 50))
    symbols = message(index.shape)[0].astype(np.int16)
    payload = entropy.encode(symbols, index, TABLES)
    assert payload == reference.encode(symbols.ravel().tolist(), index.ravel().tolist(), TABLES)
    assert np.array_equal(entropy.decode(payload, index, TABLES), symbols)


@given(messages())
def test_views_of_any_message_survive(drawn):
    made, index, symbols = drawn
    payload = entropy.encode(symbols[::-1], np.repeat(index, 2)[::-2], made)
    assert payload == reference.encode(symbols[::-1].tolist(), index[::-1].tolist(), made)
    assert np.array_equal(entropy.decode(payload, index[::-1], made), symbols[::-1])


def test_fields_of_records_are_read_where_they_are():
    records = np.zeros(5000, np.dtype([("odd", "u1"), ("symbol", "i2"), ("table", "u1"), ("wide", "i8")]))
    records["symbol"], records["table"] = message(5000)
    payload = entropy.encode(records["symbol"], records["table"], TABLES)
    assert payload == entropy.encode(records["symbol"].copy(), records["table"].copy(), TABLES)
    assert np.array_equal(entropy.decode(payload, records["table"], TABLES), records["symbol"])


@pytest.mark.parametrize("chunk_bytes", [200, 260, 320, 420, 560, 700, 1000, 1700])
def test_four_chunks_or_more_come_in_fours(chunk_bytes):
    symbols, index = message(6000)
    payload = entropy.encode(symbols, index, TABLES, chunk_bytes=chunk_bytes)
    count = len(entropy.chunks(payload))
    assert count <= 4 or count % 4 == 0
    assert payload == reference.encode(symbols.tolist(), index.tolist(), TABLES, chunk_bytes=chunk_bytes)


def test_an_empty_array_of_any_shape_survives():
    for shape in ((0,), (3, 0, 2)):
        payload = entropy.encode(np.zeros(shape, np.int64), np.zeros(shape, np.int64), TABLES)
        assert entropy.decode(payload, np.zeros(shape, np.int64), TABLES).shape == shape


def test_torch_tensors_are_read_in_place():
    torch = pytest.importorskip("torch", reason="needs torch")
    symbols, index = message((2, 30, 20))
    expected = entropy.encode(symbols.astype(np.int32), index.astype(np.uint8), TABLES)
    for dtype in (torch.int8, torch.int16, torch.int32, torch.int64):
        assert entropy.encode(torch.tensor(symbols, dtype=dtype), torch.tensor(index), TABLES) == expected
    turned = torch.tensor(symbols.transpose(2, 0, 1).copy()).permute(1, 2, 0)
    assert not turned.is_contiguous()
    assert entropy.encode(turned, torch.tensor(index, dtype=torch.uint8), TABLES) == expected
    assert np.array_equal(entropy.decode(expected, torch.tensor(index), TABLES), symbols)
    for wrong in (torch.tensor(symbols) + 0.0, torch.ones(3, dtype=torch.bfloat16)):
        with pytest.raises(ValueError, match="symbols"):
            entropy.encode(wrong, torch.tensor(index), TABLES)


UNREADABLE = ["gradient", "bfloat16", "elsewhere"]


@pytest.fixture(params=UNREADABLE)
def unreadable(request):
    """A tensor that NumPy cannot hold; one of the meta device is refused as one of a CUDA device is."""
    torch = pytest.importorskip("torch", reason="needs torch")
    return {
        "gradient": lambda: torch.ones(3, requires_grad=True),
        "bfloat16": lambda: torch.ones(3, dtype=torch.bfloat16),
        "elsewhere": lambda: torch.ones(3, dtype=torch.int32, device="meta"),
    }[request.param]()


FAMILY = entropy.scale_family("gaussian")
LAYER = {"bias": np.zeros(1, np.int32), "multiplier": np.ones(1, np.int32), "shift": 1}
TAKERS = {
    "symbols": lambda t: entropy.encode(t, [0] * 3, TABLES),
    "index": lambda t: entropy.encode([0] * 3, t, TABLES),
    "index to decode": lambda t: entropy.decode(b"", t, TABLES),
    "adaptive symbols": lambda t: entropy.encode(t, [0] * 3, entropy.Adaptive(TABLES)),
    "adaptive index": lambda t: entropy.decode(b"", t, entropy.Adaptive(TABLES)),
    "packed": lambda t: entropy.encode_packed(t, TABLES),
    "packed index": lambda t: entropy.decode_packed(b"", t, TABLES),
    "put symbols": lambda t: entropy.RangeEncoder().put(t, [0] * 3, TABLES),
    "put index": lambda t: entropy.RangeEncoder().put([0] * 3, t, TABLES),
    "put values": lambda t: entropy.RangeEncoder().put_bits(t, [3] * 3),
    "put counts": lambda t: entropy.RangeEncoder().put_bits([0] * 3, t),
    "get index": lambda t: entropy.RangeDecoder(b"").get(t, TABLES),
    "get counts": lambda t: entropy.RangeDecoder(b"").get_bits(t),
    "push": lambda t: entropy.Stack().push(t, [0] * 3, TABLES),
    "push index": lambda t: entropy.Stack().push([0] * 3, t, TABLES),
    "pop index": lambda t: entropy.Stack().pop(t, TABLES),
    "entry index": lambda t: entropy.entry_index(b"", t, TABLES),
    "weights": lambda t: entropy.Tables.from_pmf([t], [0]),
    "offsets": lambda t: entropy.Tables.from_pmf([[1.0]] * 3, t),
    "shifts": lambda t: entropy.Tables.from_pmf([[1.0]] * 3, [0] * 3, shift=t),
    "escapes": lambda t: entropy.Tables.from_pmf([[1.0]] * 3, [0] * 3, escape=t),
    "boundaries": lambda t: entropy.Tables(8, [0], [0], [2], t[None]),
    "cost of symbols": lambda t: TABLES.cost_bits(t, [0] * 3),
    "cost of index": lambda t: TABLES.cost_bits([0] * 3, t),
    "integer scales": lambda t: FAMILY.index(t),
    "float scales": lambda t: FAMILY.index_of_floats(t),
    "scales of a family": lambda t: entropy.scale_family("gaussian", t),
    "distances": lambda t: entropy.cumulative("laplace", t, 1),
    "mixtures": lambda t: entropy.mixture_tables("laplace", [[1] * 3], t[None], [[1] * 3]),
    "model's symbols": lambda t: entropy.encode_symbols(entropy.Static(TABLES, np.zeros(3, int)), t),
    "static index": lambda t: entropy.encode_symbols(entropy.Static(TABLES, t), [0] * 3),
    "side": lambda t: entropy.encode_symbols(entropy.Hyperprior(FAMILY), [0] * 3, t),
    "rows": lambda t: entropy.encode_symbols(entropy.Categorical(), [0] * 3, t[:, None]),
    "mixture": lambda t: entropy.encode_symbols(entropy.Mixture(), [0], t[:, None, None]),
    "layer": lambda t: entropy.Layer(t[None], **LAYER),
    "bias": lambda t: entropy.Layer(np.ones((3, 1), np.int8), t, np.ones(3, int), 1),
}


@pytest.mark.parametrize("name", TAKERS)
def test_tensors_that_numpy_cannot_hold_are_refused(name, unreadable):
    with pytest.raises(ValueError, match=r"requires_grad|requires grad|BFloat16|meta|holds|int8|integer"):
        TAKERS[name](unreadable)


@pytest.mark.parametrize("wrong", [2**31, -(2**31) - 1, 2**40, -(2**63)])
def test_numbers_beyond_int32_are_refused(wrong):
    with pytest.raises(ValueError, match="beyond int32"):
        entropy.encode([0, wrong], [0, 0], TABLES)
    with pytest.raises(ValueError, match="names no table"):
        entropy.encode([0, 0], [0, wrong], TABLES)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32])
def test_decoded_dtypes_are_filled_or_refused(dtype):
    limits = np.iinfo(dtype)
    symbols = np.array([limits.min, limits.max, 3] * 700, dtype)
    index = np.zeros(len(symbols), np.uint8)
    payload = entropy.encode(symbols, index, TABLES)
    got = entropy.decode(payload, index, TABLES, dtype=dtype)
    assert got.dtype == dtype
    assert np.array_equal(got, symbols)
    if limits.bits < 32:
        for beyond in (int(limits.min) - 1, int(limits.max) + 1):
            wide = symbols.astype(np.int32)
            wide[1500] = beyond
            with pytest.raises(CorruptStream, match="does not fit"):
                entropy.decode(entropy.encode(wide, index, TABLES), index, TABLES, dtype=dtype)


@given(messages(of=tables(shifts=(0, 1, 3))), st.integers(0, 2**16 - 1))
def test_packed_symbols_are_those_apart(drawn, seed):
    made, index, symbols = drawn
    symbols = symbols.astype(np.int8)
    if not made.cdf[:, 1].all():
        symbols = made.offset[index].astype(np.int8)
        made = entropy.Tables.from_pmf([[1, 1]] * len(made), offsets=[0] * len(made))
    packed = (symbols.astype(np.int16) << 8 | index.astype(np.int16)).astype(np.int16)
    payload = entropy.encode_packed(packed, made)
    assert payload == entropy.encode(symbols, index, made)
    assert payload == entropy.encode_packed(np.repeat(packed, 3)[::3], made)
    assert np.array_equal(entropy.decode_packed(payload, index, made), packed)
    assert np.array_equal(entropy.decode(payload, index, made, dtype=np.int8), symbols)


def test_packed_symbols_of_another_kind_are_refused():
    for wrong in (np.zeros(3, np.int32), np.zeros(3, np.uint16), np.zeros(3), np.zeros(3, ">i2")):
        with pytest.raises(ValueError, match="int16"):
            entropy.encode_packed(wrong, TABLES)
    with pytest.raises(ValueError, match="names no table"):
        entropy.encode_packed(np.array([3], np.int16), TABLES)
    wide = entropy.encode([300], [0], TABLES)
    with pytest.raises(CorruptStream, match="does not fit"):
        entropy.decode_packed(wide, [0], TABLES)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("hash_index", [True, False])
def test_chunks_decode_alone(check, hash_index):
    symbols, index = message(100_000)
    symbols[::997] = 2**30
    payload = entropy.encode(symbols, index, TABLES, check=check, hash_index=hash_index, chunk_bytes=4000)
    parts = entropy.chunks(payload, check=check)
    assert len(parts) > 5
    assert parts[0].start == 0
    assert parts[-1].stop == len(payload) - 4 * check
    assert sum(part.count for part in parts) == len(symbols)
    for number, part in enumerate(parts):
        which = index[part.first : part.first + part.count]
        got = entropy.decode(payload, which, TABLES, chunk=number, check=check)
        assert np.array_equal(got, symbols[part.first : part.first + part.count])
        if not check:
            alone = payload[part.start : part.stop]
            assert np.array_equal(entropy.decode(alone, which, TABLES, check=False), got)
    with pytest.raises(CorruptStream, match="not as many"):
        entropy.decode(payload, index, TABLES, chunk=1, check=check)
    with pytest.raises(ValueError, match=f"has {len(parts)} chunks"):
        entropy.decode(payload, index, TABLES, chunk=len(parts), check=check)
    with pytest.raises(ValueError, match="from 0"):
        entropy.decode(payload, index, TABLES, chunk=-1, check=check)


def test_chunks_of_damaged_payloads_are_refused():
    symbols, index = message(20_000)
    payload = bytearray(entropy.encode(symbols, index, TABLES, chunk_bytes=2000))
    payload[-6] ^= 1
    with pytest.raises(CorruptStream, match="checksum"):
        entropy.chunks(payload)
    assert entropy.chunks(payload, check=False)
    for size in (0, 5, 100, len(payload) - 1):
        with pytest.raises(CorruptStream):
            entropy.chunks(payload[:size])


def test_limits_hold_before_anything_is_copied():
    index = np.broadcast_to(np.zeros(1, np.uint8), (2**40,))
    with pytest.raises(LimitExceeded):
        entropy.decode(b"", index, TABLES, limits=Limits())
    with pytest.raises(LimitExceeded):
        entropy.decode_packed(b"", index, TABLES, limits=Limits())


@st.composite
def bytes_and_tables(draw):
    """Tables for bytes and tokens: 12 bits, at most 256 values, no escape; 4 take one lookup a symbol."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 5))
    size = draw(st.integers(1, 256))
    rows = [
        rng.integers(0, 2**32, size, dtype=np.uint64) ** draw(st.integers(1, 2)) + 1 for _ in range(count)
    ]
    offset = draw(st.sampled_from([0, -128, 5, -(2**15), 2**15 - 256, 2**20]))
    made = entropy.Tables.from_pmf(rows, [offset] * count, bits=12, escape=False)
    length = draw(st.sampled_from([0, 1, 31, 500, 9000]))
    index = rng.integers(0, count, length).astype(np.uint8)
    return made, index, (offset + rng.integers(0, size, length)).astype(np.int32)


@given(bytes_and_tables())
def test_bytes_and_tokens_survive(drawn):
    made, index, symbols = drawn
    payload = entropy.encode(symbols, index, made)
    assert payload == reference.encode(symbols.tolist(), index.tolist(), made)
    assert np.array_equal(entropy.decode(payload, index, made), symbols)
    if symbols.min(initial=0) >= -(2**15) and symbols.max(initial=0) < 2**15:
        assert np.array_equal(entropy.decode(payload, index, made, dtype=np.int16), symbols)


def test_other_threads_run_while_a_coder_works():
    rng = np.random.default_rng(0)
    bits, contexts = rng.integers(0, 2, 2_000_000), np.zeros(2_000_000, np.uint8)
    model, encoder = entropy.AdaptiveBits(1), entropy.RangeEncoder()
    started = threading.Event()
    refused = []

    def work():
        started.set()
        encoder.put(bits.astype(np.int32), contexts, model)

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    while thread.is_alive():
        try:
            model.copy()
        except ValueError as error:
            refused.append(str(error))
    thread.join()
    assert all("another thread" in why for why in refused)
    payload = encoder.finish()
    assert np.array_equal(entropy.RangeDecoder(payload).get(contexts, entropy.AdaptiveBits(1)), bits)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64])
def test_raw_bits_may_start_below_the_type_of_their_sum(dtype: type) -> None:
    """A token of 512 values from -33,068: those from -32,768 are int16 although its first value is not."""
    tables = entropy.Tables.from_pmf([np.ones(8)], offsets=[-32768 - 300], shift=[9], escape=[0.1])
    symbols = np.resize([-32768, -32700, -32600], 300).astype(dtype)
    payload = entropy.encode(symbols, np.zeros(300, np.uint8), tables)
    wanted = np.int16 if dtype is np.int16 else np.int32
    assert np.array_equal(entropy.decode(payload, np.zeros(300, np.uint8), tables, dtype=wanted), symbols)


def test_a_chunk_is_stored_wherever_that_is_shorter() -> None:
    """Sizes around the point where both forms are equal: never longer than storing would be."""
    tables = entropy.Tables.from_pmf([np.ones(255)], offsets=[-127], bits=8, escape=0.01)
    rng = np.random.default_rng(0)
    for count in range(40, 400, 3):
        symbols = rng.integers(-127, 128, count)
        payload = entropy.encode(symbols, np.zeros(count, np.uint8), tables, check=False)
        assert payload == reference.encode(symbols.tolist(), [0] * count, tables, check=False)
        assert len(payload) <= count + 13


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["i2", "u2", "i4", "u4", "i8", "u8"])
def test_byte_order_changes_nothing(order, kind):
    symbols = np.array([0, 1, 4, 2], order + kind)
    index = np.array([0, 1, 1, 0], order + "u2")
    assert entropy.encode(symbols, index, TABLES) == entropy.encode([0, 1, 4, 2], [0, 1, 1, 0], TABLES)
    if kind == "u8":
        with pytest.raises(ValueError, match="int32"):
            entropy.encode(np.array([2**64 - 5], order + kind), [0], TABLES)


def test_other_exporters_of_buffers_are_arrays_too():
    symbols, index = list(range(-3, 4)), [1] * 7
    expected = entropy.encode(symbols, index, TABLES)
    for kind in (ctypes.c_int8, ctypes.c_int16, ctypes.c_long):
        assert entropy.encode((kind * 7)(*symbols), bytes(index), TABLES) == expected
    assert entropy.encode(array.array("h", symbols), memoryview(bytes(index)), TABLES) == expected
    assert entropy.decode(expected, bytes(index), TABLES).tolist() == symbols


def test_odd_options_are_refused_or_cut():
    symbols, index = message(2000)
    payload = entropy.encode(symbols, index, TABLES, threads=2**40)
    assert np.array_equal(entropy.decode(payload, index, TABLES, threads=2**40), symbols)
    with pytest.raises(ValueError, match="numbered"):
        entropy.decode(payload, index, TABLES, chunk=2**63)
    with pytest.raises(ValueError, match="decoded symbols"):
        entropy.decode(payload, index, TABLES, dtype=[("a", "i4")])
