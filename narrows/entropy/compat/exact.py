"""CompressAI models whose streams decode alike on every machine: integer tables, thresholds and networks.

A hyperprior model computes from the hyper-latents which table codes which symbol. Summed in floats, that
comes out differently on another processor, batch size or thread count, and one index that differs garbles the
rest. `compressai.exact` makes all of it integers: shipped tables of Gaussians, thresholds from scale to table
in 2^-16, and networks between hyper-latents and parameters whose weights and activations lie on a grid, so
that every sum is a whole number below 2^53 and the same in any order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from narrows.entropy.distributions import ScaleFamily, scale_family

NETWORKS = ("h_s", "entropy_parameters", "context_prediction", "channel_context")
"""Names of the parts of a model that lie between what is decoded and what it is decoded with."""

_ACTIVATION_BITS = 10  # fraction bits of what goes into a layer
_REACH = 2.0**22  # what goes in is cut to this many steps
_WEIGHT_REACH = 2.0**14
_LIMIT = 2.0**53
_ELEMENTWISE = {"ReLU", "LeakyReLU", "PixelShuffle", "Identity"}


def family_of(scale_table: npt.NDArray[Any]) -> ScaleFamily:
    """Return the tables for a model's scales: the shipped ones if these are the usual 64 or 128.

    Raises ValueError for scales that do not rise or are out of range.
    """
    given = np.asarray(scale_table, np.float64)
    for count in (64, 128):
        family = scale_family("gaussian", count)
        if given.size == count and np.allclose(given, family.scales / 2.0**20, rtol=1e-4):
            return family
    return scale_family("gaussian", np.floor(given * 2**20 + 0.5).astype(np.int64))


def exact_layer(layer: Any) -> Any:
    """Return a convolution or linear layer that computes on integers, as near to `layer` as 15 bits allow.

    Input is rounded to 2^-10, weights to 15 bits of the largest; sums are exact in float64 whatever their
    order. Raises ValueError for a layer whose sums could exceed 2^53.
    """
    import torch

    class ExactLayer(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            weight = layer.weight.detach().double()
            if hasattr(layer, "mask"):
                weight = weight * layer.mask.double()
            largest = float(weight.abs().max()) or 1.0
            self.bits = min(24, math.floor(math.log2(_WEIGHT_REACH / largest)))
            steps = torch.round(weight * 2.0**self.bits)
            transposed = isinstance(layer, torch.nn.ConvTranspose2d)
            # An output sums over all axes but its own channel's: at most, as strides skip some of them.
            axes = [axis for axis in range(steps.dim()) if axis != (1 if transposed else 0)]
            largest_sum = float(steps.abs().sum(dim=axes).max()) * _REACH
            scale = 2.0 ** (self.bits + _ACTIVATION_BITS)
            bias = None if layer.bias is None else torch.round(layer.bias.detach().double() * scale)
            if largest_sum + (0.0 if bias is None else float(bias.abs().max())) >= _LIMIT:
                raise ValueError("a layer's weights are too many or too unlike to sum them exactly")
            self.register_buffer("steps", steps, persistent=False)
            self.register_buffer("offset", bias, persistent=False)
            self.weight, self.bias = layer.weight, layer.bias  # for those who look at devices and dtypes
            self.transposed = transposed

        def __reduce__(self) -> Any:
            return exact_layer, (layer,)

        def forward(self, x: Any) -> Any:
            given = torch.round(x.double() * 2.0**_ACTIVATION_BITS).clamp(-_REACH, _REACH)
            functional = torch.nn.functional
            if isinstance(layer, torch.nn.Linear):
                sums = functional.linear(given, self.steps, self.offset)
            elif self.transposed:
                sums = functional.conv_transpose2d(
                    given,
                    self.steps,
                    self.offset,
                    layer.stride,
                    layer.padding,
                    layer.output_padding,
                    layer.groups,
                    layer.dilation,
                )
            else:
                sums = functional.conv2d(
                    given, self.steps, self.offset, layer.stride, layer.padding, layer.dilation, layer.groups
                )
            return (sums * 2.0 ** -(self.bits + _ACTIVATION_BITS)).to(x.dtype)

    return ExactLayer()


def replaced_layers(model: Any) -> list[tuple[Any, str, Any]]:
    """Return (parent, name, exact layer) of each layer of the model's networks that sums.

    Raises ValueError for a layer of another kind than convolutions, linear ones, ReLUs and shuffles: what it
    computes may differ between machines.
    """
    import torch

    sums = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)
    found = []
    for path, part in model.named_modules():
        if not any(name in NETWORKS for name in path.split(".")):
            continue
        if type(part).__name__ == "MaskedConv2d":
            raise ValueError(
                f"{path}: models that code pixel by pixel cannot be made exact; checkerboards can"
            )
        if isinstance(part, sums):
            parent = model.get_submodule(path.rpartition(".")[0])
            found.append((parent, path.rpartition(".")[2], exact_layer(part)))
        elif not list(part.children()) and type(part).__name__ not in _ELEMENTWISE:
            raise ValueError(f"{path}: a {type(part).__name__} may compute otherwise elsewhere")
    return found
