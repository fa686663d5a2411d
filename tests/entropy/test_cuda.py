"""The device's coder: its kernels run on the host by the shared source, its orchestration on CPU tensors."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from entropy.strategies import messages, tables
from golden import make_entropy
from hypothesis import given
from hypothesis import strategies as st

from narrows import _core, entropy
from narrows.entropy import Tables, entry_index, reference
from narrows.errors import CorruptStream, LimitExceeded, UnsupportedStream
from narrows.limits import Limits

torch = pytest.importorskip("torch", reason="torch is not installed")
cuda = pytest.importorskip("narrows.entropy.cuda")


class Emulator:
    """A launcher that runs warps on this processor, one after another."""

    bucket_bytes = 1 << 17

    def upload(self, array):
        return torch.from_numpy(array.copy())

    def launch(self, kernel, fields, num_warps, bucket_bytes=0):
        _core.emulate_launch(kernel, np.array(fields, np.uint64))


DEVICE = {"now": torch.device("cpu")}
NO_DEVICE = cuda.unavailable()


@pytest.fixture(
    autouse=True,
    params=[
        "host",
        pytest.param(
            "device", marks=[pytest.mark.gpu, pytest.mark.skipif(bool(NO_DEVICE), reason=NO_DEVICE)]
        ),
    ],
)
def launcher(request, monkeypatch):
    """Run each test on the host, and on a device where there is one."""
    if request.param == "device":
        monkeypatch.setitem(DEVICE, "now", torch.device("cuda", 0))
        return None
    emulator = Emulator()
    monkeypatch.setattr(cuda, "_default_device", lambda: DEVICE["now"])
    monkeypatch.setattr(cuda, "_launcher", lambda device: emulator)
    return emulator


@pytest.fixture
def emulator(launcher):
    if launcher is None:
        pytest.skip("looks into the emulator")
    return launcher


def tensor(array):
    """A tensor of the same values where the test runs."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(DEVICE["now"])


def both_ways(symbols, index, made, **options):
    """Encode as the processor does, decode both, compare all."""
    options.setdefault("chunk_bytes", 1 << 14)
    expected = entropy.encode(symbols, index, made, **options)
    encoded = cuda.encode(tensor(symbols), tensor(index), made, **options)
    assert encoded.tobytes() == expected
    assert encoded.sizes.tolist() == [len(expected)]
    check = options.get("check", True)
    for payload in (expected, encoded):
        decoded = cuda.decode(payload, tensor(index), made, check=check).check()
        assert len(decoded) == 1
        assert np.array_equal(decoded[0].cpu().numpy(), symbols)
    return expected


GOLDEN = [case["name"] for case in make_entropy.cases() if case["profile"] != reference.RANGE]


@pytest.mark.parametrize("name", GOLDEN)
def test_stored_payloads_decode_and_are_written_alike(name):
    folder = Path(make_entropy.FOLDER)
    case, payload = json.loads((folder / f"{name}.json").read_text()), (folder / f"{name}.bin").read_bytes()
    made = make_entropy.tables_of(case)
    index, symbols = (np.array(values, np.int64) for values in make_entropy.message(case))
    index, symbols = index.astype(np.uint8), symbols.astype(np.int32)
    (decoded,) = cuda.decode(payload, tensor(index), made).check()
    assert np.array_equal(decoded.cpu().numpy(), symbols)
    if not case["state_payload"]:
        encoded = cuda.encode(
            tensor(symbols), tensor(index), made, hash_index=case["hash_index"], chunk_bytes=1 << 18
        )
        assert encoded.tobytes() == payload


@given(messages(), st.booleans(), st.booleans(), st.sampled_from([1, 100, 1 << 14]))
def test_any_message_has_the_processors_bytes(message, check, hash_index, chunk_bytes):
    made, index, symbols = message
    both_ways(symbols, index, made, check=check, hash_index=hash_index, chunk_bytes=chunk_bytes)


