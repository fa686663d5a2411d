"""What is minimized in training, as plain functions of tensors, by family."""

from narrows.training.objectives import (
    balance,
    coding_rate,
    consistency,
    contrast,
    correlation,
    denoise,
    elbo,
    rate,
    spread,
)

__all__ = [
    "balance",
    "coding_rate",
    "consistency",
    "contrast",
    "correlation",
    "denoise",
    "elbo",
    "rate",
    "spread",
]
