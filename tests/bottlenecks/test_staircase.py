"""Bits that fall with age (row K51)."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from narrows.bottlenecks.staircase import Staircase  # noqa: E402
from narrows.errors import CorruptStream, OptionError, SignalError  # noqa: E402


def even(channels: int, time: int) -> torch.Tensor:
    """Values spread evenly over [-1, 1], both ends in every block of every channel."""
    z = torch.rand(4, channels, time, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    z[:, ::2, ::16], z[:, 1::2, ::16] = -1, 1
    return z


@pytest.mark.parametrize(
    ("bits", "error"), [(8, 5.08626e-6), (4, 1.302083e-3), (3, 5.208333e-3), (2, 2.083333e-2)]
)
def test_k51_error_of_a_width(bits: int, error: float) -> None:
    code = Staircase(64, stairs=(), last_bits=bits, group=2).eval()
    z = even(64, 512)
    inside = torch.arange(512) % 16 != 0
    found = (code.relax(z).z_hat - z)[..., inside].square().mean()
    assert float(found) == pytest.approx(error, rel=0.02)


def test_k51_the_staircase_and_its_exact_rate() -> None:
    code = Staircase(64, stairs=((16, 8), (16, 4)), last_bits=2, group=64).eval()
    assert code.widths(64).tolist() == [2] * 32 + [4] * 16 + [8] * 16
    z = even(64, 64)
    relaxed = code.relax(z)
    scales = 4 * 2 * 16  # blocks, ends, bits
    assert relaxed.rate_bits.tolist() == [64 * 64 * 4.0 + scales] * 4
    error = (relaxed.z_hat - z)[..., torch.arange(64) % 16 != 0].square().mean()
    assert float(error) == pytest.approx(1.0743459e-2, rel=0.03)
    symbols = code.quantize(z)
    payload = code.encode(symbols)
    assert len(payload) <= float(relaxed.rate_bits.sum()) / 8 * 1.01 + 16
    assert torch.equal(code.decode(payload, symbols.shape), symbols)


@pytest.mark.parametrize("time", [1, 5, 16, 17, 40])
def test_blocks_have_one_width_and_any_length_works(time: int) -> None:
    code = Staircase(3, stairs=((4, 6), (4, 3)), last_bits=1, block=4, group=2).eval()
    widths = code.widths(time)
    for start in range(0, time, 4):
        assert len(widths[start : start + 4].unique()) == 1
    assert int(widths[-1]) == 6
    z = torch.randn(2, 3, time, generator=torch.Generator().manual_seed(1))
    symbols = code.quantize(z)
    assert torch.equal(code.decode(code.encode(symbols), symbols.shape), symbols)
    fine = widths == 6
    if fine.all():
        assert float((code.dequantize(symbols) - z).abs().max()) < 0.1


def test_a_history_that_ages_is_what_would_have_been_quantized_later() -> None:
    code = Staircase(4, stairs=((8, 8), (8, 4)), last_bits=2, block=8, group=4).eval()
    z = torch.randn(2, 4, 64, generator=torch.Generator().manual_seed(2))
    early = code.quantize(z[..., :16])
    for later in (16, 24, 32, 64):
        assert torch.equal(code.age(early, later - 16), code.quantize(z[..., :later])[..., :16])


def test_constant_and_large_values() -> None:
    code = Staircase(2, group=1).eval()
    z = torch.tensor([[[3.0] * 20, [1e9] * 20]])
    found = code.relax(z).z_hat
    assert found[0, 0].tolist() == [3.0] * 20
    assert bool(torch.isfinite(found).all())


def test_bad_options_shapes_and_symbols() -> None:
    for stairs, last in ((((4, 2),), 4), (((4, 13),), 2), (((0, 4),), 2)):
        with pytest.raises(OptionError, match=r"widths are|at least"):
            Staircase(2, stairs=stairs, last_bits=last)
    code = Staircase(2).eval()
    with pytest.raises(SignalError, match="history"):
        code.quantize(torch.zeros(1, 2, 3, 3))
    symbols = code.quantize(torch.randn(1, 2, 20))
    payload = code.encode(symbols)
    with pytest.raises(CorruptStream):
        code.decode(payload, (1, 4, 21))
    symbols[0, 0, 0] = 300
    with pytest.raises(ValueError, match="outside the code"):
        code.dequantize(symbols)
    ends = code.quantize(torch.randn(1, 2, 20))
    ends[0, 2, 0] = 0x7C00
    with pytest.raises(ValueError, match="finite"):
        code.dequantize(ends)
    with pytest.raises(ValueError, match="whole blocks"):
        code.age(code.quantize(torch.randn(1, 2, 20)), 4)


def test_values_far_beyond_float16_keep_their_side() -> None:
    code = Staircase(2).eval()
    z = torch.tensor([[[-1e30, 1e30], [0.0, 1e10]]])
    assert torch.equal(code.dequantize(code.quantize(z)).sign()[0, 0], torch.tensor([-1.0, 1.0]))