@given(messages(), st.sampled_from([np.int8, np.int16, np.int32]), st.sampled_from([np.int16, np.int32]))
def test_every_dtype_is_read_in_place(message, symbol_dtype, index_dtype):
    made, index, symbols = message
    narrow = symbols.clip(np.iinfo(symbol_dtype).min, np.iinfo(symbol_dtype).max).astype(symbol_dtype)
    if not made.cdf[:, 1].all():
        return
    expected = entropy.encode(narrow, index, made, chunk_bytes=256)
    device_index = tensor(index.astype(index_dtype))
    assert cuda.encode(tensor(narrow), device_index, made, chunk_bytes=256).tobytes() == expected
    dtype = torch.from_numpy(narrow).dtype
    (decoded,) = cuda.decode(expected, device_index, made, dtype=dtype).check()
    assert decoded.dtype == dtype
    assert np.array_equal(decoded.cpu().numpy(), narrow)


@given(messages(), st.integers(0, 2**32 - 1), st.sampled_from([None, 8, 64]))
def test_damage_has_the_processors_verdict(message, seed, every):
    made, index, symbols = message
    rng = np.random.default_rng(seed)
    payload = entropy.encode(symbols, index, made, check=False, hash_index=bool(seed & 1))
    blob = None if every is None else entry_index(payload, index, made, check=False, every=every)
    for _ in range(8):
        wrong = bytearray(payload)
        for _ in range(rng.integers(1, 4)):
            wrong[rng.integers(len(wrong))] ^= 1 << rng.integers(8)
        if blob is not None:
            blob = blob[:1] + _core.crc32c(bytes(wrong)).to_bytes(4, "little") + blob[5:-4]
            blob += _core.crc32c(blob).to_bytes(4, "little")
        try:
            expected = entropy.decode(bytes(wrong), index, made, check=False)
        except (CorruptStream, UnsupportedStream) as error:
            with pytest.raises(type(error)):
                cuda.decode(bytes(wrong), tensor(index), made, check=False, entries=blob).check()
            continue
        try:
            (decoded,) = cuda.decode(bytes(wrong), tensor(index), made, check=False, entries=blob).check()
        except CorruptStream:
            assert blob is not None  # entries of the sound payload do not fit the damaged one
        else:
            assert np.array_equal(decoded.cpu().numpy(), expected)


def gaussian_like(num_tables, seed=3, bits=15):
    """Tables of rising width, the widest with shifts; and an escape of some weight."""
    rows, offsets, shifts = [], [], []
    for i in range(num_tables):
        sigma = 0.11 * (256 / 0.11) ** (i / max(1, num_tables - 1))
        shift = max(0, int(np.floor(np.log2(max(sigma, 8) / 4)))) if sigma > 8 else 0
        reach = int(np.ceil(4 * sigma / (1 << shift))) << shift
        centers = np.arange(-reach, reach + 1, 1 << shift) + ((1 << shift) - 1) / 2
        rows.append(np.exp(-0.5 * (centers / sigma) ** 2))
        rows[-1] = rows[-1] / rows[-1].sum() * 0.9999
        offsets.append(-reach)
        shifts.append(shift)
    return Tables.from_pmf(rows, offsets, bits=bits, shift=shifts, escape=0.0001)


def workload(num_tables, n, weights=None, seed=1, bits=15):
    made = gaussian_like(num_tables, bits=bits)
    rng = np.random.default_rng(seed)
    index = rng.choice(num_tables, n, p=weights).astype(np.uint8)
    sigma = 0.11 * (256 / 0.11) ** (index / (num_tables - 1))
    return made, index, np.round(rng.normal(0, sigma)).astype(np.int16)


def falling():
    weights = np.exp(-np.arange(64) / 8.45)
    return weights / weights.sum()


@pytest.mark.parametrize("weights", [None, falling()], ids=["W1", "W2"])
@pytest.mark.parametrize("chunk_bytes", [1 << 12, 1 << 18])
def test_sixty_four_tables(weights, chunk_bytes):
    made, index, symbols = workload(64, 120_000, weights)
    payload = both_ways(symbols, index, made, chunk_bytes=chunk_bytes)
    blob = entry_index(payload, index, made, every=4096)
    (decoded,) = cuda.decode(payload, tensor(index), made, dtype=torch.int16, entries=blob).check()
    assert np.array_equal(decoded.cpu().numpy(), symbols)


