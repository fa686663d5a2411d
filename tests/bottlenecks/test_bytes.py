"""Every bottleneck's symbols come back from bytes whose size is the ideal within 1 % and 16 bytes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from narrows.bottlenecks.bottleneck import Bottleneck  # noqa: E402
from narrows.bottlenecks.bsq import BSQ  # noqa: E402
from narrows.bottlenecks.fsq import FSQ  # noqa: E402
from narrows.bottlenecks.gaussian import Gaussian  # noqa: E402
from narrows.bottlenecks.lfq import LFQ  # noqa: E402
from narrows.bottlenecks.rvq import RVQ, BinaryRVQ, ProductVQ  # noqa: E402
from narrows.bottlenecks.scalar import Scalar  # noqa: E402
from narrows.bottlenecks.select import Select  # noqa: E402
from narrows.bottlenecks.sign import Sign  # noqa: E402
from narrows.bottlenecks.sparse import Sparse  # noqa: E402
from narrows.bottlenecks.staircase import Staircase  # noqa: E402
from narrows.bottlenecks.vq import VQ, GumbelVQ  # noqa: E402
from narrows.bottlenecks.wae import WAE  # noqa: E402
from narrows.bottlenecks.wavelet import Companded  # noqa: E402
from narrows.errors import CorruptStream, SignalError, StreamError, TruncatedStream  # noqa: E402
from narrows.limits import Limits  # noqa: E402

# Each makes 2**16 symbols of a latent [4, channels, side, side].
CASES: dict[str, tuple[Callable[[], Bottleneck], int, int]] = {
    "bsq": (lambda: BSQ(16), 16, 32),
    "companded": (lambda: Companded(4, bits=6), 4, 64),
    "fsq": (lambda: FSQ([8, 5, 5, 2]), 4, 64),
    "gaussian": (lambda: Gaussian(4, step=0.5), 8, 64),
    "gumbel": (lambda: GumbelVQ(16, 3), 16, 128),
    "lfq": (lambda: LFQ(16), 16, 32),
    "binary-rvq": (lambda: BinaryRVQ(4, 4), 4, 32),
    "product-vq": (lambda: ProductVQ(4, 16, 8), 8, 64),
    "rvq": (lambda: RVQ(4, 16, 3), 3, 64),
    "scalar": (lambda: Scalar(4, step=0.25), 4, 64),
    "select": (lambda: Select(FSQ([8, 5, 5])), 4, 64),
    "sign": (lambda: Sign(16), 16, 32),
    "sparse": (lambda: Sparse(8, 64, 5), 8, 16),
    "vq": (lambda: VQ(64, 4), 4, 128),
    "wae": (lambda: WAE(4, step=0.5), 4, 64),
}


def latent(channels: int, side: int, seed: int) -> torch.Tensor:
    """Channels of different spread and center, so that tables differ and matter."""
    rng = torch.Generator().manual_seed(seed)
    spread = torch.linspace(0.3, 2.0, channels)[:, None, None]
    return (
        spread * torch.randn(4, channels, side, side, generator=rng)
        + torch.linspace(-0.5, 0.5, channels)[:, None, None]
    )


@pytest.fixture(params=sorted(CASES), scope="module")
def trained(request: pytest.FixtureRequest) -> tuple[Bottleneck, torch.Tensor]:
    torch.manual_seed(0)
    make, channels, side = CASES[request.param]
    code = make()
    # The penalties of larger batches cost time and say nothing about bytes.
    with torch.no_grad():
        for step in range(2):
            z = latent(channels, side, step)
            code.relax(z if request.param != "wae" else z[:, :, :8, :8])
    return code.eval(), latent(channels, side, 99)


def test_bytes_are_ideal_and_give_the_symbols_back(trained: tuple[Bottleneck, torch.Tensor]) -> None:
    code, z = trained
    with torch.no_grad():
        relaxed = code.relax(z)
        symbols = code.quantize(z)
        payload = code.encode(symbols)
        again = code.decode(payload, symbols.shape)
        assert symbols.numel() == 2**16
        assert torch.equal(again, symbols)
        assert torch.equal(code.dequantize(again), relaxed.z_hat)
    ideal_bytes = float(relaxed.rate_bits.sum()) / 8
    assert ideal_bytes * 0.999 - 1 <= len(payload) <= ideal_bytes * 1.01 + 16
    assert relaxed.rate_bits.shape == (4,)


def test_damage_and_other_tables_are_noticed(trained: tuple[Bottleneck, torch.Tensor]) -> None:
    code, z = trained
    symbols = code.quantize(z[:1, :, :4, :4])
    payload = code.encode(symbols)
    with pytest.raises(TruncatedStream):
        code.decode(payload[:-1], symbols.shape)
    for at in range(0, len(payload), max(1, len(payload) // 20)):
        damaged = bytearray(payload)
        damaged[at] ^= 4
        with pytest.raises(StreamError):
            code.decode(bytes(damaged), symbols.shape)
    with pytest.raises(CorruptStream):
        code.decode(payload, (2, *symbols.shape[1:]))
    code.train()
    with torch.no_grad():
        code.relax(z[..., :8, :8] * 3)
    code.eval()
    with pytest.raises(CorruptStream, match="tables differ"):
        code.decode(payload, symbols.shape)


def test_a_staircase_takes_its_widths() -> None:
    code = Staircase(62, stairs=((32, 8), (64, 4)), last_bits=3, group=62).eval()
    z = torch.randn(4, 62, 256, generator=torch.Generator().manual_seed(0))
    symbols = code.quantize(z)
    payload = code.encode(symbols)
    assert symbols.numel() == 2**16
    assert torch.equal(code.decode(payload, symbols.shape), symbols)
    widths = 4 * (62 * int(code.widths(256).sum()) + 2 * 16 * 16)
    assert float(code.rate_bits(symbols).sum()) == pytest.approx(widths)
    assert widths / 8 <= len(payload) <= widths / 8 * 1.01 + 16


PRECISIONS = {
    f"{model} model, {z} latent": (getattr(torch, model), getattr(torch, z))
    for model, z in (
        ("bfloat16", "bfloat16"), ("float16", "float16"), ("float64", "float64"), ("float32", "bfloat16"),
        ("float32", "float16"), ("float32", "float64"), ("bfloat16", "float32"), ("float16", "float32"),
    )
}  # fmt: skip


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", sorted(CASES))
def test_models_of_every_precision_train_and_code(name: str, precision: str) -> None:
    """T2, T6 for all: what is counted and averaged is no narrower for the model's sake."""
    make, channels, _ = CASES[name]
    of_model, dtype = PRECISIONS[precision]
    code = make().to(of_model)
    kept = [buffer for buffer in code.buffers() if buffer.is_floating_point()]
    assert all(buffer.itemsize >= 4 for buffer in kept)
    z = latent(channels, 16, 1).to(dtype).requires_grad_()
    relaxed = code.relax(z if name != "wae" else z[:, :, :8, :8])
    assert relaxed.z_hat.dtype == dtype
    sum(relaxed.losses.values(), relaxed.z_hat.sum()).backward()
    assert bool(torch.isfinite(z.grad).all())
    code.eval()
    with torch.no_grad():
        symbols = code.quantize(z)
        again = code.decode(code.encode(symbols), symbols.shape)
        assert torch.equal(again, symbols)
        assert torch.equal(code.dequantize(again), code.relax(z).z_hat)


