"""Scalar quantization with a learned density: noise in training, rounding in use (arXiv 1802.01436)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from narrows.bottlenecks.bottleneck import Relaxed, along_channels, widened
from narrows.bottlenecks.rounded import Rounded

_LEAST = 1e-9  # of a probability, in training


class Scalar(Rounded):
    """Each coefficient is rounded to a multiple of `step`, through the channel's running mean.

    Training adds uniform noise of one step and prices it by a learned density; the price of rounding can be
    much less where the signal is narrower than a step, so `tables` are counted on rounded symbols.
    `rate_bits` in training is the noisy price.

    >>> code = Scalar(2, step=0.5)
    >>> z = torch.randn(1, 2, 1000, generator=torch.Generator().manual_seed(0))
    >>> relaxed = code.relax(z)  # noise, and its price by the learned density
    >>> relaxed.z_hat.shape, relaxed.rate_bits.shape
    (torch.Size([1, 2, 1000]), torch.Size([1]))
    >>> symbols = code.eval().quantize(z)
    >>> bool((code.dequantize(symbols) - z).abs().max() <= 0.25)
    True
    """

    def __init__(self, channels: int, *, step: float = 1.0, components: int = 3, seed: int = 0) -> None:
        super().__init__(channels, step=step, seed=seed)
        self.density = LogisticMixture(channels, components)

    def _relaxed(self, z: Tensor) -> Relaxed:
        self._follow(z)
        z, dtype = widened(z), z.dtype
        noisy = z / self.step + (torch.rand(z.shape, generator=self.rng).to(z) - 0.5)
        centered = noisy - along_channels(self.center, z.ndim)
        probability = self.density.interval_probability(centered - 0.5, centered + 0.5).clamp(min=_LEAST)
        return Relaxed((noisy * self.step).to(dtype), -probability.log2().flatten(1).sum(1))


class LogisticMixture(nn.Module):
    """A density for each channel: a mixture of `components` logistic distributions.

    >>> density = LogisticMixture(1)
    >>> edges = torch.arange(-50.0, 51.0).reshape(1, 1, -1)
    >>> mass = density.interval_probability(edges - 0.5, edges + 0.5)
    >>> bool(abs(mass.detach().sum() - 1) < 1e-4)
    True
    """

    def __init__(self, channels: int, components: int = 3) -> None:
        super().__init__()
        start = torch.linspace(-1, 1, components) if components > 1 else torch.zeros(1)
        self.means = nn.Parameter(start.repeat(channels, 1))
        self.log_scales = nn.Parameter(torch.zeros(channels, components))
        self.logits = nn.Parameter(torch.zeros(channels, components))

    def interval_probability(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the mass between `low` and `high`, both [batch, channels, ...]."""

        def shaped(parameter: Tensor) -> Tensor:
            return widened(parameter).T.reshape(parameter.shape[1], 1, -1, *[1] * (low.ndim - 2))

        mean, slope = shaped(self.means), shaped(-self.log_scales).exp()
        below, above = (low - mean) * slope, (high - mean) * slope
        # Taken on the side where the logistic function is small, so that tails keep their digits.
        sign = torch.where(below + above > 0, -1.0, 1.0)
        mass = (torch.sigmoid(sign * above) - torch.sigmoid(sign * below)).abs()
        return (torch.softmax(shaped(self.logits), 0) * mass).sum(0)