@pytest.mark.parametrize("bits", range(8, 17))
def test_every_precision(bits):
    rng = np.random.default_rng(bits)
    weights = [np.array([2**20 >> abs(i - 9) for i in range(19)], np.uint64)]
    made = Tables.from_pmf(weights, [-9], bits=bits, escape=3)
    symbols = np.round(rng.normal(0, 3, 9000)).astype(np.int16)
    assert both_ways(symbols, np.zeros(9000, np.uint8), made)[1] == bits


def test_byte_tables_of_twelve_bits_and_no_escape():
    rng = np.random.default_rng(5)
    made = Tables.from_pmf([np.arange(1, 257, dtype=np.uint64)] * 3, [0] * 3, bits=12, escape=False)
    symbols, index = (
        rng.integers(0, 256, 50_000).astype(np.int16),
        rng.integers(0, 3, 50_000).astype(np.uint8),
    )
    assert both_ways(symbols, index, made)[1] == 12


def test_many_tables_fall_back_to_bisection(emulator):
    made, index, symbols = workload(64, 20_000)
    emulator.bucket_bytes = 1000
    cuda._tables.pop(made, None)
    assert both_ways(symbols, index, made) == entropy.encode(symbols, index, made, chunk_bytes=1 << 14)


def test_a_batch_is_one_launch_and_each_tensor_a_payload(monkeypatch, emulator):
    launches = []
    launch = emulator.launch
    monkeypatch.setattr(
        emulator, "launch", lambda kernel, *rest: (launches.append(kernel), launch(kernel, *rest))
    )
    made, index, symbols = workload(64, 70_000)
    cuts = [0, 0, 1, 33, 5000, 5031, 70_000]
    parts = [(tensor(symbols[a:b]), tensor(index[a:b])) for a, b in pairwise(cuts)]
    encoded = cuda.encode([s for s, _ in parts], [i for _, i in parts], made)
    payloads = encoded.to_host()
    assert payloads == [entropy.encode(s, i, made, chunk_bytes=1 << 14) for s, i in parts]
    for given_payloads in (payloads, encoded):
        decoded = cuda.decode(given_payloads, [i for _, i in parts], made, dtype=torch.int16)
        assert all(torch.equal(back, s) for back, (s, _) in zip(decoded.check(), parts, strict=True))
    assert launches == ["plan", "encode", "gather", "decode", "decode"]
    blobs = [None] + [
        entry_index(p, i, made, every=2048) for p, (_, i) in zip(payloads[1:], parts[1:], strict=True)
    ]
    decoded = cuda.decode(payloads, [i for _, i in parts], made, dtype=torch.int16, entries=blobs)
    assert all(torch.equal(back, s) for back, (s, _) in zip(decoded.check(), parts, strict=True))


def test_nothing_at_all_is_a_batch_too():
    made = gaussian_like(2)
    encoded = cuda.encode([], [], made)
    assert encoded.to_host() == []
    assert cuda.decode([], [], made).check() == []


def test_the_callers_mistakes_are_value_errors():
    made, index, symbols = workload(4, 1000)
    s, i = tensor(symbols), tensor(index)
    for bad in (s[:-1], s.float(), [s, s]):
        with pytest.raises(ValueError):
            cuda.encode(bad, i, made)
    payload = cuda.encode(s, i, made).tobytes()
    with pytest.raises(ValueError):
        cuda.decode(payload, i, made, dtype=torch.uint8)
    with pytest.raises(LimitExceeded):
        cuda.decode(payload, i, made, limits=Limits(max_output_bytes=100))
    for wrong in (4, 255):
        bad = i.clone()
        bad[500] = wrong
        with pytest.raises(ValueError, match="no table") as info:
            cuda.encode(s, bad, made).check()
        assert not isinstance(info.value, CorruptStream)
        with pytest.raises(ValueError, match="no table"):
            cuda.decode(payload, bad, made).check()
    negative = i.to(torch.int16)
    negative[3] = -1
    with pytest.raises(ValueError, match="no table"):
        cuda.encode(s, negative, made).check()
    closed = Tables.from_pmf([[1, 1]], [0], escape=False)
    with pytest.raises(ValueError, match="outside a table"):
        cuda.encode(tensor(np.array([0, 1, 2], np.int8)), tensor(np.zeros(3, np.uint8)), closed).to_host()


