"""Lifting against PyWavelets, and its own laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import OptionError, SignalError
from narrows.transforms.lifting import Lifting


@pytest.mark.parametrize(("wavelet", "name"), [("5/3", "bior2.2"), ("9/7", "bior4.4")])
@pytest.mark.parametrize("shape", [(64, 64), (48, 80), (33, 57)])
def test_one_level_is_that_of_pywavelets(wavelet: str, name: str, shape: tuple[int, int]) -> None:
    pywt = pytest.importorskip("pywt")
    rng = np.random.default_rng(5)
    plane = np.cumsum(rng.integers(-40, 41, shape), axis=1).astype(np.int32)
    ll, hl, lh, hh = Lifting(wavelet, 1).analysis(plane)
    (low, (horizontal, vertical, diagonal)) = pywt.dwt2(plane.astype(float), name, mode="reflect")
    for band, got, want in (
        ("ll", ll, low),
        ("hl", hl, vertical),
        ("lh", lh, horizontal),
        ("hh", hh, diagonal),
    ):
        rms, gain = _best_alignment(want, got)
        assert rms < 1.5, (band, rms)
        assert 0.2 < abs(gain) < 4, (band, gain)


def _best_alignment(want: np.ndarray, got: np.ndarray) -> tuple[float, float]:
    """Least RMS difference over the filters' possible delays and one gain, away from the border."""
    inner = got[4:-4, 4:-4].astype(float)
    best = (np.inf, 0.0)
    for dy in range(6):
        for dx in range(6):
            part = want[4 + dy - 2 :, 4 + dx - 2 :][: inner.shape[0], : inner.shape[1]]
            if part.shape != inner.shape:
                continue
            gain = float((part * inner).sum() / max((part * part).sum(), 1e-9))
            rms = float(np.sqrt(np.mean((part * gain - inner) ** 2)))
            best = min(best, (rms, gain))
    return best


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["5/3", "9/7"]),
    st.integers(0, 6),
    st.integers(0, 2**32 - 1),
)
def test_synthesis_inverts_analysis(height: int, width: int, wavelet: str, levels: int, seed: int) -> None:
    info = np.iinfo(np.int32)
    plane = np.random.default_rng(seed).integers(info.min, info.max, (height, width), np.int32, endpoint=True)
    transform = Lifting(wavelet, levels)
    assert np.array_equal(transform.synthesis(transform.analysis(plane), plane.shape), plane)


def test_a_constant_has_no_details() -> None:
    for wavelet in ("5/3", "9/7"):
        bands = Lifting(wavelet, 3).analysis(np.full((40, 24), 1000, np.int32))
        assert all(np.abs(band).max(initial=0) <= 2 for band in bands[1:])


def test_wrong_planes_and_options_are_refused() -> None:
    with pytest.raises(OptionError):
        Lifting("8/8")
    for plane in (np.zeros((3, 3)), np.zeros((0, 3), np.int32), np.zeros(4, np.int32)):
        with pytest.raises(SignalError):
            Lifting().analysis(plane)
    with pytest.raises(ValueError, match="bands"):
        Lifting("5/3", 2).synthesis([np.zeros((2, 2), np.int32)], (8, 8))
    with pytest.raises(ValueError, match="halves"):
        Lifting("5/3", 1).synthesis([np.zeros((2, 2), np.int32)] * 4, (9, 9))
