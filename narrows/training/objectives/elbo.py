"""Variational bounds: the ELBO's family and importance-weighted bounds with two gradients."""

from __future__ import annotations

from math import log, pi

import torch
from torch import Tensor


def gaussian_log_likelihood(x: Tensor, x_hat: Tensor, variance: float) -> Tensor:
    """Return log p(x | x_hat) of a normal decoder of fixed `variance`, in nats, [batch]."""
    squared = (x - x_hat).square().flatten(1)
    return -(squared.sum(1) / (2 * variance)) - squared.shape[1] / 2 * log(2 * pi * variance)


def elbo(log_likelihood: Tensor, kl: Tensor, beta: float = 1.0) -> Tensor:
    """Return log likelihood - beta * divergence, in nats (beta-VAE: Higgins et al. 2017)."""
    return log_likelihood - beta * kl


def infovae_weights(alpha: float, lam: float) -> tuple[float, float]:
    """Return the weights of the divergence and of the discrepancy, 1 - alpha and alpha + lambda - 1.

    The loss is -log likelihood + first * KL + second * MMD (Zhao et al. 2017, arXiv 1706.02262): the ELBO is
    (0, 1), the MMD-VAE alpha = 1.
    """
    return 1 - alpha, alpha + lam - 1


def iwae(log_weights: Tensor) -> Tensor:
    """Return the bound of log weights [samples, ...] over the first axis (arXiv 1509.00519)."""
    return torch.logsumexp(log_weights, 0) - log(len(log_weights))


def miwae(log_weights: Tensor) -> Tensor:
    """Return the mean of bounds, [means, samples, ...] to [...] (Rainforth et al. 2018, arXiv 1802.04537)."""
    return (torch.logsumexp(log_weights, 1) - log(log_weights.shape[1])).mean(0)


def ciwae(log_weights: Tensor, beta: float) -> Tensor:
    """Return beta of the ELBO and 1 - beta of the importance-weighted bound, of the same samples."""
    return beta * log_weights.mean(0) + (1 - beta) * iwae(log_weights)


def piwae(log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the decoder and what the encoder maximize, of log weights [means, samples, ...].

    The decoder's is the bound over all samples, the encoder's the mean of bounds: two backward passes, each
    to its own parameters (arXiv 1802.04537).
    """
    return iwae(log_weights.flatten(0, 1)), miwae(log_weights)


def dreg_surrogate(log_weights: Tensor) -> Tensor:
    """Return a value whose gradient through z is the doubly reparameterized one of the encoder.

    `log_weights` [samples, ...] must reach the encoder's parameters through the samples z alone, the density
    q inside being taken with its parameters detached (Tucker et al. 2018, arXiv 1810.04152). Its value is not
    the bound; for the decoder use `iwae`.
    """
    weights = torch.softmax(log_weights.detach(), 0)
    return (weights.square() * log_weights).sum(0)
