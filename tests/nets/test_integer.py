"""Networks in integers: equal to plain integer arithmetic however they are run, near the float network."""

from __future__ import annotations

import dataclasses
import doctest
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks need torch")
from torch import nn  # noqa: E402

from narrows import entropy  # noqa: E402
from narrows.errors import CorruptStream, ModelError  # noqa: E402
from narrows.nets import integer  # noqa: E402


def test_examples_run() -> None:
    found = doctest.testmod(integer)
    assert found.attempted > 5
    assert found.failed == 0


def synthesis(last: int = 6) -> nn.Sequential:
    """A hyper-synthesis network in the manner of mbt2018-mean, small."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.ConvTranspose2d(3, 8, 5, stride=2, padding=2, output_padding=1),
        nn.LeakyReLU(),
        nn.Conv2d(8, 48, 3, padding=1),
        nn.ReLU(),
        nn.PixelShuffle(2),
        nn.Conv2d(12, last, 3, padding=1),
    )


def latents(batch: int = 4) -> Any:
    return torch.randint(-20, 21, (batch, 3, 5, 6), generator=torch.Generator().manual_seed(0))


def plain(layer: integer.IntegerLayer, x: np.ndarray) -> np.ndarray:
    """One layer on [channels, height, width] in Python's integers, by definition."""
    x = x.astype(object)
    if layer.kind == integer.SHUFFLE:
        r = layer.stride
        c, h, w = x.shape
        parts = x.reshape(c // r**2, r, r, h, w).transpose(0, 3, 1, 4, 2)
        return parts.reshape(c // r**2, h * r, w * r)
    weight = layer.weight.astype(object)
    if layer.kind == integer.TRANSPOSED:
        (_, out, k, _), (_, h, w) = weight.shape, x.shape
        s, p = layer.stride, layer.padding
        full = np.zeros(
            (out, (h - 1) * s + k + layer.output_padding, (w - 1) * s + k + layer.output_padding), object
        )
        for i, y, z in np.ndindex(x.shape):
            full[:, y * s : y * s + k, z * s : z * s + k] += weight[i] * x[i, y, z]
        total = full[:, p : full.shape[1] - p, p : full.shape[2] - p]
    else:
        out, _, k, _ = weight.shape
        padded = np.pad(x, ((0, 0), (layer.padding,) * 2, (layer.padding,) * 2))
        h, w = ((size - k) // layer.stride + 1 for size in padded.shape[1:])
        total = np.zeros((out, h, w), object)
        for y, z in np.ndindex(h, w):
            patch = padded[
                :, y * layer.stride : y * layer.stride + k, z * layer.stride : z * layer.stride + k
            ]
            total[:, y, z] = [(kernel * patch).sum() for kernel in weight]
    out_values = np.zeros(total.shape, object)
    for at in np.ndindex(total.shape):
        y = (total[at] + int(layer.bias[at[0]])) * int(layer.multiplier[at[0]])
        y = (y + (1 << layer.shift >> 1)) >> layer.shift
        if y < 0 and layer.slope != 32768:
            y = (max(y, layer.low) * layer.slope + 16384) >> 15
        out_values[at] = min(max(y, layer.low), layer.high)
    return out_values


@pytest.mark.parametrize("activation_bits", [7, 11, 16])
def test_every_way_to_run_gives_what_integers_give(activation_bits: int) -> None:
    z = latents()[..., :2, :3]
    net = integer.export(synthesis(), latents(), activation_bits=activation_bits)
    expected = z[1].numpy()
    for layer in net.layers:
        expected = plain(layer, expected)
    whole = net(z)
    assert np.array_equal(whole[1].numpy(), expected.astype(np.int64))
    assert torch.equal(net(z[1:2])[0], whole[1])
    assert torch.equal(net(z.to(torch.int8)), whole)
    assert torch.equal(net(z.to(memory_format=torch.channels_last)), whole)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert torch.equal(net(z), whole)
    finally:
        torch.set_num_threads(before)
    if torch.cuda.is_available():
        assert torch.equal(net(z.cuda()).cpu(), whole)


def test_the_proof_picks_the_type() -> None:
    z = latents()
    narrow = integer.export(synthesis(), z, weight_bits=8, activation_bits=8, most_input=31)
    assert {layer.dtype for layer in narrow.layers} == {np.float32}
    wide = integer.export(synthesis(), z, activation_bits=16)
    assert wide.layers[-1].dtype == np.float64
    for layer in wide.layers:
        assert layer.largest_sum < 2**53


def test_the_bound_holds_on_the_worst_inputs() -> None:
    """Inputs that match the signs of an output's weights reach its bound, and not more."""
    torch.manual_seed(2)
    net = integer.export(nn.Sequential(nn.Linear(20, 5)), torch.randint(-9, 10, (99, 20)), most_input=100)
    layer = net.layers[0]
    reached = [
        int(np.abs(row) @ np.full(20, 100)) + abs(int(b))
        for row, b in zip(layer.weight, layer.bias, strict=True)
    ]
    assert max(reached) == layer.largest_sum
    worst = torch.from_numpy(100 * np.sign(layer.weight))
    assert torch.equal(net(worst), net(worst * 1000))  # clamped, since the proof ends at 100


@pytest.mark.parametrize(("activation_bits", "error"), [(8, 0.03), (12, 0.002), (16, 0.001)])
def test_it_is_near_the_float_network(activation_bits: int, error: float) -> None:
    net, z = synthesis(), latents(16)
    exact = integer.export(net, z, activation_bits=activation_bits)
    with torch.no_grad():
        wanted = net(z.float())
    assert float((exact(z) / 2**16 - wanted).abs().max()) < error * float(wanted.abs().max())


def test_a_hyperprior_decodes_from_integers_alone() -> None:
    """The story: latents, scales and means from an integer network, a payload that any machine decodes."""
    net, z = synthesis(8), latents(2)
    exact = integer.export(net, z)

    def parameters(k: int, known: np.ndarray, side: Any) -> tuple[np.ndarray, np.ndarray]:
        scales, means = exact(side).chunk(2, dim=1)
        return np.abs(scales.numpy()) + 1, means.numpy()

    model = entropy.Hyperprior(entropy.scale_family("gaussian"), parameters, mean_bits=16)
    shape = (2, 4, 20, 24)
    assert exact(z).shape == (2, 8, 20, 24)
    symbols = np.random.default_rng(0).normal(0, 3, shape).round().astype(np.int32)
    payload = entropy.encode_symbols(model, symbols, z)
    assert np.array_equal(entropy.decode_symbols(model, payload, shape, z), symbols)
    with pytest.raises(CorruptStream, match="indexes differ"):
        entropy.decode_symbols(model, payload, shape, z + 1)


def test_arrays_carry_a_network() -> None:
    z = latents()
    net = integer.export(synthesis(), z)
    arrays = net.arrays("hyper.")
    assert all(array.dtype.kind == "i" for array in arrays.values())
    assert torch.equal(integer.IntegerNetwork.from_arrays(arrays, "hyper.")(z), net(z))
    for name, value in (
        ("hyper.0.shift", 41),
        ("hyper.0.kind", 9),
        ("hyper.1.most", 5),
        ("hyper.1.slope", 2**15 + 1),
        ("hyper.0.low", 1),
        ("hyper.0.most", -1),
    ):
        with pytest.raises(ModelError):
            integer.IntegerNetwork.from_arrays({**arrays, name: np.array([value])}, "hyper.")
    huge = {**arrays, "hyper.0.weight": arrays["hyper.0.weight"].astype(np.int64) << 50}
    with pytest.raises(ModelError):
        integer.IntegerNetwork.from_arrays(huge, "hyper.")
    for missing in ("hyper.1.bias", "hyper.fraction_bits", "hyper.0.kind"):
        with pytest.raises(ModelError):
            integer.IntegerNetwork.from_arrays({k: v for k, v in arrays.items() if k != missing}, "hyper.")


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Conv2d(3, 3, 3, groups=3)),
        nn.Sequential(nn.Conv2d(3, 3, 3, dilation=2)),
        nn.Sequential(nn.Conv2d(3, 3, (3, 5), padding=(1, 2))),
        nn.Sequential(nn.Conv2d(3, 3, 3, padding="same")),
        nn.Sequential(nn.Conv2d(3, 3, 3), nn.Sigmoid()),
        nn.Sequential(nn.BatchNorm2d(3)),
        nn.Sequential(),
    ],
    ids=str,
)
def test_what_has_no_integer_form_is_refused(net: nn.Sequential) -> None:
    with pytest.raises(ValueError):
        integer.export(net, latents())


