"""The wavelet packet against PyWavelets, and companding (rows K45 to K47, K63; traps T10 to T13, T31)."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pywt = pytest.importorskip("pywt")

from narrows.bottlenecks.wavelet import Companded  # noqa: E402
from narrows.errors import OptionError, SignalError  # noqa: E402
from narrows.nets.wavelet_packet import WAVELETS, inverse_packet, packet, padded  # noqa: E402


def seeded(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("wavelet", "expected", "energy"),
    [
        ("haar", (4.949747468, 0, 0, -3.535533906, 0, 0.707106781, -2.121320344, 0), 1.0),
        (
            "bior4.4",
            (
                4.198059774,
                -2.223415820,
                -1.048363726,
                -1.176082454,
                0.680570107,
                0.648723602,
                -1.087330565,
                1.239562899,
            ),
            0.989957069,
        ),
    ],
)
def test_k45_bands_of_a_line(wavelet: str, expected: tuple[float, ...], energy: float) -> None:
    x = torch.tensor([i * i % 7 for i in range(16)], dtype=torch.float64)[None, None]
    bands = packet(x, 3, wavelet)
    assert bands.shape == (1, 8, 2)
    assert bands[0, :, 0].tolist() == pytest.approx(expected, abs=1e-8)
    assert float(bands.square().sum() / x.square().sum()) == pytest.approx(energy, abs=1e-8)
    assert float((inverse_packet(bands, 3, wavelet) - x).abs().max()) < 1e-11


@pytest.mark.parametrize(
    ("wavelet", "expected"),
    [("bior4.4", (7.030575307, -0.985387686, -2.066205914, 1.607980420)), ("haar", (8.5, -3.5, -5.5, 0.5))],
)
def test_k63_bands_of_a_plane(wavelet: str, expected: tuple[float, ...]) -> None:
    x = torch.tensor([[(3 * i * i + 5 * j + i * j) % 11 for j in range(16)] for i in range(16)]).double()[
        None, None
    ]
    assert packet(x, 1, wavelet)[0, :, 0, 0].tolist() == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("wavelet", WAVELETS)
def test_k63_t31_packets_are_pywavelets_at_every_side(wavelet: str) -> None:
    for sides in ((64,), (8,), (16, 16), (64, 32), (8, 8)):
        x = seeded(*sides)
        kind = pywt.WaveletPacket if len(sides) == 1 else pywt.WaveletPacket2D
        whole = kind(x.numpy(), wavelet, mode="periodization", maxlevel=3)
        expected = np.stack([node.data for node in whole.get_level(3, "natural")])
        found = packet(x[None, None], 3, wavelet)[0]
        assert np.abs(found.numpy() - expected).max() < 1e-8


@pytest.mark.parametrize("wavelet", WAVELETS)
@pytest.mark.parametrize("sides", [(2,), (2, 2), (4, 6), (6, 10, 2), (8, 8, 8)])
def test_t31_perfect_reconstruction_below_the_filters_length(wavelet: str, sides: tuple[int, ...]) -> None:
    x = seeded(2, 3, *sides)
    bands = packet(x, 1, wavelet)
    assert bands.shape == (2, 3 * 2 ** len(sides), *(side // 2 for side in sides))
    assert float((inverse_packet(bands, 1, wavelet) - x).abs().max()) < 1e-11


def test_three_dimensions_are_pywavelets_too() -> None:
    x = seeded(8, 4, 6)
    bands = packet(x[None, None], 1)[0]
    oracle = pywt.dwtn(x.numpy(), "bior4.4", "periodization")
    for i, band in enumerate(bands):
        key = "".join("ad"[i >> axis & 1] for axis in range(3))
        assert np.abs(band.numpy() - oracle[key]).max() < 1e-10


@pytest.mark.parametrize(
    ("levels", "most", "least", "noise"),
    [(1, 1.149604, 0.869864, 1.011695), (2, 1.211145, 0.825665, 1.023020), (3, 1.243727, 0.766811, 1.034659)],
)
def test_k46_gains_of_the_synthesis(levels: int, most: float, least: float, noise: float) -> None:
    units = torch.eye(64, dtype=torch.float64).reshape(64, 2**levels, -1)
    matrix = inverse_packet(units, levels)[:, 0]
    values = torch.linalg.svdvals(matrix)
    assert (float(values[0]), float(values[-1])) == pytest.approx((most, least), abs=1e-5)
    assert float(values.square().mean()) == pytest.approx(noise, abs=1e-5)


def test_packets_have_gradients() -> None:
    x = seeded(1, 1, 8, 8).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: packet(v, 2), x)
    assert torch.autograd.gradcheck(lambda v: inverse_packet(v, 1), seeded(1, 4, 4, 4).requires_grad_())


def test_t12_any_size_is_padded_by_its_edge() -> None:
    for sides in ((5, 5), (1, 1), (8, 9), (3,), (1, 2, 3)):
        x = seeded(1, 2, *sides)
        wide, old = padded(x, 8)
        assert old == sides
        assert all(side % 8 == 0 for side in wide.shape[2:])
        assert torch.equal(wide[(..., *(slice(side) for side in sides))], x)
        assert torch.equal(wide[..., -1], wide[..., sides[-1] - 1])


def test_bad_shapes() -> None:
    with pytest.raises(SignalError, match="multiples of 4"):
        packet(seeded(1, 1, 6), 2)
    with pytest.raises(SignalError, match="dimensions"):
        packet(seeded(1, 6), 1)
    with pytest.raises(SignalError, match="multiple"):
        inverse_packet(seeded(1, 3, 4), 1)
    with pytest.raises(SignalError, match="empty"):
        padded(torch.zeros(1, 1, 0), 2)
    with pytest.raises(OptionError, match="wavelet"):
        packet(seeded(1, 1, 4), 1, "db2")


def test_k47_companding_at_eight_bits() -> None:
    code = Companded(1, bits=8)
    assert code.scale == pytest.approx(68.648648649, abs=1e-8)
    assert code.reach == pytest.approx(127.499)
    at = torch.tensor([1.0, code.scale], dtype=torch.float64)
    assert code.compand(at).tolist() == pytest.approx([1.481833772, 87.042227558], abs=1e-6)
    back = code.expand(torch.tensor([100.0, 127.0], dtype=torch.float64))
    assert back.tolist() == pytest.approx([84.993680976, 198.053452], abs=1e-6)
    assert float(code.expand(code.compand(torch.tensor(50.0, dtype=torch.float64)))) == pytest.approx(
        50, abs=1e-6
    )
    z = torch.tensor([[[182.542, 182.543, 1e9, -1e9]]], dtype=torch.float64)
    assert code.quantize(z).tolist() == [[[126, 127, 127, -127]]]


def test_k47_bits_of_a_matched_source() -> None:
    code = Companded(1, bits=8)
    count = 400_001
    z = code.scale * torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)[None, None]
    symbols = code.quantize(z)
    share = torch.bincount(symbols.reshape(-1) + 127).double() / count
    assert float(-torch.special.xlogy(share, share).sum()) / math.log(2) == pytest.approx(7.994353, abs=1e-4)


def test_t13_training_noise_stays_inside_the_range() -> None:
    code = Companded(1, bits=8, seed=0)
    relaxed = code.relax(torch.full((1, 1, 10_000), 1e6))
    assert float(relaxed.z_hat.max()) <= 198.06
    code.eval()
    assert float(code.relax(torch.full((1, 1, 1), 1e6)).z_hat) == pytest.approx(198.053452, abs=1e-4)
    with pytest.raises(ValueError, match="outside the code"):
        code.dequantize(torch.tensor([[128]]))
    for channels, bits in ((0, 8), (1, 1), (1, 13)):
        with pytest.raises(OptionError, match="bits"):
            Companded(channels, bits=bits)