# Their symbols are any integers.
UNBOUNDED = ("gaussian", "scalar", "wae", "sparse")


@pytest.mark.parametrize("training", [True, False], ids=["training", "in use"])
@pytest.mark.parametrize("name", [*sorted(CASES), "staircase"])
def test_bad_latents_are_signal_errors(name: str, training: bool) -> None:
    make, channels, _ = CASES.get(name, (lambda: Staircase(4), 4, 0))
    code = make().train(training)
    good = latent(channels, 8, 1)
    good = good[:, :, 0] if name == "staircase" else good
    bad = [good[:0], good[..., :0], good[:, :-1], torch.cat([good, good], 1), good.reshape(-1)]
    bad += [good.long(), good.to(torch.complex64), torch.tensor(1.0)]
    for value in (math.nan, math.inf, -math.inf):
        bad.append(good.clone())
        bad[-1].view(-1)[3] = value
    before = [buffer.clone() for buffer in code.buffers()]
    for z in bad:
        for take in (code.quantize, code.relax):
            with pytest.raises(SignalError):
                take(z)
    assert all(torch.equal(a, b) for a, b in zip(before, code.buffers(), strict=True) if not a.isnan().any())


@pytest.mark.parametrize("name", [*sorted(CASES), "staircase"])
def test_symbols_outside_the_code_are_value_errors(name: str) -> None:
    make, channels, _ = CASES.get(name, (lambda: Staircase(4), 4, 0))
    code = make().eval()
    good = latent(channels, 8, 1)
    symbols = code.quantize(good[:, :, 0] if name == "staircase" else good)
    bad = [symbols.float(), symbols[:, :0], torch.cat([symbols] * 7, 1)]
    for z in [*bad, *([] if name in UNBOUNDED else [symbols + 70_000, symbols - 70_000])]:
        with pytest.raises(ValueError):
            code.dequantize(z)
    for z in [*bad[:1], *bad[2:], *([] if name in UNBOUNDED else [symbols + 70_000])]:
        with pytest.raises(ValueError):
            code.encode(z)
    if name == "sparse":
        with pytest.raises(ValueError, match="not negative"):
            code.dequantize(-1 - symbols)