@pytest.mark.parametrize(("shift", "bytes_a_symbol"), [(0, 1), (9, 4)])
def test_decoded_tensors_are_limited_by_what_they_take(shift, bytes_a_symbol):
    """Tables with raw bits are decoded as int32 whatever the dtype asked for."""
    made = Tables.from_pmf([np.ones(3)], [0], shift=shift)
    index = torch.zeros(100, dtype=torch.uint8, device=DEVICE["now"])
    payload = entropy.encode(np.zeros(100, np.int32), np.zeros(100, np.uint8), made)
    enough = Limits(max_output_bytes=100 * bytes_a_symbol)
    assert not cuda.decode(payload, index, made, dtype=torch.int8, limits=enough).check()[0].any()
    with pytest.raises(LimitExceeded):
        cuda.decode(
            payload, index, made, dtype=torch.int8, limits=Limits(max_output_bytes=100 * bytes_a_symbol - 1)
        )


def test_other_tables_indexes_and_lengths_are_corrupt():
    made, index, symbols = workload(4, 1000)
    i = tensor(index)
    encoded = cuda.encode(tensor(symbols), i, made, hash_index=True)
    payload = encoded.tobytes()
    for given_payload in (payload, encoded):
        with pytest.raises(CorruptStream, match="tables differ"):
            cuda.decode(given_payload, i, gaussian_like(5)).check()
        with pytest.raises(CorruptStream, match="symbols than there are indexes"):
            cuda.decode(given_payload, i[:-1], made)
        other = i.clone()
        other[7] ^= 1
        with pytest.raises(CorruptStream, match="indexes differ"):
            cuda.decode(given_payload, other, made).check()
        with pytest.raises(CorruptStream, match="dtype"):
            cuda.decode(given_payload, i, made, dtype=torch.int8).check()
    flipped = bytearray(payload)
    flipped[-9] ^= 4
    with pytest.raises(CorruptStream, match="checksum"):
        cuda.decode(bytes(flipped), i, made)


def with_crc(blob):
    return bytes(blob) + _core.crc32c(bytes(blob)).to_bytes(4, "little")


@given(messages(tables(shifts=(0, 1, 8)), max_size=3000), st.sampled_from([1, 32, 300]), st.booleans())
def test_entries_decode_to_the_same(message, every, state_payload):
    made, index, symbols = message
    if state_payload:
        index, symbols = index[:200], symbols[:200]
        payload = reference.encode(symbols, index, made, state_payload=True)
    else:
        payload = entropy.encode(symbols, index, made, chunk_bytes=2048)
    blob = entry_index(payload, index, made, every=every)
    (decoded,) = cuda.decode(payload, tensor(index), made, entries=blob).check()
    assert np.array_equal(decoded.cpu().numpy(), symbols)


@given(messages(tables(shifts=(0, 8)), max_size=2000), st.integers(0, 2**32 - 1))
def test_false_entries_are_corrupt_never_other_symbols(message, seed):
    made, index, symbols = message
    rng = np.random.default_rng(seed)
    payload = entropy.encode(symbols, index, made)
    blob = entry_index(payload, index, made, every=64)
    for _ in range(20):
        wrong = bytearray(blob[:-4])
        for _ in range(rng.integers(1, 3)):
            wrong[rng.integers(5, len(wrong))] = rng.integers(256)
        try:
            (decoded,) = cuda.decode(payload, tensor(index), made, entries=with_crc(wrong)).check()
        except CorruptStream:
            continue
        assert np.array_equal(decoded.cpu().numpy(), symbols)


def test_entries_of_another_payload_cut_or_unknown_are_refused():
    made, index, symbols = workload(8, 9000)
    payload = entropy.encode(symbols, index, made)
    blob = entry_index(payload, index, made, every=1000)
    assert 3 < len(blob) // 100 < 12
    other = entry_index(
        entropy.encode(symbols, index, made, check=False), index, made, check=False, every=1000
    )
    for wrong in (other, blob[:-1], blob[:8], b"", blob + b"\0", with_crc(blob[:-4] + b"\0")):
        with pytest.raises(CorruptStream):
            cuda.decode(payload, tensor(index), made, entries=wrong)
    with pytest.raises(UnsupportedStream):
        cuda.decode(payload, tensor(index), made, entries=with_crc(b"\x2f" + blob[1:-4]))
