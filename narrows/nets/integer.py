"""Networks in integers: one result on every machine, device, thread count and batch.

A float network that a decoder runs to find scales may differ in a last bit from the encoder's, and one
scale on the other side of a threshold spoils all that follows. Here weights and activations are integers;
every sum of a layer stays below 2^24 in float32, or 2^53 in float64, whatever the inputs, so floats hold it
exactly in any order of additions, and what stands between layers is integer arithmetic (Ballé, Johnston &
Minnen 2019). The bound is proved from the weights when a network is made, not hoped for.

>>> import torch
>>> from narrows.nets.integer import export
>>> _ = torch.manual_seed(0)
>>> net = torch.nn.Sequential(torch.nn.Conv2d(2, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 1))
>>> z = torch.randint(-9, 10, (16, 2, 8, 8))
>>> exact = export(net, z)
>>> exact(z).dtype, bool((exact(z) / 2**16 - net(z.float())).abs().max() < 0.02)
(torch.int32, True)
"""

from __future__ import annotations

import math
from contextlib import nullcontext

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from narrows.entropy import Layer
from narrows.errors import ModelError
from narrows.nets.exact import (
    CONV,
    LINEAR,
    SHUFFLE,
    SLOPE_BITS,
    TRANSPOSED,
    IntegerLayer,
    IntegerNetwork,
)

__all__ = ["IntegerLayer", "IntegerNetwork", "context_layer", "export", "export_context", "run"]

_KINDS: dict[type, int] = {
    nn.Conv2d: CONV,
    nn.ConvTranspose2d: TRANSPOSED,
    nn.Linear: LINEAR,
    nn.PixelShuffle: SHUFFLE,
}
_INT32 = 2**31 - 1


@torch.no_grad()
def run(network: IntegerNetwork, x: Tensor) -> Tensor:
    """Return int32 of integers [batch, channels, height, width], or [..., features] for linear layers."""
    if x.is_floating_point() or x.is_complex():
        raise ValueError(f"an integer network takes integers, not {x.dtype}")
    most = network.layers[0].most
    y = x.to(torch.int64).clamp(-most, most)
    for layer in network.layers:
        y = _run(layer, y)
    return y.to(torch.int32)


def _run(layer: IntegerLayer, x: Tensor) -> Tensor:
    """Integers of any dtype to int64."""
    if layer.kind == SHUFFLE:
        return functional.pixel_shuffle(x, layer.stride)
    dtype = torch.float32 if layer.dtype is np.float32 else torch.float64
    device = x.device
    w = torch.from_numpy(layer.weight).to(device, dtype)
    values = x.to(dtype)
    # cuDNN may choose Winograd's transform, whose fractions are not exact, or TF32: plain products only.
    with torch.backends.cudnn.flags(enabled=False) if x.is_cuda else nullcontext():
        if layer.kind == CONV:
            total = functional.conv2d(values, w, None, layer.stride, layer.padding)
        elif layer.kind == TRANSPOSED:
            total = functional.conv_transpose2d(
                values, w, None, layer.stride, layer.padding, layer.output_padding
            )
        else:
            total = functional.linear(values, w)
    shape = (-1,) if layer.kind == LINEAR else (-1, 1, 1)
    bias, multiplier = (torch.from_numpy(a).to(device).reshape(shape) for a in (layer.bias, layer.multiplier))
    half = 1 << layer.shift >> 1
    y = ((total.to(torch.int64) + bias) * multiplier + half) >> layer.shift
    if layer.slope != 1 << SLOPE_BITS:
        below = (y.clamp(layer.low, 0) * layer.slope + (1 << SLOPE_BITS >> 1)) >> SLOPE_BITS
        y = torch.where(y < 0, below, y)
    return y.clamp(layer.low, layer.high)


