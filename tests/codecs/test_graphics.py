"""The graphics mode: exact for every shape and depth, small where pictures repeat, safe when damaged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows import _core
from narrows.errors import CorruptStream

KINDS = ("flat", "noise", "palette", "gradient", "tiles", "specks")


def picture(kind: str, shape: tuple[int, int, int], depth: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    dtype = np.uint8 if depth <= 8 else np.uint16
    colors = rng.integers(0, 1 << depth, (8, channels))
    y, x = np.mgrid[0:height, 0:width]
    match kind:
        case "flat":
            pixels = np.broadcast_to(colors[0], shape)
        case "noise":
            pixels = rng.integers(0, 1 << depth, shape)
        case "palette":
            pixels = colors[rng.integers(0, 8, (height, width))]
        case "gradient":
            pixels = (x[..., None] * np.arange(1, channels + 1) + y[..., None]) % (1 << depth)
        case "tiles":
            pixels = colors[rng.integers(0, 8, (4, 4))[y % 4, x % 4]]
        case _:
            pixels = colors[(rng.random((height, width)) < 0.05).astype(int)]
    return np.ascontiguousarray(pixels, dtype)


def decode(payload: bytes, like: np.ndarray, depth: int) -> np.ndarray:
    pixels = np.empty_like(like)
    _core.graphics_decode(payload, pixels, depth)
    return pixels


@given(
    kind=st.sampled_from(KINDS),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.integers(1, 4),
    depth=st.integers(1, 16),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=80, deadline=None)
def test_every_picture_comes_back(kind, height, width, channels, depth, seed):
    pixels = picture(kind, (height, width, channels), depth, seed)
    before = pixels.copy()
    payload = _core.graphics_encode(pixels, depth)
    assert np.array_equal(decode(payload, pixels, depth), pixels)
    assert np.array_equal(pixels, before)
    assert len(payload) <= pixels.nbytes + 1
    assert payload == _core.graphics_encode(pixels, depth)


@given(
    kind=st.sampled_from(KINDS),
    depth=st.integers(1, 16),
    place=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
    keep=st.floats(0, 1),
)
@settings(max_examples=80, deadline=None)
def test_damage_raises_or_gives_a_picture(kind, depth, place, flip, keep):
    pixels = picture(kind, (17, 23, 3), depth, 1)
    damaged = bytearray(_core.graphics_encode(pixels, depth))
    damaged[int(place * len(damaged))] ^= flip
    try:
        result = decode(bytes(damaged[: int(keep * len(damaged)) + 1]), pixels, depth)
    except CorruptStream:
        return
    assert int(result.max()) < 1 << depth


def test_what_repeats_costs_little():
    flat = np.full((1000, 1000, 3), 200, np.uint8)
    assert len(_core.graphics_encode(flat)) < 64
    tiles = picture("tiles", (256, 256, 3), 8, 3)
    assert len(_core.graphics_encode(tiles)) < 600


def test_score_tells_drawings_from_noise():
    assert _core.graphics_score(picture("specks", (64, 64, 3), 8, 1)) >= _core.GRAPHICS_WORTHWHILE
    assert _core.graphics_score(picture("noise", (64, 64, 3), 8, 1)) < _core.GRAPHICS_WORTHWHILE


@pytest.mark.parametrize(
    ("shape", "depth", "dtype"),
    [
        ((4, 4, 5), 8, np.uint8),
        ((4, 4, 1), 9, np.uint8),
        ((0, 4, 1), 8, np.uint8),
        ((4, 4, 1), 17, np.uint16),
    ],
)
def test_pictures_that_cannot_be_are_refused(shape, depth, dtype):
    with pytest.raises(ValueError, match="pixels must be"):
        _core.graphics_encode(np.zeros(shape, dtype), depth)


def test_samples_above_the_peak_are_refused():
    with pytest.raises(ValueError, match="pixels must be"):
        _core.graphics_encode(np.full((2, 2, 1), 4, np.uint8), 2)