@pytest.mark.parametrize("name", [*sorted(CASES), "staircase"])
def test_symbols_without_rows_are_value_errors(name: str) -> None:
    make = CASES[name][0] if name in CASES else (lambda: Staircase(4))
    code = make().eval()
    for symbols in (torch.zeros(4, dtype=torch.int64), torch.tensor(0)):
        for take in (code.encode, code.rate_bits, code.dequantize):
            with pytest.raises(ValueError):
                take(symbols)
        with pytest.raises(ValueError):
            code.decode(bytes(40), symbols.shape)


@pytest.mark.parametrize("name", sorted(set(CASES) - set(UNBOUNDED)))
def test_symbols_of_any_integer_type_have_one_value(name: str) -> None:
    """Of bytes 2 * 0 - 1 is 255, and as an index they are a mask."""
    make, channels, _ = CASES[name]
    code = make().eval()
    symbols = code.quantize(latent(channels, 8, 1))
    for dtype in (torch.int32, torch.int16, *([] if name == "companded" else [torch.uint8])):
        assert torch.equal(code.dequantize(symbols.to(dtype)), code.dequantize(symbols))


def test_the_least_integer_is_outside_a_companded_code() -> None:
    """Its magnitude is itself, below zero."""
    code = CASES["companded"][0]().eval()
    with pytest.raises(ValueError, match="outside the code"):
        code.dequantize(torch.full((1, 4, 2), -(2**63)))


@pytest.mark.parametrize("make", [lambda: Sparse(4, 8, 2), lambda: Sparse(4, 8, 2, selection="pursuit")])
def test_latents_beyond_int32_are_coded_by_the_largest_magnitude(make: Callable[[], Bottleneck]) -> None:
    code = make()
    z = latent(4, 8, 1)
    z[0, 0, 0, 0] = 1e25
    code.relax(z)
    code.eval()
    symbols = code.quantize(z)
    assert int(symbols.max()) == 2**31 - 1
    assert torch.equal(code.decode(code.encode(symbols), symbols.shape), symbols)


@pytest.mark.parametrize("make", [lambda: VQ(1, 2), lambda: RVQ(2, 1, 2), lambda: ProductVQ(2, 1, 2)])
def test_codebooks_of_one_cost_nothing(make: Callable[[], Bottleneck]) -> None:
    code = make()
    z = latent(2, 8, 1)
    assert float(code.relax(z).rate_bits.sum()) == 0
    code.eval()
    symbols = code.quantize(z)
    assert float(code.rate_bits(symbols).sum()) == 0
    assert len(code.encode(symbols)) <= 16
    assert torch.equal(code.decode(code.encode(symbols), symbols.shape), symbols)


def test_a_state_of_another_shape_is_refused() -> None:
    for one, other in (
        (VQ(4, 2), VQ(5, 2)),
        (LFQ(4), LFQ(6)),
        (Scalar(2), Scalar(3)),
        (RVQ(2, 4, 2), RVQ(3, 4, 2)),
    ):
        with pytest.raises(RuntimeError, match=r"size mismatch|Unexpected|Missing"):
            one.load_state_dict(other.state_dict())


def test_counts_go_on_in_narrow_models() -> None:
    """bfloat16 holds no count above 256 and float16 none above 65,504."""
    narrow, wide = LFQ(4).half(), LFQ(4)
    for code in (narrow, wide):
        for step in range(2):
            code.relax(latent(4, 160, step).to(torch.float16))
    assert float(narrow.prior.counts.max()) > 65504
    assert narrow.tables().digest() == wide.tables().digest()


def test_a_shape_without_bound_is_refused() -> None:
    code = LFQ(4).eval()
    payload = code.encode(torch.zeros(1, 4, dtype=torch.int64))
    with pytest.raises(Exception, match="max_output_bytes"):
        code.decode(payload, (1 << 40, 4), limits=Limits())


def test_a_codebook_of_one_takes_only_the_head() -> None:
    code = VQ(1, 2)
    code.relax(torch.randn(2, 2, 100))
    code.eval()
    symbols = torch.zeros(5, 1, 1000, dtype=torch.int64)
    payload = code.encode(symbols)
    assert len(payload) <= 16
    assert np.array_equal(code.decode(payload, symbols.shape).numpy(), symbols.numpy())
