"""`pcm`, a codec with sessions, is registered for the tests of this folder."""

import numpy as np
import pytest

from narrows import registry


@pytest.fixture(autouse=True)
def _pcm(monkeypatch):
    monkeypatch.setitem(registry.CODECS, "pcm", "streaming.toys:Pcm")
    yield
    registry._instances.pop("codec:pcm", None)


@pytest.fixture(scope="session")
def speech():
    """Ten seconds of something like speech at 16 kHz: syllables of a buzz, pauses of faint noise."""
    t = np.arange(160_000) / 16_000
    gate = np.clip(3 * np.sin(2 * np.pi * 1.1 * t) * np.sin(2 * np.pi * 0.23 * t), 0, 1)
    buzz = sum(np.sin(2 * np.pi * 130 * k * t + k) / k for k in range(1, 8))
    noise = np.random.default_rng(1).normal(0, 2e-4, t.size)
    samples = np.clip(0.2 * gate * buzz + noise, -1, 1)
    return np.rint(samples * 32_767).astype(np.int16)[:, np.newaxis]
