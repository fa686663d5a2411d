"""PSNR and MS-SSIM of two pictures, [height, width] or [height, width, channels], in plain NumPy.

Definitions are those of the usual published figures: PSNR over all samples of all channels, MS-SSIM
(Wang, Simoncelli, Bovik 2003) with five scales and an 11-tap Gaussian of sigma 1.5 whose window stays
inside the picture, per channel and then averaged. Other packages that use the same names pad, downsample
or take luma only, and differ in the third decimal.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.generic]
Plane = npt.NDArray[np.float64]

_TAPS = 11
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_MIN_SIDE_PX = (_TAPS - 1) * 2 ** (len(_SCALE_WEIGHTS) - 1) + 1
_BLOCK_SAMPLES = 1 << 16  # a block of rows and its temporaries stay in the second-level cache


def psnr(original: Pixels, decoded: Pixels, *, peak: float = 255) -> float:
    """Peak signal-to-noise ratio in dB over all samples; inf when the pictures are equal.

    Raises ValueError if the shapes differ or the pictures are empty.
    """
    _check(original, decoded)
    error = np.subtract(original, decoded, dtype=np.float64).ravel()
    mean_square = float(error @ error) / error.size
    return float("inf") if mean_square == 0 else float(10 * np.log10(peak * peak / mean_square))


def ms_ssim(original: Pixels, decoded: Pixels, *, peak: float = 255) -> float:
    """Multi-scale structural similarity, at most 1 (equal pictures), mean over the channels.

    Negative contrast terms count as 0. Odd sides are halved with a zero row or column added at both
    ends, as pytorch-msssim does.

    Raises ValueError if the shapes differ or a side is under 161 pixels.
    """
    _check(original, decoded)
    if min(original.shape[:2]) < _MIN_SIDE_PX:
        height, width = original.shape[:2]
        raise ValueError(f"too small for MS-SSIM: {width}x{height}, sides must be {_MIN_SIDE_PX} or more")
    channels = 1 if original.ndim == 2 else original.shape[2]
    a = original.reshape(*original.shape[:2], channels)
    b = decoded.reshape(a.shape)
    return float(np.mean([_ms_ssim_plane(_plane(a, c), _plane(b, c), peak) for c in range(channels)]))


def ms_ssim_db(value: float) -> float:
    """MS-SSIM on a scale where equal steps look about equal: -10 log10(1 - value); inf at 1."""
    return float("inf") if value >= 1 else float(-10 * np.log10(1 - value))


def _check(original: Pixels, decoded: Pixels) -> None:
    if original.shape != decoded.shape:
        raise ValueError(f"pictures differ in shape: {original.shape} and {decoded.shape}")
    if original.ndim not in (2, 3) or original.size == 0:
        raise ValueError(f"not a picture: shape {original.shape}")


def _plane(pixels: Pixels, channel: int) -> Plane:
    return np.ascontiguousarray(pixels[:, :, channel], dtype=np.float64)


def _gaussian() -> Plane:
    x = np.arange(_TAPS) - _TAPS // 2
    taps: Plane = np.exp(-(x * x) / (2 * 1.5 * 1.5))
    taps /= taps.sum()
    return taps


def _ms_ssim_plane(a: Plane, b: Plane, peak: float) -> float:
    product = 1.0
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        similarity, contrast = _ssim_means(a, b, peak)
        last = scale == len(_SCALE_WEIGHTS) - 1
        product *= max(similarity if last else contrast, 0.0) ** weight
        if not last:
            a, b = _halve(a), _halve(b)
    return product


def _ssim_means(a: Plane, b: Plane, peak: float) -> tuple[float, float]:
    """Mean SSIM and mean contrast-structure term of two planes, window inside the picture."""
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    height, width = a.shape
    rows = max(1, _BLOCK_SAMPLES // width)
    similarity = contrast = 0.0
    for top in range(0, height - _TAPS + 1, rows):
        block = slice(top, min(top + rows + _TAPS - 1, height))
        x, y = a[block], b[block]
        mean_x, mean_y = _blur(x), _blur(y)
        mean_xy = mean_x * mean_y
        mean_squares = mean_x * mean_x + mean_y * mean_y
        # SSIM needs the two variances only as their sum, so four blurs do instead of five.
        variances = _blur(x * x + y * y) - mean_squares
        covariance = _blur(x * y) - mean_xy
        term = (2 * covariance + c2) / (variances + c2)
        contrast += float(term.sum())
        term *= (2 * mean_xy + c1) / (mean_squares + c1)
        similarity += float(term.sum())
    count = (height - _TAPS + 1) * (width - _TAPS + 1)
    return similarity / count, contrast / count


def _blur(plane: Plane) -> Plane:
    """Gaussian window over both axes, inside the plane only: [h, w] to [h - 10, w - 10]."""
    return _blur_rows(_blur_rows(plane).T).T


_WINDOW = _gaussian()


def _blur_rows(plane: Plane) -> Plane:
    size = plane.shape[0] - _TAPS + 1
    middle = _TAPS // 2
    total: Plane = plane[middle : middle + size] * _WINDOW[middle]
    pair = np.empty_like(total)
    for k in range(middle):
        np.add(plane[k : k + size], plane[_TAPS - 1 - k : _TAPS - 1 - k + size], out=pair)
        pair *= _WINDOW[k]
        total += pair
    return total


def _halve(plane: Plane) -> Plane:
    height, width = plane.shape
    if height % 2 or width % 2:
        plane = np.pad(plane, ((height % 2,) * 2, (width % 2,) * 2))
    height, width = plane.shape[0] // 2 * 2, plane.shape[1] // 2 * 2
    rows: Plane = plane[0:height:2] + plane[1:height:2]
    halved: Plane = (rows[:, 0:width:2] + rows[:, 1:width:2]) / 4
    return halved
