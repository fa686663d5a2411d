"""Denoising, contractive and masked losses, and the score that a denoiser knows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def score(x: Tensor, denoised: Tensor, sigma: float) -> Tensor:
    """Return the gradient of the log density of the noisy data at `x`, from an optimal denoiser's answer.

    Tweedie's formula, exact at every noise level (Alain and Bengio 2014, arXiv 1211.4246).

    >>> x = torch.tensor([1.0])
    >>> round(float(score(x, 0.8 * x, 0.5)), 4)  # of N(0, 1) with noise of deviation .5
    -0.8
    """
    return (denoised - x) / sigma**2


def sigmoid_contraction(hidden: Tensor, weight: Tensor) -> Tensor:
    """Return the squared norm of the Jacobian of sigmoid(W x + b), [batch], from `hidden` and W [units, dim].

    Rifai et al. 2011, "Contractive auto-encoders".

    >>> sigmoid_contraction(torch.tensor([[0.5, 0.5]]), torch.eye(2)).tolist()
    [0.125]
    """
    return (hidden * (1 - hidden)).square() @ weight.square().sum(1)


def contraction(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the squared norm of the Jacobian of `function` at each of `x` [batch, dim], [batch], exactly.

    With sigma**2 it turns a reconstruction error into the loss of a denoiser for small noise (Alain and
    Bengio 2014, arXiv 1211.4246). `function` takes one item [dim]; the cost is that of as many backward
    passes as it has outputs.

    >>> contraction(lambda v: v * torch.tensor([3.0, 4.0]), torch.zeros(2, 2)).tolist()
    [25.0, 25.0]
    """
    jacobian = torch.func.vmap(torch.func.jacrev(function))(x)
    return jacobian.square().flatten(1).sum(1)


def masked_denoising(
    clean_error: Tensor,
    clean_mask: Tensor,
    noise_error: Tensor,
    noisy_error: Tensor,
    noisy_mask: Tensor,
    share: float,
) -> Tensor:
    """Return the loss of unified masked diffusion: a part masked, a part masked and noised.

    Errors are of the clean part (x0), of the noised part's noise and of its x0; masks are 1 where the input
    was hidden; `share` is the noise-free part of the batch. The noise is judged where it is visible, x0 where
    it is hidden (Hansen-Estruch et al. 2024, arXiv 2406.17688).

    >>> mask = torch.tensor([1.0, 0.0])
    >>> float(masked_denoising(2 * mask, mask, 1 - mask, 3 * mask, mask, 0.5))
    4.5
    """

    def mean_over(error: Tensor, mask: Tensor) -> Tensor:
        return (error.square() * mask).sum() / mask.sum().clamp(min=1)

    noised = (mean_over(noise_error, 1 - noisy_mask) + mean_over(noisy_error, noisy_mask)) / 2
    return share * mean_over(clean_error, clean_mask) + (1 - share) * noised
