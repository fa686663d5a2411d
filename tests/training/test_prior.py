"""Priors in integers say what the fitted networks said."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from narrows.training import prior  # noqa: E402


def test_means_at_an_edge_of_rounding_are_moved_off_it() -> None:
    """Floats round them to one side, integers may to the other, where the tables do not fit."""
    channels = 64
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 128, (channels, 200, 5)).astype(np.uint8)
    torch.manual_seed(0)
    networks = prior.Networks(torch.from_numpy(inputs).float() / 64, 3)
    edges = 0.5 + torch.linspace(-1e-2, 1e-2, channels)
    with torch.no_grad():
        networks.weights[-1].zero_()
        networks.weights[-1][:, :2] = 0.01 * torch.randn(channels, 2, 16)
        networks.weights[-1][:, 2] = 3e-6  # a mean that hardly depends on anything
        networks.biases[-1][:, 0, 2] = edges / networks.reach
        wanted = networks(torch.from_numpy(inputs).float() / 64, True)[..., 2].round().numpy()

    def astray(layers: list) -> np.ndarray:
        return (prior._points(layers, inputs)[..., 2] != wanted).mean(1)

    assert (astray(networks.layers()) > 0.9).sum() > 9
    assert astray(prior._off_edges(networks, inputs)).max() < 0.2
