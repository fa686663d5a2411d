"""A latent that survives a decode, and features that predict what comes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def latent_consistency(encoder: nn.Module, z: Tensor, x_hat: Tensor) -> Tensor:
    """Return the mean squared difference between the latent `z` of x and that of its reconstruction.

    The second pass has the encoder's weights frozen and `z` is a constant, so that the decoder learns, and
    through x_hat whatever made it (as in H3AE, arXiv 2504.10567). It cannot replace a loss on the signal: a
    constant encoder has none.

    >>> encoder = nn.Linear(2, 2)
    >>> x = torch.ones(1, 2)
    >>> latent_consistency(encoder, encoder(x), x).item()
    0.0
    """
    frozen = {name: value.detach() for name, value in encoder.named_parameters()}
    again = torch.func.functional_call(encoder, frozen, (x_hat,))
    return (z.detach() - again).square().mean()


def prediction_loss(predict: Callable[[Tensor], Tensor], frames: Tensor, steps: int = 3) -> Tensor:
    """Return the mean absolute error of frames predicted `steps` ahead (APC, arXiv 1904.03240).

    `frames` is [batch, dim, time]; `predict` is causal and keeps that shape.

    >>> frames = torch.arange(10.0).reshape(1, 1, 10)
    >>> float(prediction_loss(lambda x: x, frames, 3))
    3.0
    """
    if not 1 <= steps < frames.shape[2]:
        raise ValueError("steps lie within the frames")
    return (predict(frames[..., :-steps]) - frames[..., steps:]).abs().mean()
