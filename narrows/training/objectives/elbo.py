"""Variational bounds: the ELBO's family and importance-weighted bounds with two gradients."""

from __future__ import annotations

from math import log, pi

import torch
from torch import Tensor


def gaussian_log_likelihood(x: Tensor, x_hat: Tensor, variance: float) -> Tensor:
    """Return log p(x | x_hat) of a normal decoder of fixed `variance`, in nats, [batch].

    >>> x = torch.zeros(1, 2)
    >>> gaussian_log_likelihood(x, x, 1 / (2 * pi)).tolist()
    [-0.0]
    """
    squared = (x - x_hat).square().flatten(1)
    return -(squared.sum(1) / (2 * variance)) - squared.shape[1] / 2 * log(2 * pi * variance)


def elbo(log_likelihood: Tensor, kl: Tensor, beta: float = 1.0) -> Tensor:
    """Return log likelihood - beta * divergence, in nats (beta-VAE: Higgins et al. 2017).

    >>> float(elbo(torch.tensor(-3.0), torch.tensor(1.0), beta=4.0))
    -7.0
    """
    return log_likelihood - beta * kl


def infovae_weights(alpha: float, lam: float) -> tuple[float, float]:
    """Return the weights of the divergence and of the discrepancy, 1 - alpha and alpha + lambda - 1.

    The loss is -log likelihood + first * KL + second * MMD (Zhao et al. 2017, arXiv 1706.02262): the ELBO is
    (0, 1), the MMD-VAE alpha = 1.

    >>> infovae_weights(0.5, 10)
    (0.5, 9.5)
    """
    return 1 - alpha, alpha + lam - 1


def iwae(log_weights: Tensor) -> Tensor:
    """Return the bound of log weights [samples, ...] over the first axis (arXiv 1509.00519).

    >>> float(iwae(torch.tensor([-2.0, -2.0])))
    -2.0
    """
    return torch.logsumexp(log_weights, 0) - log(len(log_weights))


def miwae(log_weights: Tensor) -> Tensor:
    """Return the mean of bounds, [means, samples, ...] to [...] (Rainforth et al. 2018, arXiv 1802.04537).

    >>> miwae(torch.full((3, 2, 5), -2.0)).tolist()
    [-2.0, -2.0, -2.0, -2.0, -2.0]
    """
    return (torch.logsumexp(log_weights, 1) - log(log_weights.shape[1])).mean(0)


def ciwae(log_weights: Tensor, beta: float) -> Tensor:
    """Return beta of the ELBO and 1 - beta of the importance-weighted bound, of the same samples.

    >>> log_weights = torch.tensor([-3.0, -1.0])
    >>> float(log_weights.mean()) < float(ciwae(log_weights, 0.5)) < float(iwae(log_weights))
    True
    """
    return beta * log_weights.mean(0) + (1 - beta) * iwae(log_weights)


def piwae(log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the decoder and what the encoder maximize, of log weights [means, samples, ...].

    The decoder's is the bound over all samples, the encoder's the mean of bounds: two backward passes, each
    to its own parameters (arXiv 1802.04537).

    >>> of_decoder, of_encoder = piwae(torch.randn(3, 4, 5))
    >>> of_decoder.shape, bool((of_decoder >= of_encoder).all())
    (torch.Size([5]), True)
    """
    return iwae(log_weights.flatten(0, 1)), miwae(log_weights)


def dreg_surrogate(log_weights: Tensor) -> Tensor:
    """Return a value whose gradient through z is the doubly reparameterized one of the encoder.

    `log_weights` [samples, ...] must reach the encoder's parameters through the samples z alone, the density
    q inside being taken with its parameters detached (Tucker et al. 2018, arXiv 1810.04152). Its value is not
    the bound; for the decoder use `iwae`.

    >>> noise, mean, deviation = torch.randn(8, 100), torch.zeros(100, requires_grad=True), 0.8
    >>> z = mean + deviation * noise
    >>> log_q = -(((z - mean.detach()) / deviation) ** 2) / 2  # the density's own mean is held
    >>> dreg_surrogate(-((1 - z) ** 2) - log_q).sum().backward()
    >>> mean.grad.shape
    torch.Size([100])
    """
    weights = torch.softmax(log_weights.detach(), 0)
    return (weights.square() * log_weights).sum(0)
