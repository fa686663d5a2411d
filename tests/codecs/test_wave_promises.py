"""What `wave` promises beyond the laws of all codecs: its rate choices, layers, modes and tunes."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest

import narrows
from narrows import _core
from narrows.codecs.wave import Options, step_of
from narrows.eval.metrics.image import ms_ssim, psnr


def photo(height: int = 240, width: int = 320, seed: int = 1) -> np.ndarray:
    """Something with the statistics of a photograph: 1/f noise, correlated colors, an edge."""
    rng = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    fall = 1 / np.maximum(np.hypot(fy, fx), 1 / max(height, width)) ** 1.4
    planes = [
        np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) * fall, (height, width))
        for _ in range(3)
    ]
    luma, *chroma = [plane / plane.std() for plane in planes]
    luma[:, width // 2 :] += 0.8
    pixels = np.stack(
        [luma * 40 + 120 + sign * chroma[i] * 9 for i, sign in ((0, 1), (1, 1), (0, -1))], axis=-1
    )
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def test_every_quality_is_another_step_and_finer_is_larger() -> None:
    steps = [step_of(q / 10) for q in range(1000)]
    assert all(a > b for a, b in itertools.pairwise(steps))
    image = narrows.Image(photo())
    sizes = [len(narrows.encode(image, quality=q)) for q in (0, 5, 20, 40, 60, 75, 85, 95, 99, 100)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(sizes)


def test_quality_100_is_lossless() -> None:
    pixels = photo()
    data = narrows.encode(narrows.Image(pixels), quality=100)
    assert data == narrows.encode(narrows.Image(pixels), lossless=True)
    assert np.array_equal(narrows.decode(data).pixels, pixels)


@pytest.mark.parametrize("bpp", [0.2, 0.7, 2.0])
def test_bpp_is_kept_and_nearly_used(bpp: float) -> None:
    pixels = photo()
    spent = len(narrows.encode(narrows.Image(pixels), bpp=bpp)) * 8 / (pixels.shape[0] * pixels.shape[1])
    assert bpp * 0.95 <= spent <= bpp


@pytest.mark.parametrize("target", [28.0, 35.0, 45.0])
def test_target_psnr_is_reached_with_little_to_spare(target: float) -> None:
    pixels = photo()
    decoded = narrows.decode(narrows.encode(narrows.Image(pixels), target_psnr=target)).pixels
    assert target <= psnr(pixels, decoded) <= target + 0.3


def test_two_rates_at_once_are_refused() -> None:
    for options in ({"quality": 50, "bpp": 1}, {"lossless": True, "target_psnr": 30}):
        with pytest.raises(narrows.OptionError, match="one"):
            narrows.encode(narrows.Image(photo(16, 16)), **options)
    with pytest.raises(narrows.OptionError):
        Options(quality=101)


def test_a_reduced_picture_reads_only_its_layers() -> None:
    data = narrows.encode(narrows.Image(photo(600, 800)), quality=80)

    class Counting(io.BytesIO):
        read_bytes = 0

        def read(self, size: int | None = -1) -> bytes:
            part = super().read(size)
            self.read_bytes += len(part)
            return part

        def seekable(self) -> bool:
            return False

    taken = {}
    for scale in (1 / 8, 1 / 4, 1 / 2):
        file = Counting(data)
        with narrows.open(file) as stream:
            assert stream.read(scale=scale).pixels.shape == (600 * scale, 800 * scale, 3)
        taken[scale] = file.read_bytes / len(data)
    assert taken[1 / 8] < taken[1 / 4] < taken[1 / 2] < 1
    assert taken[1 / 8] < 0.35


def test_a_reduced_picture_looks_like_the_whole() -> None:
    # A reduced picture samples the low-pass picture at each box's first pixel: on a gentle slope that is the
    # box's mean but for half a box of slope.
    y, x = np.mgrid[0:512, 0:512]
    pixels = np.stack([60 + x / 4, 200 - y / 4, 30 + (x + y) / 8], axis=-1).astype(np.uint8)
    for options in ({"lossless": True}, {"quality": 95}):
        data = narrows.encode(narrows.Image(pixels), effort=0, **options)
        for k in (1, 2, 3, 5):
            small = narrows.decode(data, scale=1 / 2**k).pixels.astype(float)
            box = pixels.reshape(512 >> k, 1 << k, 512 >> k, 1 << k, 3).mean((1, 3))
            assert np.abs(small - box).max() < 3 + 2**k / 4


def test_strips_and_threads_change_nothing() -> None:
    pixels = photo(2100, 96)
    image = narrows.Image(pixels)
    for options in ({"quality": 60}, {"lossless": True}, {"quality": 60, "tune": "ms-ssim"}):
        data = narrows.encode(image, **options)
        assert all(narrows.encode(image, threads=threads, **options) == data for threads in (2, 7))
        decoded = narrows.decode(data).pixels
        assert all(
            np.array_equal(narrows.decode(data, threads=threads).pixels, decoded) for threads in (2, 7)
        )
    # A strip's border is not visible: the error there is that of other rows.
    error = (pixels.astype(float) - narrows.decode(narrows.encode(image, quality=60)).pixels) ** 2
    assert error[1016:1032].mean() < 1.5 * error.mean()


def test_tune_for_ms_ssim_raises_it_at_equal_size() -> None:
    pixels = photo(256, 384)
    # Smooth above, busy below: what a tune by activity is about.
    pixels[:128] = np.clip(pixels[:128] // 4 + 96, 0, 255)
    plain = narrows.encode(narrows.Image(pixels), quality=40)
    bpp = len(plain) * 8 / (256 * 384)
    tuned = narrows.encode(narrows.Image(pixels), bpp=bpp, tune="ms-ssim")
    assert len(tuned) <= len(plain)
    assert ms_ssim(pixels, narrows.decode(tuned).pixels) > ms_ssim(pixels, narrows.decode(plain).pixels)


def test_drawn_pictures_are_exact_and_small_whatever_the_quality() -> None:
    pixels = np.full((200, 300, 3), 255, np.uint8)
    pixels[20:180:8, 10:290] = (20, 60, 180)
    pixels[40:160, 60:64] = 0
    data = narrows.encode(narrows.Image(pixels), quality=60)
    assert np.array_equal(narrows.decode(data).pixels, pixels)
    assert len(data) < 400


def test_alpha_is_exact_beside_lossy_colors() -> None:
    colors = photo(120, 90)
    alpha = np.linspace(0, 255, 120 * 90).reshape(120, 90, 1).astype(np.uint8)
    pixels = np.concatenate([colors, alpha], axis=2)
    decoded = narrows.decode(narrows.encode(narrows.Image(pixels), quality=30)).pixels
    assert np.array_equal(decoded[:, :, 3:], alpha)
    assert not np.array_equal(decoded, pixels)
    exact = narrows.decode(narrows.encode(narrows.Image(pixels), lossless=True)).pixels
    assert np.array_equal(exact, pixels)


def test_weights_of_another_shape_or_range_are_refused() -> None:
    from narrows import models

    (model,) = (found for found in models.installed() if found.name == "wave")
    arrays = models.load("wave", model.hash)
    sets = [
        {key.partition(".")[2]: value for key, value in arrays.items() if key.startswith(prefix)}
        for prefix in ("lossy.", "lossless.")
    ]
    _core.WaveModel(*sets)
    for key, value in (("w1", sets[0]["w1"][:1]), ("m1", sets[0]["m1"] * 0 + 2000)):
        with pytest.raises(ValueError, match="shape or range"):
            _core.WaveModel({**sets[0], key: value}, sets[1])