def test_floats_are_refused() -> None:
    with pytest.raises(ValueError):
        integer.export(synthesis(), latents().float())
    with pytest.raises(ValueError):
        integer.export(synthesis(), latents())(latents().float())


def test_too_many_bits_are_refused() -> None:
    wide = nn.Sequential(nn.Linear(4096, 1))
    with pytest.raises(ModelError):
        integer.export(wide, torch.ones(1, 4096, dtype=torch.int64), weight_bits=30, most_input=2**20)


def context_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 1))


def test_a_context_network_is_near_its_float_form_and_codes() -> None:
    net = context_net()
    with torch.no_grad():
        net[-1].weight *= 20
        net[-1].bias += 5
    sample = torch.randint(0, 128, (500, 6))
    layers = integer.export_context(net, sample)
    x = sample.numpy().astype(np.int64)
    for i, layer in enumerate(layers):
        x = (x @ layer.weights.astype(np.int64).T + layer.bias) * layer.multiplier + (1 << layer.shift >> 1)
        x = x >> layer.shift
        x = x if i == 2 else x.clip(0, 127)
    with torch.no_grad():
        wanted = net(sample / 64).numpy()
    assert np.abs(x - wanted).max() < 1.5
    family = entropy.scale_family("laplace", [int(2**19 * 1.5**i) for i in range(12)])
    taps = [(0, -1, 0), (0, 0, -1), (0, -1, 1), (0, -1, -1), (0, 0, -2), (0, -2, 0)]
    model = entropy.Autoregressive(family.tables, taps, entropy.magnitude_map()[None], layers, (12,))
    symbols = np.random.default_rng(0).integers(-5, 6, (1, 1, 16, 16)).astype(np.int32)
    payload = entropy.encode_symbols(model, symbols)
    assert np.array_equal(entropy.decode_symbols(model, payload, symbols.shape), symbols)


def test_a_context_network_stays_in_int32_or_is_refused() -> None:
    net = context_net()
    sample = torch.randint(0, 128, (50, 6))
    for layer in integer.export_context(net, sample):
        most = 127 * np.abs(layer.weights.astype(np.int64)).sum(axis=1) + np.abs(layer.bias.astype(np.int64))
        assert int((most * layer.multiplier).max()) + (1 << layer.shift >> 1) < 2**31
    for bad in (
        nn.Sequential(nn.Linear(6, 2), nn.Sigmoid(), nn.Linear(2, 1)),
        nn.Sequential(nn.Linear(6, 2), nn.ReLU()),
    ):
        with pytest.raises(ValueError):
            integer.export_context(bad, sample)
    for values in (sample + 100, sample - 1, sample.float()):
        with pytest.raises(ValueError):
            integer.export_context(net, values)
    with torch.no_grad():
        net[0].weight *= 1e9
    with pytest.raises(ModelError):
        integer.export_context(net, sample)


def test_layers_are_frozen() -> None:
    net = integer.export(synthesis(), latents())
    with pytest.raises(dataclasses.FrozenInstanceError):
        net.layers[0].shift = 3
