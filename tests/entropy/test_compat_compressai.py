"""CompressAI's own strings: byte for byte, checked, and models that use this coder."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twins import compressai as twin

from narrows import _core
from narrows.entropy.compat import compressai as door
from narrows.errors import CorruptStream, TruncatedStream


class Case:
    """Random tables, indexes and symbols, as CompressAI takes them."""

    def __init__(self, seed: int, size: int | None = None, farthest: int = 2**26) -> None:
        rng = np.random.default_rng(seed)
        rows = []
        for _ in range(rng.integers(1, 7)):
            pmf = rng.random(rng.integers(1, 61)) ** rng.integers(1, 9)
            rows.append(door.pmf_to_quantized_cdf([*(pmf / pmf.sum()), rng.random() * 1e-3]))
        self.cdfs = [row + [0] * (max(map(len, rows)) - len(row)) for row in rows]
        self.lengths = [len(row) for row in rows]
        self.offsets = rng.integers(-50, 50, len(rows)).tolist()
        n = int(rng.integers(4, 400)) if size is None else size
        self.index = rng.integers(0, len(rows), n).tolist()
        far = rng.random(n) < rng.choice([0, 0.1])
        self.symbols = [
            int(rng.integers(1 - farthest, farthest))
            if far[k]
            else self.offsets[i] + int(rng.integers(0, self.lengths[i] - 1))
            for k, i in enumerate(self.index)
        ]
        self.cut = int(rng.integers(0, n + 1))

    @property
    def tables(self) -> tuple[list[list[int]], list[int], list[int]]:
        return self.cdfs, self.lengths, self.offsets

    def encode(self) -> bytes:
        return door.RansEncoder().encode_with_indexes(self.symbols, self.index, *self.tables)

    def decode(self, string: bytes) -> list[int]:
        return door.RansDecoder().decode_with_indexes(string, self.index, *self.tables)


@given(seed=st.integers(0, 2**32), farthest=st.sampled_from([100, 2**26]))
def test_strings_equal_the_twins_and_decode_on_both_sides(seed, farthest):
    case = Case(seed, farthest=farthest)
    string = case.encode()
    assert string == twin.encode(case.symbols, case.index, *case.tables)
    assert case.decode(string) == case.symbols
    reader = twin.Decoder(string)
    assert reader.decode(case.index, *case.tables) == case.symbols
    assert reader.finished()


@given(seed=st.integers(0, 2**32))
def test_calls_may_be_split_anywhere(seed):
    case = Case(seed)
    encoder, decoder = door.BufferedRansEncoder(), door.RansDecoder()
    decoder.set_stream(case.encode())
    read = []
    for part in (slice(0, case.cut), slice(case.cut, None)):
        encoder.encode_with_indexes(case.symbols[part], case.index[part], *case.tables)
        read += decoder.decode_stream(case.index[part], *case.tables)
    assert encoder.flush() == case.encode()
    assert read == case.symbols
    decoder.finish()
    assert encoder.flush() == twin.encode_steps([])  # and the encoder begins anew


@given(seed=st.integers(0, 2**32), data=st.data())
def test_strings_side_by_side_equal_strings_one_by_one(seed, data):
    case = Case(seed)
    n = len(case.index)
    ends = sorted(data.draw(st.lists(st.integers(0, n), max_size=9)))
    counts = np.diff([0, *ends, n])
    tables = _core.CompressaiTables(*(np.array(a, np.int32) for a in case.tables))
    symbols, index = np.array(case.symbols, np.int32), np.array(case.index, np.int32)
    strings, _ = _core.compressai_encode(symbols, index, counts, tables)
    parts = [slice(a, b) for a, b in zip([0, *ends], [*ends, n], strict=True)]
    assert strings == [twin.encode(case.symbols[p], case.index[p], *case.tables) for p in parts]
    for dtype in (np.int32, np.uint16, np.uint8):
        read = np.zeros(n, np.int32)
        _core.compressai_decode(strings, index.astype(dtype), counts, tables, read)
        assert np.array_equal(read, symbols)


@pytest.mark.slow
def test_a_thousand_cases_equal_compressais_bytes_and_tables():
    ans = pytest.importorskip("compressai.ans", reason="compressai is not installed")
    theirs_of = pytest.importorskip("compressai._CXX").pmf_to_quantized_cdf
    rng = np.random.default_rng(0)
    for seed in range(1000):
        case = Case(seed)
        string = case.encode()
        assert ans.RansEncoder().encode_with_indexes(case.symbols, case.index, *case.tables) == string
        assert ans.RansDecoder().decode_with_indexes(string, case.index, *case.tables) == case.symbols
        encoder, decoder = ans.BufferedRansEncoder(), ans.RansDecoder()
        decoder.set_stream(string)
        read = []
        for part in (slice(0, case.cut), slice(case.cut, None)):
            encoder.encode_with_indexes(case.symbols[part], case.index[part], *case.tables)
            read += decoder.decode_stream(case.index[part], *case.tables)
        assert read == case.symbols
        assert encoder.flush() == string
        pmf = [*(rng.random(rng.integers(1, 300)) ** rng.integers(1, 12)).astype(np.float32).tolist(), 0.1]
        assert door.pmf_to_quantized_cdf(pmf) == theirs_of(pmf, 16)


def test_every_int32_survives_and_the_far_ones_warn():
    cdfs, lengths, offsets = [[0, 60000, 65000, 65536]], [4], [-1]
    ends = [-(2**31), 2**31 - 1, -(2**31) + 1, 0, 2**30]
    with pytest.warns(RuntimeWarning, match="CompressAI can decode"):
        string = door.RansEncoder().encode_with_indexes(ends, [0] * 5, cdfs, lengths, offsets)
    assert door.RansDecoder().decode_with_indexes(string, [0] * 5, cdfs, lengths, offsets) == ends
    near = [2**30 - 4, -(2**30) + 4]  # the farthest that CompressAI's decoder reads
    string = door.RansEncoder().encode_with_indexes(near, [0] * 2, cdfs, lengths, offsets)
    assert door.RansDecoder().decode_with_indexes(string, [0] * 2, cdfs, lengths, offsets) == near


def test_nothing_and_a_single_symbol_are_strings_too():
    case = Case(5, size=0)
    assert case.decode(case.encode()) == []
    for seed in range(50):
        case = Case(seed, size=1)
        assert case.encode() == twin.encode(case.symbols, case.index, *case.tables)
        assert case.decode(case.encode()) == case.symbols


@given(seed=st.integers(0, 500), data=st.data())
def test_damage_raises_or_changes_nothing(seed, data):
    case = Case(seed)
    string = case.encode()
    at = data.draw(st.integers(0, len(string) - 1))
    flipped = bytearray(string)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    for damaged in (bytes(flipped), string[:at], string + b"\0\0\0\0"):
        try:
            read = case.decode(damaged)
        except CorruptStream:
            continue
        # Raw nibbles of symbols outside their tables have no check in CompressAI's format.
        assert damaged == bytes(flipped)
        assert sum(a != b for a, b in zip(read, case.symbols, strict=True)) >= 1


def test_every_prefix_raises():
    case = Case(11)
    string = case.encode()
    for length in range(len(string)):
        with pytest.raises(CorruptStream):
            case.decode(string[:length])
    with pytest.raises(TruncatedStream):
        case.decode(b"")


def test_mistakes_of_the_caller_are_value_errors():
    case = Case(3)
    string = case.encode()
    wrong = [[*case.index[:-1], len(case.lengths)], [*case.index[:-1], -1], case.index[:-1]]
    for index in wrong:
        with pytest.raises(ValueError):
            door.RansEncoder().encode_with_indexes(case.symbols, index, *case.tables)
        with pytest.raises(ValueError):
            door.RansDecoder().decode_with_indexes(string, index, *case.tables)
    with pytest.raises(ValueError, match="set_stream"):
        door.RansDecoder().decode_stream([0], *case.tables)
    for cdf, length in (
        ([0, 65536], 2),
        ([0, 5, 65535], 3),
        ([1, 5, 65536], 3),
        ([0, 9, 5, 65536], 4),
        ([0, 65536, 65536], 3),
        ([0, 5, 65536], 9),
        ([0, 5, 65536], 0),
    ):
        with pytest.raises(ValueError):
            door.RansEncoder().encode_with_indexes([0], [0], [cdf], [length], [0])
    with pytest.raises(ValueError, match="zero"):
        door.RansEncoder().encode_with_indexes([1], [0], [[0, 5, 5, 65536]], [4], [0])
    for pmf in ([], [0.0], [-0.1, 1.1], [float("nan")], [float("inf")], [1e-9] * 3, [1.0] * 70000):
        with pytest.raises(ValueError):
            door.pmf_to_quantized_cdf(pmf)


def test_wrong_tables_raise():
    case, other = Case(20, size=300), Case(21, size=300)
    index = [i % min(len(case.lengths), len(other.lengths)) for i in case.index]
    string = door.RansEncoder().encode_with_indexes([0] * 300, index, *case.tables)
    with pytest.raises(CorruptStream):
        door.RansDecoder().decode_with_indexes(string, index, *other.tables)


def test_tables_of_15_bits_keep_the_probabilities():
    case = next(case for case in map(Case, range(100)) if max(map(abs, case.symbols)) < 200)
    tables = door.tables_of(*case.tables)
    index = np.array(case.index, np.uint8)
    exact = 0.0
    for symbol, i in zip(case.symbols, case.index, strict=True):
        token = min(max(symbol - case.offsets[i], -1) % 2**32, case.lengths[i] - 2)
        exact += 16 - np.log2(case.cdfs[i][token + 1] - case.cdfs[i][token])
    assert tables.cost_bits(case.symbols, index) < exact * 1.02 + 1


# Models.

torch = pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(scope="module")
def zoo():
    return pytest.importorskip("compressai.zoo", reason="compressai is not installed")


def lively(model):
    """Random weights give latents of zeros; these give symbols of every size."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("g_a.6.weight", "h_a.4.weight")):
                parameter *= 60
            if name.startswith(("h_s.4.bias", "entropy_parameters.4.bias")):
                parameter[: len(parameter) // 2] += torch.rand(len(parameter) // 2) * 4
    model.eval()
    model.update(force=True)
    return model


def both(model, x):
    with torch.no_grad():
        out = model.compress(x)
        return out, model.decompress(out["strings"], out["shape"])["x_hat"]


@pytest.mark.parametrize("name", ["bmshj2018_factorized", "bmshj2018_hyperprior", "mbt2018_mean", "mbt2018"])
def test_models_give_the_same_tensors_in_both_formats(zoo, name):
    torch.manual_seed(0)
    model = lively(getattr(zoo, name)(quality=1, pretrained=False))
    x = torch.rand(2, 3, 64, 64)
    theirs, x_hat = both(model, x)
    assert len(theirs["strings"][0][0]) > 200
    with door.use(model, format="compressai"):
        exact, again = both(model, x)
        assert exact["strings"] == theirs["strings"]
        assert torch.equal(again, x_hat)
    with door.use(model):
        fast, again = both(model, x)
        assert fast["strings"] != theirs["strings"]
        assert torch.equal(again, x_hat)
        for ours, original in zip(fast["strings"], theirs["strings"], strict=True):
            assert all(len(a) < len(b) * 1.01 + 40 for a, b in zip(ours, original, strict=True))
        damaged = [[s[:-1] + bytes([s[-1] ^ 1]) for s in strings] for strings in fast["strings"]]
        with pytest.raises(CorruptStream):
            model.decompress(damaged, fast["shape"])
    assert both(model, x)[0]["strings"] == theirs["strings"]


def test_copies_and_pickles_of_a_model_in_use_are_plain(zoo):
    torch.manual_seed(0)
    model = lively(zoo.bmshj2018_hyperprior(quality=1, pretrained=False))
    x = torch.rand(1, 3, 64, 64)
    theirs, _ = both(model, x)
    held = io.BytesIO()
    with door.use(model):
        fast, _ = both(model, x)
        twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        torch.save(model.state_dict(), held)
    assert fast["strings"] != theirs["strings"]
    for twin_model in twins:
        assert both(twin_model, x)[0]["strings"] == theirs["strings"]


def test_new_tables_are_noticed(zoo):
    from compressai.entropy_models import GaussianConditional

    coder = GaussianConditional([0.5, 1.0, 2.0])
    coder.update()
    values, index = torch.randn(1, 2, 50).round(), torch.ones(1, 2, 50, dtype=torch.int32)
    with door.use(torch.nn.Sequential(coder)):
        first = coder.compress(values, index)
        coder.update_scale_table([3.0, 5.0, 9.0], force=True)
        second = coder.compress(values, index)
        assert torch.equal(coder.decompress(second, index), values)
        with pytest.raises(CorruptStream, match="tables"):
            coder.decompress(first, index)
        with pytest.raises(CorruptStream, match="index"):
            coder.decompress(second, index * 2)
        coder._offset -= 1  # in place
        with pytest.raises(CorruptStream, match="tables"):
            coder.decompress(second, index)
        with pytest.raises(ValueError, match="table"):
            coder.compress(values, index + 7)


BufferedRansEncoder = RansDecoder = None  # as a model's module imports them; see below


class ChannelWise(torch.nn.Module):
    """A model as those that build on CompressAI write it: its own encoder, lists, slice after slice."""

    def __init__(self) -> None:
        super().__init__()
        from compressai.entropy_models import GaussianConditional

        self.coder = GaussianConditional([0.5, 1.0, 2.0])
        self.coder.update()

    @torch.no_grad()
    def compress(self, slices, index):
        encoder = BufferedRansEncoder()
        cdf = self.coder.quantized_cdf.tolist()
        for values in slices:
            encoder.encode_with_indexes(
                values.tolist(),
                index.tolist(),
                cdf,
                self.coder.cdf_length.tolist(),
                self.coder.offset.tolist(),
            )
        return encoder.flush()

    @staticmethod
    def reader():
        return RansDecoder()

    def decompress(self, string, index, count):
        decoder = self.reader()
        decoder.set_stream(string)
        tables = [t.tolist() for t in (self.coder.quantized_cdf, self.coder.cdf_length, self.coder.offset)]
        return [torch.tensor(decoder.decode_stream(index.tolist(), *tables)) for _ in range(count)]


def test_models_with_encoders_of_their_own_are_covered(zoo, monkeypatch):
    from compressai import ans

    monkeypatch.setitem(globals(), "BufferedRansEncoder", ans.BufferedRansEncoder)
    monkeypatch.setitem(globals(), "RansDecoder", ans.RansDecoder)
    model = ChannelWise()
    slices = torch.randint(-3, 4, (3, 100))
    index = torch.randint(0, 3, (100,))
    theirs = model.compress(slices, index)
    for kind in ("compressai", "narrows"):
        with door.use(model, format=kind):
            string = model.compress(slices, index)
            assert (string == theirs) == (kind == "compressai")
            assert torch.equal(torch.stack(model.decompress(string, index, 3)), slices)
            if kind == "narrows":
                with pytest.raises(CorruptStream):
                    model.decompress(string, (index + 1) % 3, 3)
                with pytest.raises(CorruptStream):
                    model.decompress(string, index, 4)
    assert model.compress(slices, index) == theirs


def test_mixtures_with_a_table_a_latent_are_covered(zoo):
    from compressai.entropy_models import GaussianMixtureConditional

    torch.manual_seed(0)
    model = GaussianMixtureConditional(K=2)
    y, scales, means, weights = (torch.rand(1, c, 8, 8) for c in (8, 16, 16, 16))
    given = [scales + 0.5, means, weights / 2]
    for kind in ("compressai", "narrows"):
        with door.use(torch.nn.Sequential(model), format=kind):
            (string, abs_max, bitmap), quantized = model.compress(y * 9, *(t.clone() for t in given))
            read = model.decompress(string, abs_max, bitmap, *(t.clone() for t in given))
            assert torch.equal(read, quantized)


def test_a_process_can_be_switched_as_a_whole(zoo):
    from compressai import ans
    from compressai.entropy_models import GaussianConditional

    before = ans.BufferedRansEncoder
    values, index = torch.randn(2, 2, 50).round(), torch.ones(2, 2, 50, dtype=torch.int32)
    plain = GaussianConditional([0.5, 1.0])
    plain.update()
    theirs = plain.compress(values, index)
    with door.use():
        assert ans.BufferedRansEncoder is not before
        assert plain.compress(values, index) != theirs
    with door.use(format="compressai"):
        assert plain.compress(values, index) == theirs
    assert ans.BufferedRansEncoder is before
    assert "compress" not in vars(plain)


def test_use_refuses_what_it_cannot_do(zoo):
    with pytest.raises(ValueError, match="entropy model"):
        door.use(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="format"):
        door.use(format="other")


def test_the_door_needs_neither_torch_nor_compressai():
    code = (
        "import sys; sys.modules['torch'] = sys.modules['compressai'] = None\n"
        "from narrows.entropy.compat import compressai, constriction, torchac, torch_ans\n"
        "from narrows.errors import MissingExtra\n"
        "assert compressai.pmf_to_quantized_cdf([1, 1]) == [0, 32768, 65536]\n"
        "try: compressai.use()\n"
        "except MissingExtra: print('asked for')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "asked for\n"


@pytest.mark.parametrize(
    "cdf",
    [
        [[0, 400.5, 65536]],
        [["0", "400", "65536"]],
        [np.array([0, 2**32 + 400, 65536])],
        [[0, 400.5, 65536], [0, 65536]],
        [1, 2],
    ],
)
def test_lists_of_no_integers_are_refused(cdf):
    with pytest.raises(ValueError):
        door.tables_of(cdf, [3] * len(cdf), [0] * len(cdf))
