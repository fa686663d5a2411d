"""NumPy runs integer networks as torch does, and as plain loops do."""

from __future__ import annotations

import numpy as np
import pytest

from narrows.nets import exact

torch = pytest.importorskip("torch", reason="needs torch")
from torch import nn  # noqa: E402

from narrows.nets.integer import export  # noqa: E402


def network(seed: int, bits: int = 8) -> exact.IntegerNetwork:
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(5, 70, 3, padding=1),
        nn.LeakyReLU(0.125),
        nn.Conv2d(70, 33, 3, padding=1),
        nn.LeakyReLU(0.125),
        nn.Conv2d(33, 12, 1),
        nn.PixelShuffle(2),
    )
    sample = torch.randint(-500, 501, (4, 5, 9, 9))
    return export(net, sample, weight_bits=bits, fraction_bits=6)


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("sides", [(1, 1), (1, 7), (9, 1), (33, 21)])
def test_numpy_gives_what_torch_gives(bits: int, sides: tuple[int, int]) -> None:
    net = network(1, bits)
    x = np.random.default_rng(2).integers(-3000, 3000, (5, *sides))
    found = net(x)
    assert found.dtype == np.int32
    assert found.shape == (3, 2 * sides[0], 2 * sides[1])
    assert np.array_equal(found, net(torch.from_numpy(x)[None])[0].numpy())


def test_a_layer_is_what_its_formula_says() -> None:
    layer = network(3).layers[0]
    x = np.random.default_rng(4).integers(-layer.most, layer.most + 1, (5, 4, 6))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    for output, row, column in ((0, 0, 0), (69, 3, 5), (31, 2, 2)):
        window = padded[:, row : row + 3, column : column + 3]
        total = int((layer.weight[output].astype(object) * window.astype(object)).sum())
        y = ((total + int(layer.bias[output])) * int(layer.multiplier[output]) + (1 << layer.shift >> 1)) >> (
            layer.shift
        )
        if y < 0:
            y = (max(y, layer.low) * layer.slope + (1 << 14)) >> 15
        assert layer(x)[output, row, column] == min(max(y, layer.low), layer.high)


def test_strided_convolutions_and_linear_layers() -> None:
    torch.manual_seed(5)
    strided = export(
        nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=2)), torch.randint(-99, 100, (2, 3, 8, 8))
    )
    x = np.random.default_rng(6).integers(-99, 100, (3, 11, 8))
    assert np.array_equal(strided(x), strided(torch.from_numpy(x)[None])[0].numpy())
    linear = export(nn.Sequential(nn.Linear(3, 4)), torch.randint(-99, 100, (2, 3)))
    assert np.array_equal(
        linear(x), np.moveaxis(linear(torch.from_numpy(np.moveaxis(x, 0, 2))).numpy(), 2, 0)
    )


def test_arrays_are_small_and_carry_the_network() -> None:
    net = network(7)
    arrays = net.arrays("n.")
    assert arrays["n.0.weight"].dtype == np.int8
    x = np.random.default_rng(8).integers(-900, 900, (5, 6, 6))
    assert np.array_equal(exact.IntegerNetwork.from_arrays(arrays, "n.")(x), net(x))


def test_what_it_does_not_take() -> None:
    with pytest.raises(ValueError, match="integers"):
        network(9)(np.zeros((5, 4, 4)))
    with pytest.raises(ValueError, match="integers"):
        network(9)(np.zeros((5, 4), np.int64))
    turned = export(nn.Sequential(nn.ConvTranspose2d(2, 2, 2)), torch.randint(0, 9, (1, 2, 3, 3)))
    with pytest.raises(ValueError, match="torch only"):
        turned(np.zeros((2, 3, 3), np.int64))
