"""The calls of constriction, torchac and torch_ans on this coder."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.entropy.compat import constriction, torchac
from narrows.entropy.compat.torch_ans import TorchANSInterface
from narrows.errors import CorruptStream, UnsupportedStream

model = constriction.stream.model
AnsCoder = constriction.stream.stack.AnsCoder
RangeEncoder, RangeDecoder = constriction.stream.queue.RangeEncoder, constriction.stream.queue.RangeDecoder


def parts(seed: int, n: int):
    """Symbols and how to call for them: all kinds of models, concrete and families."""
    rng = np.random.default_rng(seed)
    means, stds = rng.normal(0, 20, n), np.exp(rng.uniform(-6, 4, n))
    wide = np.clip(np.round(rng.normal(means, stds)), -100, 100).astype(np.int32)
    anywhere = rng.integers(-100, 101, n).astype(np.int32)
    rows = rng.dirichlet([0.4] * 7, n)
    few = rng.integers(0, 7, n).astype(np.int32)
    bits = rng.integers(0, 2, n).astype(np.int32)
    return [
        (wide, model.QuantizedGaussian(-100, 100), means, stds),
        (anywhere, model.QuantizedLaplace(-100, 100), means.astype(np.float32), stds.astype(np.float32)),
        (anywhere, model.QuantizedGaussian(-100, 100, 3.2), stds),
        (anywhere, model.QuantizedGaussian(-100, 100, std=9.6), means),
        (anywhere, model.QuantizedGaussian(-100, 100, 3.2, 1e-9)),
        (few, model.Categorical(perfect=False), rows.astype(np.float32)),
        (few, model.Categorical(perfect=False), rows),
        (few, model.Categorical(np.array([0.2, 0.5, 0.3, 0, 0, 1e-9, 2]), perfect=False)),
        (few, model.Uniform(7)),
        (bits, model.Bernoulli(0.1)),
        (bits, model.Bernoulli(), rows[:, 0]),
        (anywhere, model.CustomModel(lambda x: 1 / (1 + np.exp(-x / 9)), None, -100, 100)),
        (np.zeros(n, np.int32), model.Uniform(1)),
    ]


def amount(part) -> tuple:
    return part[2:] or (len(part[0]),)


@given(seed=st.integers(0, 2**32), n=st.integers(1, 60))
def test_a_queue_and_a_stack_give_back_every_kind_of_model(seed, n):
    message = parts(seed, n)
    queue, stack = RangeEncoder(), AnsCoder()
    for symbols, *rest in message:
        queue.encode(symbols, *rest)
    for symbols, *rest in reversed(message):
        stack.encode_reverse(symbols, *rest)
    assert np.array_equal(queue.get_compressed(), stack.get_compressed())
    for decoder in (RangeDecoder(queue.get_compressed()), AnsCoder(stack.get_compressed()), stack.clone()):
        for part in message:
            assert np.array_equal(decoder.decode(part[1], *amount(part)), part[0])
        assert decoder.maybe_exhausted() if isinstance(decoder, RangeDecoder) else decoder.is_empty()
        with pytest.raises(CorruptStream):
            decoder.decode(model.Uniform(2))


def test_a_long_message_of_one_model_and_single_symbols():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet([0.3] * 300)
    symbols = rng.choice(300, 20_000, p=weights)
    coder = AnsCoder()
    coder.encode_reverse(symbols, model.Categorical(weights))
    for symbol in (5, 6):
        coder.encode_reverse(symbol, model.QuantizedGaussian(-10, 10, 4.0, 2.0))
    ideal = -np.log2(weights[symbols]).sum() / 8
    assert 4 * coder.num_words() < ideal * 1.001 + 40
    assert [coder.decode(model.QuantizedGaussian(-10, 10, 4.0, 2.0)) for _ in range(2)] == [6, 5]
    assert np.array_equal(coder.decode(model.Categorical(weights), 20_000), symbols)


@given(seed=st.integers(0, 100), data=st.data())
def test_damage_to_words_and_other_models_raise(seed, data):
    message = parts(seed, 20)
    which = data.draw(st.integers(0, 8))
    symbols, *rest = message[which]
    coder = AnsCoder()
    coder.encode_reverse(symbols, *rest)
    words = coder.get_compressed()
    damaged = words.copy()
    damaged[data.draw(st.integers(0, len(words) - 1))] ^= np.uint32(1 << data.draw(st.integers(0, 31)))
    for bad in (damaged, words[:-1], words[1:], words[:3]):
        with pytest.raises(CorruptStream):
            AnsCoder(bad)
    other = model.QuantizedGaussian(-100, 100, 3.0, 9.0)
    with pytest.raises(CorruptStream):
        AnsCoder(words).decode(other, 20)
    with pytest.raises(CorruptStream):
        AnsCoder(words).decode(other, 10**12)


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.encode_reverse([101], model.QuantizedGaussian(-100, 100, 0.0, 1.0)),
        lambda c: c.encode_reverse([3], model.Categorical(np.ones(3))),
        lambda c: c.encode_reverse([0, 1], model.Categorical(), np.ones((3, 2))),
        lambda c: c.encode_reverse([0], model.QuantizedGaussian(-1, 1), np.zeros(1), np.zeros(1)),
        lambda c: c.encode_reverse([0], model.QuantizedGaussian(-1, 1), np.array([np.nan]), np.ones(1)),
        lambda c: c.encode_reverse([0], model.QuantizedGaussian(-1, 1), np.zeros(1)),
        lambda c: c.encode_reverse([0.5], model.Uniform(3)),
        lambda c: c.encode_reverse([2**40], model.Uniform(3)),
        lambda c: c.encode_reverse([0], model.Categorical(), np.array([[0.0, 0.0]])),
        lambda c: model.Categorical(np.array([-1.0, 2.0])),
        lambda c: model.Categorical(np.array([1, 2])),
        lambda c: model.QuantizedGaussian(5, 4),
        lambda c: model.QuantizedGaussian(-100, 100, 0.0, 0.0),
        lambda c: model.CustomModel(float, None, 0, 2**40),
        lambda c: model.CustomModel(float, None, 2**40, 2**40 + 5),
        lambda c: model.CustomModel(float, None, 5, 4),
        lambda c: AnsCoder(seal=True),
        lambda c: AnsCoder(np.zeros(9, np.int64)),
    ],
)
def test_mistakes_are_value_errors_and_push_nothing(call):
    coder = AnsCoder()
    with pytest.raises(ValueError):
        call(coder)
    assert coder.is_empty()
    assert coder.num_bits() == 0


UNSOUND = [
    lambda n: (model.QuantizedGaussian(-9, 9), np.zeros(n), np.zeros(n)),
    lambda n: (model.QuantizedGaussian(-9, 9), np.full(n, np.nan), np.ones(n)),
    lambda n: (model.QuantizedGaussian(-9, 9), np.r_[np.zeros(n - 1), np.inf], np.ones(n)),
    lambda n: (model.QuantizedLaplace(-9, 9, 0.0), np.r_[np.ones(n - 1), -1.0]),
    lambda n: (model.QuantizedGaussian(3, 3), np.full(n, np.nan), np.ones(n)),
    lambda n: (model.Categorical(), np.zeros((n, 19))),
    lambda n: (model.Categorical(), np.r_[np.ones((n - 1, 19)), np.full((1, 19), -1.0)]),
    lambda n: (model.Bernoulli(), np.full(n, 1.5)),
]


@pytest.mark.parametrize("unsound", UNSOUND)
def test_a_model_that_is_none_is_a_value_error_and_pops_nothing(unsound):
    sound = model.QuantizedGaussian(-9, 9, 0.0, 3.0)
    coder = AnsCoder()
    coder.encode_reverse(np.arange(-9, 10), sound)
    words = coder.get_compressed()
    for count in (1, 5, 19, 25):
        with pytest.raises(ValueError, match="no distribution"):
            coder.decode(*unsound(count))
        assert np.array_equal(coder.get_compressed(), words)
    assert np.array_equal(coder.decode(sound, 19), np.arange(-9, 10))


def test_what_is_refused_stays_on_the_stack():
    sound = model.QuantizedGaussian(-9, 9, 0.0, 3.0)
    coder = AnsCoder()
    coder.encode_reverse(np.tile(np.arange(-9, 10), 40), sound)
    words = coder.get_compressed()
    for wrong in (model.QuantizedGaussian(-9, 9, 5.0, 0.5), model.Uniform(3)):
        with pytest.raises(CorruptStream):
            coder.decode(wrong, 19 * 40)
        assert np.array_equal(coder.get_compressed(), words)
    coder.encode_reverse([1, 2, 3], sound)
    assert coder.decode(sound, 3).tolist() == [1, 2, 3]
    assert np.array_equal(coder.get_compressed(), words)


def test_constriction_itself_takes_the_same_calls():
    theirs = pytest.importorskip("constriction", reason="constriction is not installed (extra `bench`)")
    symbols, _, means, stds = parts(3, 500)[0]
    for library in (theirs, constriction):
        coder = library.stream.stack.AnsCoder()
        family = library.stream.model.QuantizedGaussian(-100, 100)
        coder.encode_reverse(symbols[300:], family, means[300:], stds[300:])
        coder.encode_reverse(symbols[:300], library.stream.model.QuantizedGaussian(-100, 100, 0.5, 30.0))
        decoder = library.stream.stack.AnsCoder(coder.get_compressed())
        concrete = library.stream.model.QuantizedGaussian(-100, 100, 0.5, 30.0)
        read = [decoder.decode(concrete, 300), decoder.decode(family, means[300:], stds[300:])]
        assert np.array_equal(np.concatenate(read), symbols)
        assert decoder.is_empty()


# torchac.


def cdfs(rng, shape, length) -> np.ndarray:
    pmf = rng.dirichlet([0.5] * length, shape)
    return np.concatenate([np.zeros((*pmf.shape[:-1], 1)), np.cumsum(pmf, -1).clip(0, 1)], -1).astype(
        np.float32
    )


@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from([(), (0,), (5,), (2, 3), (2, 3, 7)]),
    length=st.sampled_from([1, 2, 9, 40]),
)
def test_torchac_gives_symbols_back_in_their_shape(seed, shape, length):
    rng = np.random.default_rng(seed)
    cdf, symbols = cdfs(rng, shape, length), rng.integers(0, length, shape).astype(np.int16)
    payload = torchac.encode_float_cdf(cdf, symbols)
    read = torchac.decode_float_cdf(cdf, payload)
    assert read.dtype == np.int16
    assert np.array_equal(read, symbols)
    for k in range(len(payload)):
        with pytest.raises(CorruptStream):
            torchac.decode_float_cdf(cdf, payload[:k])
    short = np.round(cdf * (65536 - length) + np.arange(length + 1)).astype(np.uint16).view(np.int16)
    coded = torchac.encode_int16_normalized_cdf(short, symbols)
    assert np.array_equal(torchac.decode_int16_normalized_cdf(short, coded), symbols)


def test_torchac_takes_tensors_and_notices_another_cdf():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(0)
    cdf, symbols = torch.from_numpy(cdfs(rng, (4, 50), 9)), torch.randint(0, 9, (4, 50), dtype=torch.int16)
    payload = torchac.encode_float_cdf(cdf, symbols, check_input_bounds=True)
    assert torch.equal(torchac.decode_float_cdf(cdf, payload), symbols)
    with pytest.raises(CorruptStream):
        torchac.decode_float_cdf(cdf.flip(0), payload)
    with pytest.raises(CorruptStream):
        torchac.decode_float_cdf(cdf[:3], payload)
    with pytest.raises(CorruptStream):
        torchac.decode_float_cdf(torch.cat([cdf, cdf]), payload)
    one = cdf[:1, :1].expand(4, 50, 10)
    payload = torchac.encode_float_cdf(one, symbols)
    assert torch.equal(torchac.decode_float_cdf(one.contiguous(), payload), symbols)
    falling = cdf.clone()
    falling[2, 3, 4] = 0.99
    for bad in (falling, cdf * 2, cdf * float("nan"), cdf.double(), cdf[:3]):
        with pytest.raises(ValueError):
            torchac.encode_float_cdf(bad, symbols)
    with pytest.raises(ValueError, match="int16"):
        torchac.encode_float_cdf(cdf, symbols.int())
    with pytest.raises(ValueError, match="outside"):
        torchac.encode_float_cdf(cdf, symbols + 9)


# torch_ans.


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


def interface(torch, bypass=True, seed=0):
    rng = np.random.default_rng(seed)
    coder = TorchANSInterface(impl="rans64", freq_precision=16, bypass_coding=bypass, num_parallel_states=1)
    sizes = torch.tensor([5, 30, 64], dtype=torch.int32)
    freqs = torch.from_numpy(rng.random((3, 64)) * (np.arange(64) < sizes.numpy()[:, None])).float()
    coder.init_params(freqs, sizes, torch.tensor([-2, 0, -30], dtype=torch.int32))
    return coder, rng


def test_torch_ans_codes_any_shape_and_any_int32(torch):
    coder, rng = interface(torch)
    index = torch.from_numpy(rng.integers(0, 3, (4, 6, 50)).astype(np.int32))
    symbols = torch.from_numpy(rng.integers(-40, 40, (4, 6, 50)).astype(np.int32))
    symbols[0, 0, :2] = torch.tensor([-(2**31), 2**31 - 1])
    payload = coder.encode_with_indexes(symbols, index)
    assert torch.equal(coder.decode_with_indexes(payload, index), symbols)
    for k in (0, 1, 5, len(payload) - 1):
        with pytest.raises((CorruptStream, UnsupportedStream)):
            coder.decode_with_indexes(payload[:k], index)
    with pytest.raises(CorruptStream):
        coder.decode_with_indexes(payload, (index + 1) % 3)
    with pytest.raises(CorruptStream, match="tables"):
        interface(torch, seed=1)[0].decode_with_indexes(payload, index)
    with pytest.raises(ValueError):
        coder.encode_with_indexes(symbols, index + 1)
    with pytest.raises(ValueError):
        coder.encode_with_indexes(symbols[:3], index)
    with pytest.raises(ValueError):
        interface(torch, bypass=False)[0].encode_with_indexes(symbols, index)


def test_torch_ans_reads_cached_calls_one_by_one(torch):
    coder, rng = interface(torch)
    index = torch.from_numpy(rng.integers(0, 3, (5, 40)).astype(np.int32))
    symbols = torch.from_numpy(rng.integers(-2, 3, (5, 40)).astype(np.int32))
    assert coder.flush() == b""
    for s, i in zip(symbols, index, strict=True):
        assert coder.encode_with_indexes(s, i, cache=True) is None
    payload = coder.flush()
    coder.set_stream(payload)
    assert torch.equal(torch.stack([coder.decode_stream(i) for i in index]), symbols)
    with pytest.raises(CorruptStream):
        coder.decode_stream(index[0])
    assert torch.equal(coder.decode_with_indexes(payload, index), symbols)
    coder.set_stream(coder.encode_with_indexes(symbols, index))
    assert torch.equal(coder.decode_stream(index), symbols)


def test_torch_ans_takes_frequencies_a_symbol(torch):
    coder, rng = interface(torch)
    freqs = torch.from_numpy(rng.random((6, 20, 11))).float()
    symbols = torch.from_numpy(rng.integers(0, 11, (6, 20)).astype(np.int32))
    offsets = torch.full((6, 20), -4, dtype=torch.int32)
    sizes = torch.full((6, 20), 11, dtype=torch.int32)
    payload = coder.encode_with_freqs(symbols - 4, freqs, sizes, offsets)
    assert torch.equal(coder.decode_with_freqs(payload, freqs, sizes, offsets), symbols - 4)
    with pytest.raises(CorruptStream):
        coder.decode_with_freqs(payload, freqs.flip(0), sizes, offsets)
    with pytest.raises(CorruptStream):
        coder.decode_with_indexes(payload, symbols * 0)
    with pytest.raises(ValueError):
        coder.encode_with_freqs(symbols + 1, freqs, sizes)
    for row in symbols, symbols:
        coder.encode_with_freqs(row, freqs, cache=True)
    coder.set_stream(coder.flush())
    for _ in range(2):
        assert torch.equal(coder.decode_stream_with_freqs(freqs), symbols)


def test_torch_ans_sets_cdfs(torch):
    coder = TorchANSInterface(freq_precision=12)
    cdfs = torch.tensor([[0, 4000, 4090, 4096, 0], [0, 1, 2, 4000, 4096]], dtype=torch.int32)
    coder.set_cdfs(cdfs, torch.tensor([4, 5]), torch.tensor([0, -1]))
    assert coder.tables.size.tolist() == [3, 4]
    symbols = torch.tensor([0, 0, 1, 900, -1], dtype=torch.int32)
    index = torch.tensor([0, 0, 0, 1, 1], dtype=torch.int32)
    assert torch.equal(coder.decode_with_indexes(coder.encode_with_indexes(symbols, index), index), symbols)
    with pytest.raises(ValueError):
        coder.set_cdfs(cdfs, torch.tensor([4, 6]), torch.tensor([0, -1]))
    with pytest.raises(ValueError, match="CPU"):
        TorchANSInterface(device="cuda")
    with pytest.raises(ValueError, match="first"):
        TorchANSInterface().encode_with_indexes(symbols, index)


def test_torch_ans_itself_takes_the_same_calls(torch):
    pytest.importorskip("torch_ans", reason="torch_ans is not installed (extra `bench`)")
    theirs = importlib.import_module("torch_ans.utils").TorchANSInterface
    freqs = torch.rand(3, 9)
    symbols = torch.randint(0, 9, (2, 50), dtype=torch.int32)
    index = torch.randint(0, 3, (2, 50), dtype=torch.int32)
    for kind in (theirs, TorchANSInterface):
        coder = kind(impl="rans64", freq_precision=15, device="cpu")
        coder.init_params(freqs, torch.full((3,), 9, dtype=torch.int32), torch.zeros(3, dtype=torch.int32))
        encoded = coder.encode_with_indexes(symbols, index)
        assert torch.equal(coder.decode_with_indexes(encoded, index).reshape(2, 50), symbols)