def _rounded(
    weight: npt.NDArray[np.float64],
    bias: npt.NDArray[np.float64],
    unit_in: float,
    unit_out: float,
    most_weight: int,
    multiplier_bits: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """Weights [outputs, ...] as integers: (w, bias, multiplier, shift) with real = integer x unit."""
    largest = np.abs(weight.reshape(len(weight), -1)).max(axis=1)
    # A bias far above its weights sets the unit instead, so that it stays a moderate integer.
    unit = np.maximum(largest, np.abs(bias) / (unit_in * 2**16)) / most_weight
    unit[unit == 0] = 1.0
    w = np.rint(weight / unit.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int64)
    b = np.rint(bias / (unit * unit_in)).astype(np.int64)
    ratio = unit * unit_in / unit_out
    shift = min(max(multiplier_bits - 1 - math.floor(math.log2(ratio.max())), 1), 40)
    return w, b, np.rint(ratio * 2.0**shift).astype(np.int64), shift


def _float(tensor: Tensor | None, size: int) -> npt.NDArray[np.float64]:
    return np.zeros(size) if tensor is None else tensor.detach().cpu().double().numpy()


def _slope(module: nn.Module | None) -> int | None:
    if isinstance(module, nn.ReLU):
        return 0
    if isinstance(module, nn.LeakyReLU):
        return round(float(module.negative_slope) * 2**SLOPE_BITS)
    return None


def _geometry(module: nn.Module) -> tuple[int, int, int]:
    """Stride, padding and output padding of a layer; ValueError for what has no integer form here."""
    if isinstance(module, nn.Linear):
        return 1, 0, 0
    known = isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
    plain = known and module.groups == 1 and set(module.dilation) == {1} and module.padding_mode == "zeros"
    sizes = [module.stride, module.padding, getattr(module, "output_padding", (0, 0))] if plain else [""]
    if any(isinstance(s, str) or len(set(s)) != 1 for s in sizes):
        raise ValueError(
            f"{module} has no integer form here: one group, no dilation, zeros around, square sizes"
        )
    stride, padding, output_padding = (int(s[0]) for s in sizes)
    return stride, padding, output_padding


@torch.no_grad()
def export(
    net: nn.Sequential,
    sample: Tensor,
    *,
    fraction_bits: int = 16,
    weight_bits: int = 12,
    activation_bits: int = 12,
    most_input: int = 2047,
) -> IntegerNetwork:
    """Return `net` in integers, for integer inputs of at most `most_input` in size.

    `net` holds Conv2d, ConvTranspose2d, Linear, PixelShuffle, each with ReLU or LeakyReLU behind it if any,
    as hyper-synthesis networks do. `sample` holds integers as the network will meet; the largest
    activations on it set the units, and larger ones are clamped later. Outputs are in 2^-fraction_bits:
    scales for `ScaleFamily.index`, means. A layer whose sums stay below 2^24 runs in float32, else in
    float64.

    Raises ValueError for other modules, ModelError where even float64 could round.
    """
    modules = [module for module in net if not isinstance(module, (nn.Identity, nn.Dropout))]
    if not modules or sample.is_floating_point():
        raise ValueError("export wants a network of at least one layer, and a sample of integers")
    most_weight, most_activation = 2 ** (weight_bits - 1) - 1, 2 ** (activation_bits - 1) - 1
    layers: list[IntegerLayer] = []
    x = sample.to(next(net.parameters()).dtype).to(next(net.parameters()).device)
    unit, most = 1.0, most_input
    at = 0
    while at < len(modules):
        module = modules[at]
        at += 1
        if isinstance(module, nn.PixelShuffle):
            none = np.zeros(0, np.int64)
            layers.append(
                IntegerLayer(SHUFFLE, none, none, none, 0, 0, 0, 0, module.upscale_factor, 0, 0, most)
            )
            x = module(x)
            continue
        stride, padding, output_padding = _geometry(module)
        x = module(x)
        slope = _slope(modules[at]) if at < len(modules) else None
        if slope is not None:
            x = modules[at](x)
            at += 1
        last = all(isinstance(m, nn.PixelShuffle) for m in modules[at:])
        unit_out = 2.0**-fraction_bits if last else max(float(x.abs().max()), 1e-6) / most_activation
        transposed = isinstance(module, nn.ConvTranspose2d)
        weight = _float(module.weight, 0)
        weight = weight.swapaxes(0, 1) if transposed else weight
        bias = _float(module.bias, len(weight))
        w, b, multiplier, shift = _rounded(weight, bias, unit, unit_out, most_weight, 16)
        high = _INT32 if last else most_activation
        layers.append(
            IntegerLayer(
                _KINDS[type(module)],
                np.ascontiguousarray(w.swapaxes(0, 1) if transposed else w),
                b,
                multiplier,
                shift,
                1 << SLOPE_BITS if slope is None else slope,
                -high,
                high,
                stride,
                padding,
                output_padding,
                most,
            )
        )
        unit, most = unit_out, high
    return IntegerNetwork(layers, fraction_bits)


@torch.no_grad()
def export_context(net: nn.Sequential, sample: Tensor, *, input_unit: float = 1 / 64) -> list[Layer]:
    """Return a network of Linear and ReLU in the form of `narrows.entropy.Autoregressive`: bytes and int32.

    `sample` uint8 [n, inputs] holds inputs 0..127 as the coder will meet; `net` takes them times `input_unit`
    and gives [n, outputs] in cells of the grid (and the mean). Multipliers are as fine as int32 sums allow.

    Raises ValueError for other modules, ModelError where sums could leave int32.

    >>> net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> layers = export_context(net, torch.randint(0, 128, (100, 2)))
    >>> [layer.weights.shape for layer in layers]
    [(8, 2), (1, 8)]
    """
    modules = list(net)
    linear = modules[::2]
    if not all(isinstance(m, nn.Linear) for m in linear) or not all(
        isinstance(m, nn.ReLU) for m in modules[1::2]
    ):
        raise ValueError("a context network is Linear, ReLU, Linear, ... and ends in Linear")
    if len(modules) % 2 == 0:
        raise ValueError("a context network ends in Linear: its outputs are cells, not clamped")
    if sample.is_floating_point() or sample.min() < 0 or sample.max() > 127:
        raise ValueError("a sample of a context network holds 0 to 127")
    x, unit = sample.to(net[0].weight.dtype) * input_unit, input_unit
    layers = []
    for i, module in enumerate(linear):
        x = module(x)
        last = i + 1 == len(linear)
        x = x if last else x.relu()
        unit_out = 1.0 if last else max(float(x.max()), 1e-6) / 127
        weight, bias = _float(module.weight, 0), _float(module.bias, len(module.weight))
        layers.append(context_layer(weight, bias, unit, unit_out))
        unit = unit_out
    return layers


def context_layer(
    weight: npt.NDArray[np.float64],
    bias: npt.NDArray[np.float64],
    unit_in: float,
    unit_out: float,
    num_nets: int = 1,
) -> Layer:
    """Return a layer of context networks from weights [num_nets * outputs, inputs], biases and units.

    Multipliers are as fine as int32 sums allow. Raises ModelError where the coarsest could leave int32.
    """
    for bits in range(16, 3, -1):
        w, b, multiplier, shift = _rounded(weight, bias, unit_in, unit_out, 127, bits)
        most = (127 * np.abs(w).sum(axis=1) + np.abs(b)) * multiplier
        if shift <= 30 and int(most.max()) + (1 << shift >> 1) < 2**31:
            break
    else:
        raise ModelError("sums of this network could leave int32 however coarse its multipliers")
    shape = (len(w),) if num_nets == 1 else (num_nets, len(w) // num_nets)
    return Layer(
        w.astype(np.int8).reshape(*shape, -1),
        b.astype(np.int32).reshape(shape),
        multiplier.astype(np.int32).reshape(shape),
        shift,
    )
