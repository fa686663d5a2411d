"""The Gaussian bottleneck of a variational auto-encoder (Kingma and Welling 2013, arXiv 1312.6114)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import log, log2, pi
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from narrows.bottlenecks.bottleneck import Ints, Kept, Relaxed, check_symbols, widened
from narrows.bottlenecks.rounded import Rounded
from narrows.entropy import Plan, Tables, scale_family
from narrows.entropy.distributions import SCALE_BITS
from narrows.errors import OptionError
from narrows.nets.exact import IntegerNetwork
from narrows.nets.integer import export

_LOG_VARIANCE = (-14.0, 6.0)
_MOST_LOG = 7.0  # of a deviation of the flow
_FRACTION = 12  # bits of what the flow's integer network gives
_PER_OCTAVE, _FIRST, _NUM_SCALES = 4, 16, 60  # the flow's tables


class Gaussian(Rounded):
    """A normal distribution for each coefficient: the latent is [mean, log variance] on 2 * channels.

    Training samples it. `losses["kl"]` is the divergence from N(0, 1) in nats, a mean over the batch, after
    free bits where `free_nats` is above zero; `rate_bits` is the divergence of each item in bits, which
    bits-back coding attains and rounding does not. In use the mean is rounded to a multiple of `step`.

    >>> code = Gaussian(2)
    >>> z = torch.cat([torch.ones(4, 2, 8), torch.zeros(4, 2, 8)], 1)  # means of 1, variances of 1
    >>> relaxed = code.relax(z)
    >>> relaxed.z_hat.shape, round(float(relaxed.losses["kl"]), 4)  # 16 coefficients of half a nat
    (torch.Size([4, 2, 8]), 8.0)
    >>> code.eval().quantize(z).shape
    torch.Size([4, 2, 8])
    """

    def __init__(self, channels: int, *, step: float = 1.0, free_nats: float = 0.0, seed: int = 0) -> None:
        super().__init__(channels, step=step, seed=seed)
        self.latent_channels = 2 * channels
        if free_nats < 0:
            raise OptionError("free_nats is not negative")
        self.free_nats = free_nats

    def _symbols(self, z: Tensor) -> Tensor:
        return super()._symbols(z[:, : self.channels])

    def _relaxed(self, z: Tensor) -> Relaxed:
        mean, log_variance = split_gaussian(widened(z))
        self._follow(mean)
        noise = torch.randn(mean.shape, generator=self.rng).to(mean)
        divergence = gaussian_kl(mean, log_variance)
        return Relaxed(
            (mean + noise * (log_variance / 2).exp()).to(z.dtype),
            divergence.detach().flatten(1).sum(1) / log(2),
            {"kl": free_bits(divergence, self.free_nats)},
        )


def split_gaussian(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the log variance, clamped to [-14, 6], of a latent with both on its channels."""
    mean, log_variance = z.chunk(2, 1)
    return mean, log_variance.clamp(*_LOG_VARIANCE)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the divergence of each N(mean, variance) from N(0, 1), in nats."""
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


def free_bits(divergence: Tensor, free_nats: float) -> Tensor:
    """Return the sum over channels of max(free_nats, batch mean), from nats [batch, channels, ...].

    A channel that costs less than it is given for free has no gradient (arXiv 1606.04934).
    """
    of_channel = divergence.flatten(2).sum(2).mean(0) if divergence.ndim > 2 else divergence.mean(0)
    return of_channel.clamp(min=free_nats).sum() if free_nats > 0 else of_channel.sum()


class SoftFreeBits(Kept):
    """A weight on the divergence that steers it to `target_nats` (Chen et al. 2016, arXiv 1611.02731).

    Called with the divergence's value it returns the weight, 0 < weight <= 1, after one step: up by a factor
    of 1 + rate above target * (1 + tolerance), down by 1 - rate below the target. The weight has no gradient.

    >>> weigh = SoftFreeBits(target_nats=2.0)
    >>> [round(float(weigh(torch.tensor(kl))), 3) for kl in (1.0, 1.0, 2.05, 3.0)]
    [0.9, 0.81, 0.81, 0.891]
    """

    weight: Tensor

    def __init__(self, target_nats: float, *, rate: float = 0.1, tolerance: float = 0.05) -> None:
        super().__init__()
        self.target_nats, self.rate, self.tolerance = target_nats, rate, tolerance
        self.register_buffer("weight", torch.tensor(1.0))

    @torch.no_grad()
    def forward(self, kl_nats: Tensor) -> Tensor:
        if kl_nats > self.target_nats * (1 + self.tolerance):
            self.weight.mul_(1 + self.rate)
        elif kl_nats < self.target_nats:
            self.weight.mul_(1 - self.rate)
        return self.weight.clamp_(1e-6, 1.0).clone()


class FlowPrior(nn.Module):
    """An autoregressive prior: coefficient i is normal given those before it (arXiv 1611.02731).

    Latents are [items, dim]. One masked network gives every mean and log deviation in a pass. For bytes,
    `entropy_model` has it in integers, for `narrows.entropy.encode_symbols`.

    >>> prior = FlowPrior(3)
    >>> z = torch.randn(5, 3)
    >>> prior.log_prob(z).shape
    torch.Size([5])
    >>> changed = z + torch.tensor([0.0, 0.0, 1.0])
    >>> bool((prior(z)[0] == prior(changed)[0]).all())  # nothing is predicted from the last coefficient
    True
    """

    def __init__(self, dim: int, hidden: int = 64) -> None:
        super().__init__()
        if dim < 1 or hidden < 1:
            raise OptionError("there is at least one coefficient and one hidden unit")
        degree_in, degree_hidden = torch.arange(dim), torch.arange(hidden) % max(1, dim - 1)
        self.register_buffer(
            "first_mask", (degree_hidden[:, None] >= degree_in[None]).float(), persistent=False
        )
        last = (degree_in[:, None] > degree_hidden[None]).float()
        self.register_buffer("last_mask", last.repeat(2, 1), persistent=False)
        self.first = nn.Linear(dim, hidden)
        self.last = nn.Linear(hidden, 2 * dim)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and log deviation of each coefficient given those before it, [items, dim] each."""
        hidden = nn.functional.linear(z, self.first.weight * self.first_mask, self.first.bias).relu()
        both = nn.functional.linear(hidden, self.last.weight * self.last_mask, self.last.bias)
        mean, log_deviation = both.chunk(2, -1)
        return mean, log_deviation.clamp(-_MOST_LOG, _MOST_LOG)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p of each latent in nats, [items]."""
        mean, log_deviation = self(z)
        return flow_log_prob(z, mean, log_deviation)

    @torch.no_grad()
    def entropy_model(self, symbols: Tensor, *, step: float = 1.0, center: Tensor | float = 0.0) -> Flow:
        """Return the prior in integers, as a model of `symbols` [batch, dim, ...]: latents / step - center.

        `symbols` are a sample of what will be coded; the largest activations on it set the network's units.
        ValueError where it is empty or of another dimension, and for a center that is neither one number nor
        `dim` of them.
        """
        dim = self.first.in_features
        check_symbols(symbols, dim)
        if symbols.numel() == 0:
            raise ValueError("the sample is empty")
        middle = torch.as_tensor(center, dtype=torch.float64)
        if middle.shape not in ((), (1,), (dim,)):
            raise ValueError(f"the center is one number or {dim}, not {list(middle.shape)}")
        middle = middle.expand(dim)
        first = (self.first.weight * self.first_mask).double()
        last = (self.last.weight * self.last_mask).double()
        bias = self.last.bias.double()
        # A symbol is a latent / step - center; what comes out is in symbols, and in octaves of them.
        first_bias = self.first.bias.double() + first @ (middle * step)
        last = torch.cat([last[:dim] / step, last[dim:] / log(2)])
        last_bias = torch.cat([bias[:dim] / step - middle, bias[dim:] / log(2) - log2(step)])
        net = nn.Sequential(_pointwise(first * step, first_bias), nn.ReLU(), _pointwise(last, last_bias))
        sample = symbols.transpose(0, 1).reshape(1, dim, -1, 1)
        return Flow(
            _octaves(), export(net, sample, fraction_bits=_FRACTION, weight_bits=15, activation_bits=15)
        )


def _pointwise(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """Return the linear map as a layer that works at every position."""
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1).double()
    layer.weight.copy_(weight[:, :, None, None])
    layer.bias.copy_(bias)
    return layer


@dataclass(frozen=True, eq=False)
class Flow:
    """An entropy model of symbols [batch, dim, ...]: each is normal given those before it, all in integers.

    What a decoder needs is `network`, whose `arrays` go into a weights file.
    """

    tables: Tables
    network: IntegerNetwork

    @property
    def passes(self) -> int:
        """One for each coefficient."""
        return int(self.network.layers[0].weight.shape[1])

    def plan(self, k: int, known: Ints, side: Any) -> Plan:
        """Coefficient `k`: a table by its scale, to a quarter of an octave, about a whole mean."""
        lines = np.moveaxis(known, 1, 0)
        found = self.network(lines.reshape(len(lines), -1, 1))
        mean, octave = (
            found[at].reshape(lines.shape[1:])[:, None].astype(np.int64) for at in (k, self.passes + k)
        )
        half = 1 << _FRACTION >> 1
        place = ((octave * _PER_OCTAVE + half) >> _FRACTION) + _FIRST
        index = np.clip(place, 0, len(self.tables) - 1).astype(np.uint8)
        return Plan((slice(None), slice(k, k + 1)), index, (mean + half) >> _FRACTION)


@cache
def _octaves() -> Tables:
    """Tables of normal distributions whose deviations are a quarter of an octave apart, 1/16 to 1,722."""
    scales = [round(2.0 ** (SCALE_BITS + (i - _FIRST) / _PER_OCTAVE)) for i in range(_NUM_SCALES)]
    return scale_family("gaussian", scales).tables


def flow_log_prob(z: Tensor, mean: Tensor, log_deviation: Tensor) -> Tensor:
    """Return the log density, in nats, of normals given element by element, summed over the last axis."""
    epsilon = (z - mean) * (-log_deviation).exp()
    return (-epsilon.square() / 2 - log(2 * pi) / 2 - log_deviation).sum(-1)
