"""The Wasserstein auto-encoder's bottleneck: a latent held to a prior as a whole (arXiv 1711.01558)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from narrows.bottlenecks.bottleneck import Relaxed, widened
from narrows.bottlenecks.rounded import Rounded
from narrows.errors import OptionError

_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

Kernel = Callable[[Tensor], Tensor]  # squared distances to similarities


class WAE(Rounded):
    """A deterministic latent whose distribution over the data is drawn to N(0, 1).

    `penalty` is "mmd", the maximum mean discrepancy, or "gan", a discriminator's opinion;
    `losses["penalty"]` is the encoder's, and with "gan" `losses["discriminator"]` trains the discriminator
    alone. Vectors are over the channels, each position one. Training passes the latent unchanged: `rate_bits`
    is that of the rounded symbols, without gradient. In use the latent is rounded to a multiple of `step`.

    >>> code = WAE(3)
    >>> relaxed = code.relax(torch.zeros(64, 3, requires_grad=True))
    >>> relaxed.losses["penalty"].item() > 1  # collapsed: far from N(0, 1)
    True
    >>> sorted(WAE(3, penalty="gan").relax(torch.zeros(64, 3)).losses)
    ['discriminator', 'penalty']
    """

    def __init__(self, channels: int, *, step: float = 1.0, penalty: str = "mmd", seed: int = 0) -> None:
        super().__init__(channels, step=step, seed=seed)
        if penalty not in ("mmd", "gan"):
            raise OptionError(f"penalty is mmd or gan, not {penalty!r}")
        self.discriminator = (
            nn.Sequential(nn.Linear(channels, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
            if penalty == "gan"
            else None
        )

    def _relaxed(self, z: Tensor) -> Relaxed:
        vectors = z.movedim(1, -1).reshape(-1, self.channels)
        symbols = self._follow(z)
        drawn = torch.randn(vectors.shape, generator=self.rng).to(vectors)
        if self.discriminator is None:
            losses = {"penalty": mmd(vectors, drawn, inverse_multiquadrics(self.channels))}
        else:
            of_prior, of_latent = self.discriminator(drawn), self.discriminator(vectors.detach())
            losses = {
                "discriminator": discriminator_loss(of_prior, of_latent),
                "penalty": encoder_loss(self._frozen_opinion(vectors)),
            }
        return Relaxed(z, self.prior.cost_bits(symbols), losses)

    def _frozen_opinion(self, vectors: Tensor) -> Tensor:
        """Return the discriminator's logits with gradients to `vectors` only."""
        assert self.discriminator is not None
        parameters = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        return torch.func.functional_call(self.discriminator, parameters, (vectors,))


def discriminator_loss(of_prior: Tensor, of_latent: Tensor) -> Tensor:
    """Return the loss, in nats, of telling the prior (1) from the latent (0), from logits."""
    return F.softplus(-of_prior).mean() + F.softplus(of_latent).mean()


def encoder_loss(of_latent: Tensor) -> Tensor:
    """Return what an encoder loses, in nats, where the discriminator's logits are `of_latent`."""
    return F.softplus(-of_latent).mean()


def inverse_multiquadrics(dim: int, scales: tuple[float, ...] = _SCALES) -> Kernel:
    """Return the sum over scales of C / (C + squared distance), C = scale * 2 dim, for N(0, 1) priors."""

    def kernel(squared: Tensor) -> Tensor:
        return sum((2 * dim * s / (2 * dim * s + squared) for s in scales), torch.zeros_like(squared))

    return kernel


def gaussian_kernel(variance: float) -> Kernel:
    """Return exp(-squared distance / (2 variance)); a variance of `dim` charges collapse at every dim."""
    return lambda squared: torch.exp(-squared / (2 * variance))


def mmd(x: Tensor, y: Tensor, kernel: Kernel, *, biased: bool = False) -> Tensor:
    """Return the squared maximum mean discrepancy of two samples, [items, dim] each (JMLR 13:723, 2012).

    The unbiased statistic leaves out the pairs of an item with itself and may be negative; the biased one
    keeps them and may not. Computed in float32 or better.

    >>> x, y = (torch.randn(500, 2, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    >>> kernel = inverse_multiquadrics(2)
    >>> bool(abs(mmd(x, y, kernel)) < 0.05), bool(mmd(x, y + 2, kernel) > 0.5)
    (True, True)
    """
    x, y = widened(x), widened(y)
    within_x, within_y = kernel(_squared(x, x)), kernel(_squared(y, y))
    across = kernel(_squared(x, y)).mean()
    if biased:
        return within_x.mean() + within_y.mean() - 2 * across
    if len(x) < 2 or len(y) < 2:
        raise ValueError("the unbiased discrepancy needs two items of each sample")
    return _mean_apart(within_x) + _mean_apart(within_y) - 2 * across


def _squared(x: Tensor, y: Tensor) -> Tensor:
    return (x.square().sum(1)[:, None] - 2 * x @ y.T + y.square().sum(1)).clamp(min=0)


def _mean_apart(kernel: Tensor) -> Tensor:
    n = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))
