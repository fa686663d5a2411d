from __future__ import annotations

import numpy as np
import pytest

from narrows.errors import SignalError
from narrows.transforms import packet


@pytest.mark.parametrize("sides", [(8, 8), (8, 16), (16, 8), (24, 40), (40, 8), (128, 96)])
def test_t31_synthesis_gives_the_planes_back_also_below_the_filters_length(sides: tuple[int, int]) -> None:
    planes = np.random.default_rng(1).normal(0, 100, (3, *sides)).astype(np.float32)
    bands = packet.analysis(planes, 3)
    assert bands.shape == (192, sides[0] // 8, sides[1] // 8)
    assert np.abs(packet.synthesis(bands, 3) - planes).max() < 1e-3


def test_a_level_is_pywavelets_away_from_the_borders() -> None:
    pywt = pytest.importorskip("pywt", reason="PyWavelets is the oracle")
    plane = np.random.default_rng(2).normal(size=(1, 64, 64))
    ours = packet.analysis(plane.astype(np.float32), 1)
    theirs = pywt.dwt2(plane[0], "bior4.4", mode="periodization")
    low, (down, across, both) = theirs
    for band, other in zip(ours, (low, across, down, both), strict=True):
        inner = band[8:-8, 8:-8]
        shifts = [
            min(np.abs(inner - sign * np.roll(other, (y, x), (0, 1))[8:-8, 8:-8]).max() for sign in (-1, 1))
            for y in (-1, 0, 1)
            for x in (-1, 0, 1)
        ]
        assert min(shifts) < 1e-5


def test_a_constant_is_in_the_first_band_alone() -> None:
    bands = packet.analysis(np.full((1, 16, 24), 10, np.float32), 3)
    assert np.abs(bands[0] - 80).max() < 1e-3
    assert np.abs(bands[1:]).max() < 1e-3


def test_every_operation_is_one_of_float32() -> None:
    """No sum is left to a library's order: a plane alone gives what it gives among others."""
    planes = np.random.default_rng(3).normal(0, 50, (3, 32, 48)).astype(np.float32)
    together = packet.analysis(planes, 3)
    assert together.dtype == np.float32
    for channel in range(3):
        alone = packet.analysis(planes[channel : channel + 1], 3)
        assert np.array_equal(alone, together[64 * channel : 64 * channel + 64])


def test_bad_shapes() -> None:
    for shape in ((1, 12, 8), (1, 0, 8), (1, 8, 9)):
        with pytest.raises(SignalError):
            packet.analysis(np.zeros(shape, np.float32), 3)
    with pytest.raises(SignalError):
        packet.synthesis(np.zeros((63, 1, 1), np.float32), 3)
